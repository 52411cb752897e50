"""What a run tells the outside: progress, failures, exit codes."""

import json
import logging
import os
import signal
from pathlib import Path

import pytest

from raysmith_workloads import report
from raysmith_workloads.errors import Refused
from raysmith_workloads.report import Reporter, exit_code, failure_recorded

pytestmark = pytest.mark.usefixtures("signals_as_before")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def read(attempt: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((attempt / "progress.json").read_text())
    return content


def test_a_stage_is_written_at_once(tmp_path: Path) -> None:
    Reporter(tmp_path / "attempts" / "1").stage("Loading", "Two CPUs only.")
    assert read(tmp_path / "attempts" / "1") | {"updatedTime": ""} == {
        "stage": "Loading",
        "step": 0,
        "totalSteps": 0,
        "percent": 0,
        "message": "Two CPUs only.",
        "updatedTime": "",
    }


def test_steps_are_written_at_most_twice_a_second_and_the_last_one_always(tmp_path: Path) -> None:
    clock = Clock()
    reporter = Reporter(tmp_path, clock)
    reporter.stage("Training")
    seen = []
    for clock.now, step in ((0.1, 1), (0.4, 2), (0.6, 3), (0.9, 4), (1.0, 5)):
        reporter.step(step, 5, loss=2.0, tokens_per_second=10, seconds_left=3)
        seen.append(read(tmp_path)["step"])
    assert seen == [0, 0, 3, 3, 5]


def test_a_step_tells_how_far_the_run_is(tmp_path: Path) -> None:
    reporter = Reporter(tmp_path)
    reporter.step(30, 120, loss=1.25, tokens_per_second=1234.56, seconds_left=89.6)
    progress = read(tmp_path)
    assert (progress["percent"], progress["loss"], progress["tokensPerSecond"], progress["secondsLeft"]) == (
        25,
        1.25,
        1234.6,
        90,
    )


def test_a_message_stays_until_the_next_one(tmp_path: Path) -> None:
    reporter = Reporter(tmp_path)
    reporter.say("Going on from step 60.")
    reporter.stage("Training")
    assert read(tmp_path)["message"] == "Going on from step 60."


def test_progress_that_cannot_be_written_fails_nothing_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    reporter = Reporter(tmp_path / "file" / "1")
    with caplog.at_level(logging.WARNING):
        reporter.stage("Loading")
        reporter.stage("Training")
    assert len(caplog.records) == 1
    assert "the run goes on" in caplog.text


def test_a_record_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OSError, match="No space left"):
        report.write_record(tmp_path / "run.json", Reporter(None).progress)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (None, 0, ""),
        (Refused("ModelRefused", "The folder is empty."), 2, "error: The folder is empty.\n"),
        (KeyboardInterrupt(), 130, "error: Interrupted; the same command goes on from the last checkpoint.\n"),
    ],
)
def test_an_end_has_its_exit_code_and_at_most_one_sentence(
    error: BaseException | None, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        if error is not None:
            raise error

    assert exit_code(work) == code
    assert capsys.readouterr().err == said


def test_a_fault_ends_with_a_sentence_after_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code([].pop) == 1
    *trace, last = capsys.readouterr().err.splitlines()
    assert trace[0].startswith("Traceback")
    assert last == "error: IndexError: pop from empty list"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_interrupt(number: int) -> None:
    assert exit_code(lambda: os.kill(os.getpid(), number)) == 130


@pytest.mark.parametrize(
    ("error", "reason", "retryable"),
    [
        (Refused("DataRefused", "Row 7 has no answer."), "DataRefused", False),
        (Refused("StorageFull", "No room.", retryable=True), "StorageFull", True),
        (KeyboardInterrupt(), "Interrupted", True),
        (RuntimeError("boom"), "TrainingFailed", True),
    ],
)
def test_the_reason_of_a_failure_is_recorded(tmp_path: Path, error: BaseException, reason: str, retryable: bool) -> None:
    attempt = tmp_path / "attempts" / "1"
    with pytest.raises(type(error)), failure_recorded(attempt, "TrainingFailed"):
        raise error
    failure = json.loads((attempt / "failure.json").read_text())
    assert (failure["reason"], failure["retryable"]) == (reason, retryable)
    assert failure["message"].endswith(".")


def test_a_fault_names_its_log(tmp_path: Path) -> None:
    attempt = tmp_path / "attempts" / "1"
    with pytest.raises(RuntimeError), failure_recorded(attempt, "TrainingFailed"):
        raise RuntimeError("boom")
    message = json.loads((attempt / "failure.json").read_text())["message"]
    assert message == f"RuntimeError: boom. The whole story is in the process's output ({tmp_path / 'logs'})."


def test_another_process_of_the_attempt_goes_on_from_what_was_counted(tmp_path: Path) -> None:
    worker = Reporter(tmp_path)
    worker.stage("Training", "Going on from step 3.")
    worker.step(7, 7, loss=1.5, tokens_per_second=10)
    Reporter(tmp_path).stage("Saving")
    written = json.loads((tmp_path / "progress.json").read_text())
    assert (written["stage"], written["step"], written["percent"], written["loss"]) == ("Saving", 7, 100, 1.5)
    assert "message" not in written


def test_a_damaged_progress_is_started_anew(tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text("{")
    assert Reporter(tmp_path).progress.step == 0
