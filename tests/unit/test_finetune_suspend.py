"""How the driver ends when it is suspended or interrupted. Ray Train is not started: its `fit` is a function of the test's."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from raysmith.api import layout
from raysmith.api.common import to_wire
from raysmith.api.finetune import Progress
from raysmith_workloads.cluster_status.progress import SUSPENDED
from raysmith_workloads.errors import Suspended
from raysmith_workloads.finetune.fit import fit
from raysmith_workloads.report import exit_code, failure_recorded

pytestmark = pytest.mark.usefixtures("signals_as_before")


def trainer(work: Callable[[], object]) -> SimpleNamespace:
    return SimpleNamespace(fit=work)


def write_stage(attempt: Path, stage: str) -> None:
    progress = Progress(stage=stage, updated_time=datetime(2026, 11, 24, tzinfo=UTC))
    (attempt / layout.PROGRESS).write_text(json.dumps(to_wire(progress)))


def stop(attempt: Path, stage: str) -> None:
    write_stage(attempt, stage)
    (attempt / layout.STOP).write_text(SUSPENDED)


def test_workers_that_made_a_checkpoint_end_a_suspended_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stop(tmp_path, "Training")
    interrupted = SimpleNamespace(return_value=SimpleNamespace(interrupted=True, refused=None))

    def work() -> None:
        with failure_recorded(tmp_path, "TrainingFailed"):
            fit(trainer(lambda: interrupted), tmp_path, None)

    assert exit_code(work) == 130
    assert "set spec.suspend to false" in capsys.readouterr().err
    failure = json.loads((tmp_path / layout.FAILURE).read_text())
    assert (failure["reason"], failure["retryable"]) == ("Suspended", True)


def test_a_run_that_has_nothing_to_save_ends_at_once(tmp_path: Path) -> None:
    stop(tmp_path, "Loading")
    forever = threading.Event()
    with pytest.raises(Suspended):
        fit(trainer(forever.wait), tmp_path, None)
    forever.set()


def test_a_run_that_is_only_evaluated_goes_on_to_its_end(tmp_path: Path) -> None:
    stop(tmp_path, "EvaluatingTuned")
    done = SimpleNamespace(interrupted=False, refused=None)
    assert fit(trainer(lambda: SimpleNamespace(return_value=done)), tmp_path, None) is done


def test_a_stop_file_without_a_word_is_an_interrupt(tmp_path: Path) -> None:
    (tmp_path / layout.STOP).touch()
    interrupted = SimpleNamespace(return_value=SimpleNamespace(interrupted=True, refused=None))
    with pytest.raises(KeyboardInterrupt) as raised:
        fit(trainer(lambda: interrupted), tmp_path, None)
    assert raised.type is KeyboardInterrupt


def test_an_interrupted_run_waits_until_its_workers_have_made_a_checkpoint(tmp_path: Path) -> None:
    write_stage(tmp_path, "Training")
    saved = threading.Event()

    def work() -> SimpleNamespace:
        os.kill(os.getpid(), signal.SIGINT)
        while not (tmp_path / layout.STOP).exists():
            time.sleep(0.01)
        time.sleep(0.5)
        saved.set()
        return SimpleNamespace(return_value=SimpleNamespace(interrupted=True, refused=None))

    assert exit_code(lambda: fit(trainer(work), tmp_path, None)) == 130
    assert saved.is_set()
