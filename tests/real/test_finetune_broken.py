"""Fine-tunes that something happens to: killed, interrupted, damaged, too slow, without room, without permission."""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from finetune_runs import Run, small_run
from full_disk import fill_disk
from paced import paced
from raysmith.api import layout
from raysmith_workloads.finetune.digest import file_digest
from raysmith_workloads.report import read_progress
from tiny_models import make_gpt2

pytestmark = pytest.mark.real

Workload = Callable[..., subprocess.CompletedProcess[str]]
Begun = Callable[[Run], AbstractContextManager[subprocess.Popen[bytes]]]


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gpt2(tmp_path_factory.mktemp("gpt2"))


def first_worker(run: Run) -> int:
    """The process of the worker that counts the steps, out of what the run prints."""
    while not (found := re.findall(r"RayTrainWorker pid=(\d+)\)\S* step ", run.output.read_text())):
        time.sleep(0.1)
    return int(found[-1])


def kill(number: int) -> None:
    """Kill the process, and wait until it is gone."""
    handle = os.pidfd_open(number)
    os.kill(number, signal.SIGKILL)
    select.select([handle], [], [])
    os.close(handle)


def messages(run: Run, attempt: int, process: subprocess.Popen[bytes]) -> set[str | None]:
    """Everything that the run tells people who watch it, until `process` ends."""
    said = set()
    while process.poll() is None:
        if progress := read_progress(run.folder / layout.attempt_folder(attempt)):
            said.add(progress.message)
        time.sleep(0.02)
    return said


TOLD = {
    f"attempts/1/{name}" for name in ("base-evaluation.json", "claim.json", "failure.json", "metrics.jsonl", "progress.json")
}
"""What an attempt says about itself."""


def left(run: Run) -> set[str]:
    """What the run has written, but for what the test has made for it."""
    given = ("object.json", "given.json", "prepared.json")
    files = (path for path in run.folder.rglob("*") if not path.is_dir() or path.is_symlink())
    return {str(path.relative_to(run.folder)) for path in files if path.name not in given}


def steps(number: int) -> dict[str, Any]:
    return {
        "training": {"steps": number, "globalBatchSize": 4, "learningRate": 1e-3},
        "checkpoints": {"intervalSteps": 5},
    }


def test_a_run_that_was_killed_interrupted_and_damaged_ends_with_the_same_weights_as_an_unbroken_one(
    gpt2: Path, tmp_path: Path, begin: Begun
) -> None:
    unbroken, broken = (small_run(tmp_path, gpt2, name=name, **steps(80)) for name in ("unbroken", "broken"))
    with begin(unbroken) as other, paced(broken.folder / layout.attempt_folder(1)) as pace, begin(broken) as process:
        pace.wait_for_step(8, process)
        kill(first_worker(broken))
        pace.wait_for_step(45, process)  # the killed worker came no further than 38: Ray Train has started another one
        assert pace.interrupt(process) == 130
        assert other.wait(300) == 0
    assert broken.json("attempts/1/failure.json")["reason"] == "Interrupted"
    newest = max(broken.folder.glob("attempts/1/checkpoints/*/commit.json")).parent
    step = int(newest.name.removeprefix("step-"))
    assert 45 <= step < 80
    with (newest / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x55")

    broken.start_attempt(2)
    with begin(broken) as process:
        said = messages(broken, 2, process)
        assert process.wait() == 0
    before = (step - 1) // 5 * 5  # the interrupt made a checkpoint of its own, at whatever step that was
    assert (
        f"checkpoint of step {step} is damaged (model.safetensors is not what was written); going on from step {before}."
    ) in said
    assert file_digest(broken.folder / "model/model.safetensors") == file_digest(unbroken.folder / "model/model.safetensors")
    assert broken.losses() == unbroken.losses()
    attempts = broken.record().attempts
    assert [attempt.resumed_from_step for attempt in attempts] == [0, before]
    assert attempts[0].failure is not None
    assert attempts[0].failure.reason == "Interrupted"


def test_a_run_of_two_workers_that_lost_one_ends_with_the_same_weights_as_an_unbroken_one(
    gpt2: Path, tmp_path: Path, begin: Begun
) -> None:
    """Bit by bit: with two workers there is one order only to add up their gradients in. Each has dropout of its own."""
    settings = {**steps(50), "workers": {"replicas": 2, "resources": {"requests": {"cpu": "1"}}}}
    unbroken, broken = (small_run(tmp_path, gpt2, name=name, **settings) for name in ("unbroken", "broken"))
    with begin(unbroken) as other, begin(broken) as process:
        with paced(broken.folder / layout.attempt_folder(1)) as pace:
            pace.wait_for_step(8, process)
            kill(first_worker(broken))
        assert (process.wait(300), other.wait(300)) == (0, 0)
    assert broken.losses() == unbroken.losses()
    assert file_digest(broken.folder / "model/model.safetensors") == file_digest(unbroken.folder / "model/model.safetensors")
    assert unbroken.record().training.workers == broken.record().training.workers == 2
    done = [json.loads(line)["step"] for line in (broken.folder / "attempts/1/metrics.jsonl").read_text().split("\n") if line]
    [again] = [after for before, after in pairwise(done) if after <= before]
    assert again % 5 == 1 < again, "it went on from a checkpoint"


def test_a_run_that_takes_too_long_is_stopped(llama: Path, tmp_path: Path, run_workload: Workload) -> None:
    run = small_run(tmp_path, llama, name="late", activeDeadlineSeconds=1)
    result = run_workload("finetune", "--object", run.object_file)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == (
        "error: The run took longer than spec.activeDeadlineSeconds (1); raise it, or set fewer steps."
    )
    assert run.json("attempts/1/failure.json")["reason"] == "DeadlineExceeded"
    assert not (run.folder / layout.RUN).exists()


def test_a_checkpoint_that_finds_the_disk_full_ends_the_run_with_a_sentence_and_leaves_nothing_half(
    llama: Path, tmp_path: Path, begin: Begun
) -> None:
    run = small_run(tmp_path, llama, name="big", training={"steps": 50}, checkpoints={"intervalSteps": 40})
    with paced(run.folder / layout.attempt_folder(1)) as pace, begin(run) as process:
        pace.wait_for_step(1, process)
        fill_disk(first_worker(run), room=65536)
        assert pace.let_go(process) == 2
    file = run.folder / layout.checkpoint_folder(1, 40) / "model.safetensors"
    said = run.output.read_text()
    assert said.splitlines()[-1] == f"error: No room left to write {file}; free some space there, then start again."
    assert "Traceback" not in said
    failure = run.json("attempts/1/failure.json")
    assert (failure["reason"], failure["retryable"]) == ("StorageFull", True)
    assert left(run) == TOLD


def test_a_checkpoint_that_may_not_be_written_ends_the_run_with_a_sentence_and_leaves_nothing_half(
    llama: Path, tmp_path: Path, run_workload: Workload
) -> None:
    run = small_run(tmp_path, llama, name="barred", training={"steps": 1})
    checkpoints = run.folder / layout.checkpoint_folder(1, 1)
    checkpoints.parent.parent.mkdir(parents=True)
    checkpoints.parent.symlink_to("/sys/kernel")  # not even root writes there
    result = run_workload("finetune", "--object", run.object_file)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == (
        f"error: {checkpoints} may not be written; give this user write permission there, or choose another place."
    )
    assert "Traceback" not in result.stdout + result.stderr
    failure = run.json("attempts/1/failure.json")
    assert (failure["reason"], failure["retryable"]) == ("StorageDenied", False)
    assert left(run) == TOLD | {"attempts/1/checkpoints"}


def test_a_model_folder_without_weights_is_refused_in_one_line_before_ray_starts(
    llama: Path, tmp_path: Path, run_workload: Workload
) -> None:
    model = shutil.copytree(llama, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    run = small_run(tmp_path, model, name="empty")
    result = run_workload("finetune", "--object", run.object_file, RAY_ADDRESS="127.0.0.1:1")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"error: file://{model} holds no weights (*.safetensors); save the model there with save_pretrained, "
        "or name another folder.\n"
    )
    assert run.json("attempts/1/failure.json")["reason"] == "ModelRefused"
