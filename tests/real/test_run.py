"""`raysmith run` for real and small: trained, interrupted, resumed, served, compared, reused, and nothing left behind."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from paced import paced

pytestmark = pytest.mark.real

BASE = """
apiVersion: raysmith.io/v1alpha1
kind: LLMFineTune
metadata: {name: base}
spec:
  model: {source: "builtin://tiny"}
  objective: Pretrain
  data:
    train: [{name: docs, source: "builtin://python-docs"}]
    validation: {fraction: 0.05}
    maxLength: 64
  method: {full: {}}
  training: {steps: 60, learningRate: 3e-3, globalBatchSize: 4}
  checkpoints: {intervalSeconds: 600}
  evaluation: {gate: [{metric: ValidationLoss, max: 7.4}]}
"""
TUNED = """
apiVersion: raysmith.io/v1alpha1
kind: LLMFineTune
metadata: {name: tuned}
spec:
  model: {fineTune: {name: base}}
  data:
    train: [{name: numbers, source: "file://numbers.jsonl"}]
    validation: {fraction: 0.2}
    maxLength: 64
  method: {full: {}}
  training: {steps: 10, learningRate: 2e-3, globalBatchSize: 4}
  evaluation: {samples: 4, maxNewTokens: 8}
"""
SERVICES = "---".join(
    f"""
apiVersion: raysmith.io/v1alpha1
kind: LLMService
metadata: {{name: {name}-model}}
spec:
  model: {{fineTune: {{name: {name}}}}}
  access: {{anonymous: {{}}}}
"""
    for name in ("base", "tuned")
)


class Story(NamedTuple):
    """What happened, command by command."""

    folder: Path
    port: int
    processes_in_training: list[str]
    interrupted: subprocess.CompletedProcess[str]
    resumed: subprocess.CompletedProcess[str]
    summary: dict[str, Any]


def raysmith(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "raysmith.cli", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "160"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    out, err = process.communicate(timeout=600)
    assert "Traceback" not in err
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def processes_of(folder: Path) -> list[str]:
    """Command lines of all that runs for the data folder in `folder`, Ray among it: its volumes are in their environment."""
    own = f"RAYSMITH_VOLUMES={folder}/raysmith-data/volumes".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if own in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it has just ended, or is another user's
            continue
    return found


def interrupted_in_training(folder: Path) -> tuple[list[str], subprocess.CompletedProcess[str]]:
    """What ran while it trained, and how the command ended."""
    attempts = folder / "raysmith-data/volumes/raysmith-store/models/default"
    with raysmith(folder, "run", "base.yaml") as process:
        while not (found := list(attempts.glob("base-*/attempts/1"))):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        with paced(found[0]) as pace:
            pace.wait_for_step(1, process)
            seen = processes_of(folder)
            pace.interrupt(process)
        return seen, finished(process)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("run")
    rows = ({"prompt": f"{i} and {i}", "completion": f"{2 * i}"} for i in range(50))
    (folder / "numbers.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / "base.yaml").write_text(BASE)
    (folder / "rest.yaml").write_text(f"{SERVICES}---{TUNED}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    seen, interrupted = interrupted_in_training(folder)
    with raysmith(folder, "run", "rest.yaml", "base.yaml", "--no-wait", "--port", str(port)) as process:
        resumed = finished(process)
    summary = json.loads((folder / "raysmith-data" / "last-run.json").read_text())
    return Story(folder, port, seen, interrupted, resumed, summary)


def record(story: Story, name: str) -> dict[str, Any]:
    (file,) = story.folder.glob(f"raysmith-data/volumes/raysmith-store/models/default/{name}-*/run.json")
    loaded: dict[str, Any] = json.loads(file.read_text())
    return loaded


def test_ctrl_c_tells_the_step_and_where_the_same_command_goes_on(story: Story) -> None:
    assert story.interrupted.returncode == 130
    said = re.fullmatch(
        r"error: base: interrupted at step (\d+) of 60; the same command goes on from the checkpoint after step (\d+)\.\n",
        story.interrupted.stderr,
    )
    assert said, story.interrupted.stderr
    assert 0 < int(said[2]) == int(said[1]), "nothing is lost: Ctrl-C makes a checkpoint"


def test_the_resumed_run_goes_on_from_its_checkpoint_and_is_served(story: Story) -> None:
    assert story.resumed.returncode == 0, story.resumed.stdout + story.resumed.stderr
    attempts = record(story, "base")["attempts"]
    assert attempts[0]["failure"]["reason"] == "Interrupted"
    assert attempts[1]["resumedFromStep"] > 0
    assert record(story, "tuned")["base"]["artifact"]["digest"] == record(story, "base")["artifact"]["digest"]
    assert [service["name"] for service in story.summary["services"]] == ["base-model", "tuned-model"]


def test_both_models_have_answered_the_same_questions(story: Story) -> None:
    (comparison,) = story.summary["sideBySide"]
    assert (comparison["base"], comparison["tuned"]) == ("base-model", "tuned-model")
    samples = record(story, "tuned")["samples"]
    assert [row["prompt"] for row in comparison["rows"]] == [sample["prompt"] for sample in samples][:5]
    for row in comparison["rows"]:
        assert isinstance(row["base"], str)
        assert row["expected"] is not None
    assert "tuned: tuned-model" in story.resumed.stdout


def test_every_stage_has_its_seconds(story: Story) -> None:
    stages = [(stage["object"], stage["stage"]) for stage in story.summary["stages"]]
    for stage in (("", "start Ray"), ("base", "training"), ("tuned", "preparing the data"), ("", "starting to serve")):
        assert stage in stages


def test_nothing_is_left_running(story: Story) -> None:
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", story.port)) != 0
    for name in ("raysmith_workloads.finetune", "raysmith_workloads.local_ray", "raylet", "RayTrainWorker"):
        assert [line for line in story.processes_in_training if name in line], f"the search finds {name} while it runs"
    assert processes_of(story.folder) == []


def test_the_same_command_reuses_what_is_finished(story: Story) -> None:
    with raysmith(story.folder, "run", "base.yaml") as process:
        again = finished(process)
    assert again.returncode == 0
    assert "reused" in again.stdout
    assert "started Ray" not in again.stdout


def test_status_and_logs_tell_the_story_after_everything_has_ended(story: Story) -> None:
    with raysmith(story.folder, "status", "base") as process:
        shown = finished(process).stdout
    assert "Interrupted" in shown
    assert "loss.png" in shown
    assert "report.html" in shown
    with raysmith(story.folder, "logs", "base") as process:
        assert "==> 2-finetune.log <==" in finished(process).stdout
