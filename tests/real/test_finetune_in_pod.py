"""The GPT-2 example with a shrunk model, as pods run it: from its volume to its volume, with what is printed kept beside.

The processes believe to be in a pod. There is no token, so no status.
"""

import json
import subprocess
from collections.abc import Callable
from itertools import islice
from math import ceil
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from raysmith.api import LLMFineTune, layout
from raysmith.api.common import to_wire
from raysmith.api.record import RunRecord
from raysmith_workloads.prepare.builtin import BUILTIN
from tiny_models import make_gpt2

pytestmark = pytest.mark.real

Workload = Callable[..., subprocess.CompletedProcess[str]]
EXAMPLE = Path(__file__).parents[2] / "examples" / "gpt2-large.yaml"
PASSAGES = 80


class Story(NamedTuple):
    """Where the run left what, and its last words before training."""

    folder: Path
    record: RunRecord
    words: Path


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, run_workload: Workload) -> Story:
    """The example with another model and without GPUs; its data, its four workers and all else are as they are published."""
    root = tmp_path_factory.mktemp("gpt2-large")
    write_handbook(root / "volumes/datasets/handbook")
    document = yaml.safe_load(EXAMPLE.read_text())
    document["metadata"]["uid"] = "0123456789abcdef"
    document["status"] = {"attempt": 1}
    document["spec"]["model"] = {"source": f"file://{make_gpt2(root / 'model')}"}
    document["spec"]["workers"]["resources"] = {"requests": {"cpu": "1"}}
    file = root / "object.json"
    file.write_text(json.dumps(to_wire(LLMFineTune.model_validate(document))))

    words = root / "termination-log"
    settings = {
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "RAYSMITH_TERMINATION_LOG": str(words),
        "RAYSMITH_VOLUMES": str(root / "volumes"),
        "HF_TOKEN": "hf_very_secret",
    }
    # Workers have the environment of their Ray, so this run starts one of its own.
    for module, ray in (("prepare", {}), ("finetune", {"RAY_ADDRESS": ""})):
        done = run_workload(module, "--object", file, **settings, **ray)
        assert done.returncode == 0, done.stdout + done.stderr
    folder = root / "volumes/raysmith-store/models/default/gpt2-large-01234567"
    return Story(folder, RunRecord.model_validate_json((folder / layout.RUN).read_bytes()), words)


def write_handbook(folder: Path) -> None:
    """Two files with one text a line."""
    folder.mkdir(parents=True)
    passages = BUILTIN["python-docs"]()
    for name in ("a", "b"):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in islice(passages, PASSAGES // 2)))


def test_the_examples_text_becomes_sequences_as_long_as_gpt2_can_look_back(story: Story) -> None:
    data = story.record.data
    assert data.train.rows + data.validation.rows == PASSAGES
    assert 0 < data.validation.rows < PASSAGES / 8
    assert data.max_length == 1024
    assert data.train.sequences < data.train.rows / 2, "several texts are packed into one sequence"
    assert data.train.supervised_tokens > 0.9 * data.train.tokens, "all of the text is learned"


def test_four_workers_learn_from_it(story: Story) -> None:
    record = story.record
    assert record.training.workers == 4
    assert record.training.steps == ceil(3 * record.data.train.sequences / 64)
    assert record.tuned_metrics.perplexity is not None
    assert record.tuned_metrics.validation_loss < record.base_metrics.validation_loss  # type: ignore[operator]
    assert record.artifact.uri == "pvc://raysmith-store/models/default/gpt2-large-01234567/model"


def test_driver_worker_and_preparation_leave_their_logs_and_last_words(story: Story) -> None:
    assert json.loads(story.words.read_bytes())["rows"] == story.record.data.train.rows
    logs = {path.name: path.read_text() for path in (story.folder / "logs").iterdir()}
    assert f"step {story.record.training.steps} of {story.record.training.steps}" in logs["1-worker-0.log"]
    assert story.record.message in logs["1-finetune.log"]
    assert "hf_very_secret" not in "".join(logs.values())
    assert set(logs) <= {"1-prepare.log", "1-finetune.log", *(f"1-worker-{number}.log" for number in range(4))}
    assert (story.folder / layout.OBJECT).exists()
