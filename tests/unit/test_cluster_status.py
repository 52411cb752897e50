"""What a run tells the status of its object, over HTTP to a double of the API server's endpoint for it."""

import json
import logging
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from kubernetes import client
from kubernetes.config import incluster_config
from typing_extensions import override

from objects import finetune
from raysmith.api import LLMFineTune, layout
from raysmith.api.common import to_wire
from raysmith.api.finetune import Progress
from raysmith_workloads.cluster_status.end import end_status, tell_end
from raysmith_workloads.cluster_status.endpoint import ClusterEndpoint, endpoint_here
from raysmith_workloads.cluster_status.progress import SUSPENDED, ProgressReport
from raysmith_workloads.cluster_status.reporting import Reporting
from raysmith_workloads.errors import Failed, Refused, Suspended
from run_records import run_record

UID = "6a1f0c52-0000-4000-8000-000000000000"
STATUS_PATH = "/apis/raysmith.io/v1alpha1/namespaces/default/llmfinetunes/run/status"
FAILURE = {"failure": {"attempt": 2, "reason": "TrainingFailed", "message": "It broke.", "time": "2026-11-24T00:00:00Z"}}
ATTEMPT = {"number": 2, "startTime": "2026-11-24T00:00:00Z"}


class FakeStatusEndpoint:
    """A real HTTP server that knows one path of an API server: server-side apply to the status of one LLMFineTune.

    It merges only as far as needed: each field manager has its own top-level fields of the status, which every apply replaces.
    """

    def __init__(self) -> None:
        self.object: dict[str, Any] = {
            "metadata": {"name": "run", "namespace": "default", "uid": UID},
            "spec": {"suspend": False},
            "status": {"attempt": 2},
        }
        self.answers: list[int] = []
        """Status codes of the next requests; afterwards every request is obeyed."""
        self.applied: list[tuple[str, dict[str, Any]]] = []
        self.problems: list[str] = []
        self._owned: dict[str, set[str]] = {}
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_PATCH(self) -> None:
                code, answer = endpoint.answer(
                    self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))
                )
                content = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            @override
            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str, headers: dict[str, str], content: bytes) -> tuple[int, dict[str, Any]]:
        if self.answers and (code := self.answers.pop(0)) != 200:
            return code, {"kind": "Status", "code": code}
        address = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        body = json.loads(content, parse_constant=lambda word: self.problems.append(f"{word} is no JSON"))
        for right, problem in (
            (address.path == STATUS_PATH, address.path),
            (headers["Content-Type"] == "application/apply-patch+yaml", headers["Content-Type"]),
            (query.get("force") == "true", address.query),
            (body["metadata"] == {"name": "run"} and body["kind"] == "LLMFineTune", str(body)),
        ):
            if not right:
                self.problems.append(problem)
        manager, status = query["fieldManager"], body.get("status", {})
        for field in self._owned.get(manager, set()) - set(status):
            self.object["status"].pop(field, None)
        self._owned[manager] = set(status)
        self.object["status"].update(status)
        self.applied.append((manager, status))
        return 200, self.object

    def told(self, manager: str) -> list[dict[str, Any]]:
        return [status for name, status in self.applied if name == manager]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def fake() -> Iterator[FakeStatusEndpoint]:
    made = FakeStatusEndpoint()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()
    assert made.problems == []


@pytest.fixture
def endpoint(fake: FakeStatusEndpoint, obj: LLMFineTune) -> Iterator[ClusterEndpoint]:
    yield from endpoint_at(fake.url, obj)


def endpoint_at(url: str, obj: LLMFineTune) -> Iterator[ClusterEndpoint]:
    settings = client.Configuration(host=url)
    settings.retries = False
    api = client.ApiClient(settings)
    yield ClusterEndpoint(client.CustomObjectsApi(api), obj)
    api.rest_client.pool_manager.clear()


@pytest.fixture
def obj(tmp_path: Path) -> LLMFineTune:
    document = finetune(output={"storage": f"file://{tmp_path}"})
    document["metadata"]["uid"] = UID
    document["status"] = {"attempt": 2}
    return LLMFineTune.model_validate(document)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The run's folder, with its second attempt in it."""
    made = tmp_path / "default" / f"run-{UID[:8]}"
    (made / "attempts" / "2").mkdir(parents=True)
    return made


@pytest.fixture
def attempt(folder: Path) -> Path:
    return folder / "attempts" / "2"


def write_progress(attempt: Path, stage: str = "Training", step: int = 0, loss: float = 1.5) -> None:
    progress = Progress(stage=stage, step=step, loss=loss, updated_time=datetime(2026, 11, 24, tzinfo=UTC))
    (attempt / layout.PROGRESS).write_text(json.dumps(to_wire(progress)))


def test_progress_is_told_at_most_every_ten_seconds_and_a_new_stage_at_once(
    fake: FakeStatusEndpoint, endpoint: ClusterEndpoint, obj: LLMFineTune, attempt: Path
) -> None:
    clock = Clock()
    report = ProgressReport(endpoint, obj, attempt, clock)
    report.look()  # there is no progress yet
    for second in range(31):
        clock.now = second
        write_progress(attempt, "EvaluatingTuned" if second >= 25 else "Training", step=second)
        report.look()
    told = [status["progress"] for status in fake.told("raysmith-progress")]
    assert [progress["step"] for progress in told] == [0, 10, 20, 25]
    assert told[-1]["stage"] == "EvaluatingTuned"


def test_progress_that_does_not_change_is_told_seldom_because_only_answers_tell_of_a_suspension(
    fake: FakeStatusEndpoint, endpoint: ClusterEndpoint, obj: LLMFineTune, attempt: Path
) -> None:
    clock = Clock()
    report = ProgressReport(endpoint, obj, attempt, clock)
    write_progress(attempt)
    for second in range(60):
        clock.now = second
        report.look()
    assert len(fake.told("raysmith-progress")) == 3


def test_a_loss_that_is_no_number_is_left_out(
    fake: FakeStatusEndpoint, endpoint: ClusterEndpoint, obj: LLMFineTune, attempt: Path
) -> None:
    write_progress(attempt, loss=float("nan"))
    ProgressReport(endpoint, obj, attempt, Clock()).look()
    [status] = fake.told("raysmith-progress")
    assert status["progress"]["stage"] == "Training"
    assert "loss" not in status["progress"]


def test_a_wish_to_suspend_becomes_the_attempts_stop_file(
    fake: FakeStatusEndpoint, endpoint: ClusterEndpoint, obj: LLMFineTune, attempt: Path
) -> None:
    clock = Clock()
    report = ProgressReport(endpoint, obj, attempt, clock)
    write_progress(attempt)
    report.look()
    assert not (attempt / layout.STOP).exists()
    fake.object["spec"]["suspend"] = True
    clock.now = 20
    report.look()
    assert (attempt / layout.STOP).read_text() == SUSPENDED


@pytest.mark.parametrize("code", [403, 404, 500])
def test_progress_that_is_refused_fails_nothing_and_is_logged_once(
    code: int,
    fake: FakeStatusEndpoint,
    endpoint: ClusterEndpoint,
    obj: LLMFineTune,
    attempt: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    report = ProgressReport(endpoint, obj, attempt, clock)
    fake.answers = [code, code]
    for step in range(3):
        clock.now = 10.0 * step
        write_progress(attempt, step=step)
        report.look()
    assert [record.getMessage() for record in caplog.records if "cannot be reported" in record.getMessage()] == [
        caplog.records[0].getMessage()
    ]
    assert str(code) in caplog.records[0].getMessage()
    assert [status["progress"]["step"] for status in fake.told("raysmith-progress")] == [2]


def test_an_api_server_that_is_away_fails_nothing(obj: LLMFineTune, attempt: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_progress(attempt)
    for endpoint in endpoint_at("http://127.0.0.1:1", obj):
        ProgressReport(endpoint, obj, attempt, Clock()).look()
    assert "the run goes on" in caplog.text


@pytest.mark.parametrize("change", [{"metadata": {"uid": "another"}}, {"status": {"attempt": 3}}])
def test_another_object_of_this_name_and_a_later_attempt_are_left_alone(
    change: dict[str, Any], fake: FakeStatusEndpoint, endpoint: ClusterEndpoint, obj: LLMFineTune, attempt: Path
) -> None:
    fake.object.update(change)
    write_progress(attempt)
    report = ProgressReport(endpoint, obj, attempt, Clock())
    report.look()
    write_progress(attempt, "Saving")
    report.look()
    tell_end(endpoint, obj, FAILURE)
    assert fake.applied == [("raysmith-driver", {})] * 2


def test_the_end_is_told_until_the_api_server_has_it(
    fake: FakeStatusEndpoint, endpoint: ClusterEndpoint, obj: LLMFineTune
) -> None:
    clock = Clock()
    fake.answers = [503, 429, 200, 500]  # the last one comes between looking at the object and writing
    tell_end(endpoint, obj, FAILURE, clock=clock, sleep=clock.sleep)
    assert fake.object["status"] == {"attempt": 2, **FAILURE}
    assert clock.slept == [1, 2, 4]


@pytest.mark.parametrize("code", [403, 404])
def test_an_end_that_nobody_wants_is_told_once(
    code: int, fake: FakeStatusEndpoint, endpoint: ClusterEndpoint, obj: LLMFineTune, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    fake.answers = [code]
    tell_end(endpoint, obj, FAILURE, clock=clock, sleep=clock.sleep)
    assert (fake.applied, clock.slept) == ([], [])
    assert re.search(rf"could not be reported \(\w+: {code} ", caplog.text)


def test_telling_the_end_is_given_up_after_ten_minutes(
    fake: FakeStatusEndpoint, endpoint: ClusterEndpoint, obj: LLMFineTune
) -> None:
    clock = Clock()
    fake.answers = [500] * 1000
    tell_end(endpoint, obj, FAILURE, clock=clock, sleep=clock.sleep)
    assert 570 < clock.now <= 600
    assert max(clock.slept) == 30


def test_a_failure_does_not_take_the_place_of_a_result_and_a_result_takes_that_of_a_failure(
    fake: FakeStatusEndpoint, endpoint: ClusterEndpoint, obj: LLMFineTune
) -> None:
    result = {"result": {"attempt": 2, "promoted": True}}
    for end in (FAILURE, result, FAILURE):
        tell_end(endpoint, obj, end)
    assert fake.object["status"] == {"attempt": 2, **result}


def test_the_result_names_the_folder_of_the_run_and_the_digest_of_the_model(obj: LLMFineTune, folder: Path) -> None:
    record = run_record(attempts=[ATTEMPT], baseMetrics={"exactMatch": 0.0}, tunedMetrics={"exactMatch": 0.95})
    (folder / layout.RUN).write_text(json.dumps(to_wire(record)))
    assert end_status(obj, folder, None) == {
        "result": {
            "attempt": 2,
            "artifact": {"uri": f"file://{folder}", "digest": record.artifact.digest},
            "base": {"exactMatch": 0.0},
            "tuned": {"exactMatch": 0.95},
            "promoted": True,
            "message": "There is no gate.",
        }
    }


@pytest.mark.parametrize(
    ("error", "reason", "retryable"),
    [
        (Refused("DataRefused", "Row 7 has no answer."), "DataRefused", False),
        (Suspended("The run is suspended."), "Suspended", True),
        (KeyboardInterrupt(), "Interrupted", True),
        (Failed("OutOfMemory", "Worker 0 was killed."), "OutOfMemory", True),
        (ValueError("x" * 10_000), "TrainingFailed", True),
    ],
)
def test_a_failure_has_its_reason_and_the_last_lines_of_the_log(
    error: BaseException, reason: str, retryable: bool, obj: LLMFineTune, folder: Path
) -> None:
    (folder / "logs").mkdir()
    (folder / "logs" / "2-finetune.log").write_text("".join(f"line {n}\n\n" for n in range(30)) + "y" * 1000)
    end = end_status(obj, folder, error)
    assert end is not None
    failure = end["failure"]
    assert (failure["attempt"], failure["reason"], failure["retryable"]) == (2, reason, retryable)
    assert len(failure["message"]) <= 4096
    assert failure["logTail"] == [*(f"line {n}" for n in range(11, 30)), "y" * 512]


def test_a_run_that_fails_says_so_when_it_is_over(
    fake: FakeStatusEndpoint, endpoint: ClusterEndpoint, obj: LLMFineTune, attempt: Path
) -> None:
    write_progress(attempt, "Loading")
    with Reporting(obj, endpoint) as reporting, pytest.raises(Refused), reporting.end_noted():
        raise Refused("ModelNotFound", "There is no such model.")
    assert fake.object["status"]["progress"]["stage"] == "Loading"
    assert fake.object["status"]["failure"]["reason"] == "ModelNotFound"


def test_a_run_that_had_ended_before_tells_its_result_again(
    fake: FakeStatusEndpoint, endpoint: ClusterEndpoint, obj: LLMFineTune, folder: Path
) -> None:
    (folder / layout.RUN).write_text(json.dumps(to_wire(run_record(attempts=[ATTEMPT]))))
    with Reporting(obj, endpoint) as reporting, reporting.end_noted():
        pass
    assert fake.object["status"]["result"]["promoted"] is True


def test_nothing_is_told_outside_of_a_cluster_or_without_a_token(obj: LLMFineTune, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert endpoint_here(obj) is None
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", "/nowhere/token")
    assert endpoint_here(obj) is None
    with Reporting(obj, None) as reporting, pytest.raises(ValueError, match="broken"), reporting.end_noted():
        raise ValueError("broken")


def test_the_token_is_in_no_log(
    obj: LLMFineTune, attempt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name, content in (("TOKEN", "very-secret"), ("CERT", "no certificate")):
        (tmp_path / name).write_text(content)
        monkeypatch.setattr(incluster_config, f"SERVICE_{name}_FILENAME", str(tmp_path / name))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    write_progress(attempt)
    endpoint = endpoint_here(obj)
    assert endpoint is not None
    ProgressReport(endpoint, obj, attempt, Clock()).look()
    assert "very-secret" not in caplog.text
    assert "Progress cannot be reported" in caplog.text
