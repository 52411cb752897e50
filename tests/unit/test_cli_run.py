"""`raysmith run` as a user meets it, with doubles instead of the workloads: order, retries, Ctrl-C, gates, services."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raysmith.cli.main import app

# Whatever hangs is not waited for.
pytestmark = pytest.mark.timeout(300)

DOUBLE = Path(__file__).parent / "workloads_double"

RUN = """
apiVersion: raysmith.io/v1alpha1
kind: LLMFineTune
metadata: {{name: {name}}}
spec:
  model: {model}
  data: {{train: [{{name: rows, source: "file://rows.jsonl"}}], validation: {{fraction: 0.1}}}}
  method: {{full: {{}}}}
  evaluation: {{gate: [{{metric: ExactMatch, min: 0.9}}]}}
  faultTolerance: {{attempts: 2}}
---
"""
SERVICE = """
apiVersion: raysmith.io/v1alpha1
kind: LLMService
metadata: {{name: {name}}}
spec:
  model: {{fineTune: {{name: {run}}}}}
  access: {{anonymous: {{}}}}
---
"""
TINY = '{source: "builtin://tiny"}'
BASE = RUN.format(name="base", model=TINY)
TUNED = RUN.format(name="tuned", model="{fineTune: {name: base}}")


class Place:
    """A folder with object files and data, and doubles that do as they are told."""

    def __init__(self, folder: Path, doubles: Path) -> None:
        self.folder = folder
        self.data = folder / "raysmith-data"
        self._environment = {
            "COLUMNS": "150",
            "PYTHONDONTWRITEBYTECODE": "",  # a hundred short processes import the same modules
            "PYTHONPATH": str(doubles),
            "RAYSMITH_DOUBLE": str(folder / "orders.json"),
        }
        self.write("rows.jsonl", '{"prompt": "1", "completion": "one"}\n')
        self.tell()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def tell(self, **orders: Any) -> None:
        """What the doubles do, module by module."""
        self.write("orders.json", json.dumps({"served": {}, **orders}))

    @contextmanager
    def start(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """The command as a process of its own, for tests that send it signals or do something meanwhile."""
        with subprocess.Popen(
            [sys.executable, "-m", "raysmith.cli", *arguments],
            cwd=self.folder,
            env={**os.environ, **self._environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            except BaseException:
                process.terminate()  # a test that fails waits for nothing
                raise

    def raysmith(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command from start to end, in this process: only what it starts are processes."""
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name, value in self._environment.items():
                patch.setenv(name, value)
            done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        assert "Traceback" not in done.output
        assert "\x1b" not in done.output, "no control characters where nobody watches"
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)

    def run_folders(self, name: str) -> list[Path]:
        return sorted(self.data.glob(f"volumes/raysmith-store/models/default/{name}-????????"))


@pytest.fixture(scope="module")
def doubles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doubles")
    package = shutil.copytree(DOUBLE, folder / "raysmith_workloads")
    (package / "__init__.py").touch()
    return folder


@pytest.fixture
def place(tmp_path: Path, doubles: Path) -> Place:
    return Place(tmp_path, doubles)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], Any], seconds: float = 300) -> Any:
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return value


def test_runs_are_trained_in_the_order_of_their_references_and_leave_their_tree(place: Place) -> None:
    place.write("all.yaml", TUNED + BASE)
    done = place.raysmith("run", "all.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("LLMFineTune base") < done.stdout.index("LLMFineTune tuned")
    (base,), (tuned,) = place.run_folders("base"), place.run_folders("tuned")
    written = json.loads((tuned / "object.json").read_text())
    assert written["status"] == {
        "attempt": 1,
        "model": {
            "uri": f"pvc://raysmith-store/models/default/{base.name}",
            "digest": "sha256:" + "1" * 64,
        },
    }
    assert written["spec"]["data"]["train"][0]["source"] == f"file://{place.folder}/rows.jsonl"
    assert {log.name for log in (base / "logs").iterdir()} == {"1-prepare.log", "1-finetune.log"}


def test_the_end_of_a_run_shows_metrics_gate_and_where_everything_lies(place: Place) -> None:
    place.tell(slowly=True)
    place.write("base.yaml", BASE)
    shown = place.raysmith("run", "base.yaml").stdout
    (folder,) = place.run_folders("base")
    for words in (
        "exact match",
        "97.0 %",
        "✓ exact match is 0.97",
        "2 rows were cut",
        f"{folder.relative_to(place.folder)}/model",
    ):
        assert words in shown
    stages = json.loads((place.data / "last-run.json").read_text())["stages"]
    assert [stage["stage"] for stage in stages] == [
        "start Ray",
        "preparing the data",
        "loading the model",
        "training",
        "evaluating the tuned model",
    ]


def test_a_finished_run_is_reused_and_says_so(place: Place) -> None:
    place.write("base.yaml", BASE)
    place.raysmith("run", "base.yaml")
    again = place.raysmith("run", "base.yaml")
    assert again.returncode == 0
    assert "reused" in again.stdout
    assert "started Ray" not in again.stdout


def test_a_changed_data_file_is_a_new_run(place: Place) -> None:
    place.write("base.yaml", BASE)
    place.raysmith("run", "base.yaml")
    place.write("rows.jsonl", '{"prompt": "2", "completion": "two"}\n')
    place.raysmith("run", "base.yaml")
    assert len(place.run_folders("base")) == 2


def test_a_fault_of_the_run_is_tried_again_from_the_last_checkpoint(place: Place) -> None:
    place.tell(finetune=["fail"])
    place.write("base.yaml", BASE)
    done = place.raysmith("run", "base.yaml")
    assert done.returncode == 0
    assert "attempt 1: TrainingFailed: RuntimeError: something broke." in done.stdout
    (folder,) = place.run_folders("base")
    assert json.loads((folder / "object.json").read_text())["status"]["attempt"] == 2


def test_after_the_last_attempt_the_run_has_failed(place: Place) -> None:
    place.tell(finetune=["fail", "fail", "succeed"])
    place.write("base.yaml", BASE)
    done = place.raysmith("run", "base.yaml")
    assert done.returncode == 1
    assert done.stderr.strip() == "error: base: RuntimeError: something broke."


@pytest.mark.parametrize(
    ("orders", "code", "sentence"),
    [
        ({"prepare": ["refuse"]}, 2, "error: base: data.jsonl:731: this is not JSON; correct the line."),
        ({"finetune": ["full-disk"]}, 1, "error: base: the disk is full; free some space and start the run again."),
    ],
    ids=["refused data", "a full disk"],
)
def test_what_the_user_has_to_repair_is_not_tried_again(place: Place, orders: dict[str, Any], code: int, sentence: str) -> None:
    place.tell(**orders)
    place.write("base.yaml", BASE)
    done = place.raysmith("run", "base.yaml")
    assert (done.returncode, done.stderr.strip()) == (code, sentence)
    (folder,) = place.run_folders("base")
    assert len(list((folder / "attempts").iterdir())) == 1


def test_a_process_that_was_killed_is_explained_and_tried_again(place: Place) -> None:
    place.tell(finetune=["kill"])
    place.write("base.yaml", BASE)
    done = place.raysmith("run", "base.yaml")
    assert done.returncode == 0
    assert "attempt 1: Killed: The process was ended by SIGKILL, most often because memory ran out" in done.stdout


def test_a_run_that_misses_its_gate_fails_with_the_numbers_and_holds_back_what_needs_it(place: Place, port: int) -> None:
    place.tell(finetune=["miss-gate"])
    place.write("all.yaml", BASE + TUNED + SERVICE.format(name="chat", run="tuned") + RUN.format(name="other", model=TINY))
    done = place.raysmith("run", "all.yaml", "--port", str(port))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: base did not pass its gate: exact match is 0.31, and must be 0.9 or more",
        "error: tuned was not started, because base has no result that passed its gate.",
        "error: chat was not started, because tuned has no result that passed its gate.",
    ]
    assert place.run_folders("other"), "what does not need it is run"
    assert not place.run_folders("tuned")


def test_ctrl_c_stops_the_run_in_order_and_the_same_command_goes_on(place: Place) -> None:
    place.tell(finetune=["wait"])
    place.write("base.yaml", BASE)
    with place.start("run", "base.yaml") as process:
        wait_for(lambda: any('"step": 34' in file.read_text() for file in place.data.rglob("progress.json")))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert err.strip() == (
        "error: base: interrupted at step 34 of 100; the same command goes on from the checkpoint after step 20."
    )
    (folder,) = place.run_folders("base")
    assert json.loads((folder / "attempts" / "1" / "failure.json").read_text())["reason"] == "Interrupted"
    assert place.raysmith("run", "base.yaml").returncode == 0
    assert json.loads((folder / "object.json").read_text())["status"]["attempt"] == 2


def test_a_second_command_on_the_same_run_is_told_so(place: Place) -> None:
    place.tell(finetune=["wait"])
    place.write("base.yaml", BASE)
    with place.start("run", "base.yaml") as first:
        (folder,) = wait_for(lambda: [file.parent for file in place.data.rglob("object.json")])
        second = place.raysmith("run", "base.yaml")
        first.send_signal(signal.SIGINT)
    assert second.returncode == 1
    assert second.stderr.startswith(f"error: another `raysmith run` is working in {folder}; wait until it has ended")


def test_services_are_compared_with_live_answers_and_kept_until_ctrl_c(place: Place, port: int) -> None:
    place.tell(served={"one": "the the", "two": "fourteen"})
    services = SERVICE.format(name="one", run="base") + SERVICE.format(name="two", run="tuned")
    place.write("all.yaml", BASE + TUNED + services)
    with place.start("run", "all.yaml", "--port", str(port)) as process:
        assert process.stdout is not None
        out = "".join(takewhile(lambda line: line != "The services answer until you press Ctrl-C.\n", process.stdout))
        answer = place.raysmith("chat", "hello").stdout
        other = place.raysmith("chat", "--model", "one", "hello").stdout
        unknown = place.raysmith("chat", "--model", "three", "hello")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert (answer, other) == ("fourteen\n", "thethe\n"), "the double sends word by word"
    assert (unknown.returncode, unknown.stderr.split(";")[0]) == (2, "error: the last run served one, two, and not three")
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if line.startswith("│ 2026")]
    assert rows == [["2026-03-14", "fourteen", "✗ the the"], ["2026-03-14", "fourteen", "✗ the the", "✓ fourteen"]]
    assert f"raysmith chat --url http://127.0.0.1:{port}/two/v1 --model two" in out
    assert f"curl http://127.0.0.1:{port}/two/v1/chat/completions" in out


def test_without_waiting_the_command_ends_after_the_comparison(place: Place, port: int) -> None:
    place.tell(served={"chat": "fourteen"})
    place.write("all.yaml", BASE + SERVICE.format(name="chat", run="base"))
    done = place.raysmith("run", "all.yaml", "--port", str(port), "--no-wait")
    assert done.returncode == 0, done.stderr
    summary = json.loads((place.data / "last-run.json").read_text())
    assert summary["services"] == [{"name": "chat", "url": f"http://127.0.0.1:{port}/v1", "model": "chat"}]
    row = {"prompt": "2026-03-14", "expected": "fourteen", "base": None, "tuned": "fourteen"}
    assert summary["sideBySide"] == [{"tuned": "chat", "base": None, "rows": [row]}]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "nothing listens any more"


def test_a_service_may_serve_what_an_earlier_command_has_trained(place: Place, port: int) -> None:
    place.tell(served={"chat": "fourteen"})
    place.write("base.yaml", BASE)
    place.write("service.yaml", SERVICE.format(name="chat", run="base"))
    place.raysmith("run", "base.yaml")
    done = place.raysmith("run", "service.yaml", "--port", str(port), "--no-wait")
    assert done.returncode == 0, done.stderr


def test_refused_data_counts_more_than_a_run_that_failed_and_holds_back_what_needs_it(place: Place) -> None:
    place.tell(prepare=["refuse"], finetune=["fail", "fail"])
    place.write("all.yaml", BASE + TUNED + RUN.format(name="other", model=TINY))
    done = place.raysmith("run", "all.yaml")
    assert done.returncode == 2
    assert [line.split(":")[1].split()[0] for line in done.stderr.splitlines()] == ["base", "other", "tuned"]


def test_checked_data_is_told_with_its_place_and_its_notes(place: Place) -> None:
    place.write("base.yaml", BASE)
    good = place.raysmith("validate", "base.yaml", "--data")
    place.tell(prepare=["refuse"])
    bad = place.raysmith("validate", "base.yaml", "--data")
    assert (good.returncode, good.stderr) == (0, "")
    assert "base: 2 rows would be cut at 64 tokens." in good.stdout
    assert "ok  base.yaml:2: LLMFineTune base" in good.stdout
    assert (bad.returncode, bad.stderr) == (
        2,
        "error: base.yaml:7: spec.data: data.jsonl:731: this is not JSON; correct the line.\n",
    )
    assert not place.data.exists(), "nothing is written"


@pytest.mark.parametrize(("word", "code"), [("fail", 1), ("refuse", 2)])
def test_a_service_that_does_not_start_says_why(place: Place, port: int, word: str, code: int) -> None:
    place.tell(serve=[word])
    place.write("all.yaml", BASE + SERVICE.format(name="chat", run="base"))
    done = place.raysmith("run", "all.yaml", "--port", str(port))
    assert done.returncode == code
    assert "the services ended: the model folder has no weights; put a *.safetensors file there." in done.stderr


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory, doubles: Path) -> Place:
    """A run that has failed once and then succeeded, to be read only."""
    place = Place(tmp_path_factory.mktemp("trained"), doubles)
    place.tell(finetune=["fail"])
    place.write("base.yaml", BASE)
    assert place.raysmith("run", "base.yaml").returncode == 0
    return place


@pytest.fixture
def trained(trained_once: Place, place: Place) -> Place:
    """The same for each test to change."""
    shutil.copytree(trained_once.data, place.data)
    return place


def test_status_tells_attempts_metrics_and_gate_after_everything_has_ended(trained: Place) -> None:
    listed, shown = trained.raysmith("status"), trained.raysmith("status", "base")
    assert "Succeeded" in listed.stdout
    for words in ("TrainingFailed", "RuntimeError: something broke.", "97.0 %", "sha256:111", "100 rows"):
        assert words in shown.stdout


def test_a_damaged_run_hides_no_other(trained: Place) -> None:
    damaged = trained.data / "volumes" / "raysmith-store" / "models" / "default" / "other-12345678"
    damaged.mkdir(parents=True)
    (damaged / "object.json").write_text("{")
    done = trained.raysmith("status")
    assert done.returncode == 2
    assert "Succeeded" in done.stdout
    assert done.stderr.startswith(f"error: {damaged}/object.json is damaged")


def test_logs_are_printed_attempt_by_attempt(trained: Place) -> None:
    shown = trained.raysmith("logs", "base").stdout
    heads = [line for line in shown.splitlines() if line.startswith("==>")]
    assert heads == [f"==> {name}.log <==" for name in ("1-prepare", "1-finetune", "2-prepare", "2-finetune")]
    assert "error: RuntimeError: something broke." in shown


def test_a_clusters_storage_tells_the_same_where_it_is_mounted(trained: Place, tmp_path: Path) -> None:
    storage = tmp_path / "mounted"
    (trained.data / "volumes" / "raysmith-store" / "models").rename(storage)
    for lock in storage.rglob(".lock"):  # no command line has ever worked in a cluster's storage
        lock.unlink()
    listed, shown = (trained.raysmith("status", *name, "--storage", str(storage)) for name in ((), ("base",)))
    assert "Succeeded" in listed.stdout
    assert "97.0 %" in shown.stdout
    assert "error: RuntimeError: something broke." in trained.raysmith("logs", "base", "--storage", str(storage)).stdout


def test_a_run_that_goes_on_in_a_cluster_says_when_it_was_last_heard_of(trained: Place, tmp_path: Path) -> None:
    (folder,) = (trained.data / "volumes" / "raysmith-store" / "models" / "default").iterdir()
    for gone in (".lock", "run.json", "attempts/2/failure.json"):
        (folder / gone).unlink(missing_ok=True)
    shown = trained.raysmith("status", "base", "--storage", str(folder.parent))
    assert "Stopped" not in shown.stdout
    assert "last heard" in shown.stdout


@pytest.mark.parametrize("command", ["status", "logs"])
def test_an_unknown_run_is_a_sentence_with_the_names_that_there_are(trained: Place, command: str) -> None:
    done = trained.raysmith(command, "bose")
    assert done.returncode == 2
    assert "no run of bose" in done.stderr
    assert "(there are: base)" in done.stderr
