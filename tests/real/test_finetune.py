"""Fine-tuning for real: Ray Train, workers as processes, kills, other models."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_runs import Run, make_run, random_sequences
from raysmith.api import layout
from raysmith_workloads.finetune.digest import file_digest, folder_digest, weights_digest
from tiny_models import make_llama

pytestmark = [
    pytest.mark.real,
    # peft asks transformers for an attribute by its old name.
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning"),
]

Workload = Callable[..., subprocess.CompletedProcess[str]]
GPT2_LARGE = Path(__file__).parents[2] / "examples" / "gpt2-large.yaml"
TRAIN = random_sequences(48, vocabulary=1024)
VALIDATION = random_sequences(6, vocabulary=1024, seed=1)
QUESTIONS = [{"messages": [{"role": "user", "content": "hello"}], "expected": "world"}]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory, llama: Path) -> Path:
    """GPT-2's architecture, shrunk, with the dropout that it was made with."""
    import torch
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    folder = tmp_path_factory.mktemp("gpt2")
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(vocab_size=1024, n_embd=64, n_layer=2, n_head=2, n_positions=1024)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(llama).save_pretrained(folder)
    return folder


def small(storage: Path, folder: Path, *, status: dict[str, Any] | None = None, **changes: Any) -> Run:
    """18 steps on 48 sequences."""
    spec: dict[str, Any] = {
        "model": {"source": f"file://{folder}"},
        "data": {"train": [{"name": "rows", "source": "file://rows.jsonl"}], "maxLength": 128, "validation": {"fraction": 0.1}},
        "training": {"epochs": 3, "globalBatchSize": 8, "learningRate": 1e-3},
        "workers": {"resources": {"requests": {"cpu": "1"}}},
        "evaluation": {"maxNewTokens": 4},
    }
    return make_run(storage, folder, TRAIN, validation=VALIDATION, questions=QUESTIONS, status=status, **(spec | changes))


def finish(run: Run, run_workload: Workload) -> Run:
    result = run_workload("finetune", "--object", run.object_file)
    assert result.returncode == 0, result.stdout + result.stderr
    return run


def losses(run: Run) -> list[float]:
    lines = [json.loads(line) for line in (run.folder / layout.METRICS).read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["loss"] for line in lines]


@contextmanager
def started(run: Run, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The run as a process of its own, whose output goes to the file `output`."""
    command = [sys.executable, "-m", "raysmith_workloads.finetune", "--object", str(run.object_file)]
    with output.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_step(run: Run, attempt: int, step: int, output: Path) -> int:
    """Wait until training has done `step` steps; returns the worker's process."""
    metrics = run.folder / layout.attempt_folder(attempt) / layout.METRICS
    for _ in range(1200):
        done = metrics.exists() and f'{{"step": {step},' in metrics.read_text()
        workers = re.findall(r"RayTrainWorker pid=(\d+)", output.read_text())
        if done and workers:
            return int(workers[-1])
        time.sleep(0.1)
    raise AssertionError(output.read_text())


@pytest.fixture(scope="module")
def tuned_llama(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Not run yet; the first test that needs it finishes it."""
    return small(tmp_path_factory.mktemp("storage"), llama, name="full")


@pytest.fixture
def finished_llama(tuned_llama: Run, run_workload: Workload) -> Run:
    return tuned_llama if (tuned_llama.folder / layout.RUN).exists() else finish(tuned_llama, run_workload)


def reference_to(run: Run) -> dict[str, Any]:
    return {"model": {"uri": f"file://{run.folder}", "digest": run.record().artifact.digest}}


def test_a_run_leaves_a_model_that_transformers_loads_and_a_record(finished_llama: Run) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    record = finished_llama.record()
    folder = finished_llama.folder / "model"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert tokenizer.chat_template
    assert record.artifact.digest == folder_digest(folder)
    assert record.promoted
    assert record.training.steps == 18
    assert record.training.loss < losses(finished_llama)[0]
    assert record.tuned_metrics.validation_loss != record.base_metrics.validation_loss
    assert [sample.prompt for sample in record.samples] == ["hello"]
    assert (finished_llama.folder / layout.LOSS_CURVE).read_bytes().startswith(b"\x89PNG")
    assert "<h1>full</h1>" in (finished_llama.folder / layout.REPORT).read_text()
    assert finished_llama.json("attempts/1/progress.json")["stage"] == "Done"
    assert sorted(path.name for path in finished_llama.folder.glob("attempts/1/*")) == [
        *("base-evaluation.json", "checkpoints", "claim.json", "metrics.jsonl", "progress.json")
    ]


def test_a_finished_run_returns_at_once(finished_llama: Run, run_workload: Workload) -> None:
    before = finished_llama.record()
    result = run_workload("finetune", "--object", finished_llama.object_file)
    assert result.returncode == 0
    assert result.stdout.startswith("full is finished already")
    assert finished_llama.record() == before


def test_two_workers_learn_the_same_as_one(finished_llama: Run, llama: Path, tmp_path: Path, run_workload: Workload) -> None:
    workers = {"replicas": 2, "resources": {"requests": {"cpu": "1"}}}
    both = finish(small(tmp_path, llama, name="two", workers=workers), run_workload)
    assert both.record().training.workers == 2
    assert losses(both) == pytest.approx(losses(finished_llama), abs=1e-4)
    one, two = finished_llama.record(), both.record()
    assert two.tuned_metrics.validation_loss == pytest.approx(one.tuned_metrics.validation_loss, abs=1e-4)
    assert two.training.tokens == one.training.tokens


def test_a_run_that_was_killed_interrupted_and_damaged_ends_with_the_same_weights_as_an_unbroken_one(
    gpt2: Path, tmp_path: Path, run_workload: Workload
) -> None:
    settings: dict[str, Any] = {
        "training": {"steps": 80, "globalBatchSize": 4, "learningRate": 1e-3},
        "checkpoints": {"intervalSteps": 5},
    }
    unbroken = finish(small(tmp_path, gpt2, name="unbroken", **settings), run_workload)
    broken = small(tmp_path, gpt2, name="broken", **settings)

    output = tmp_path / "output"
    with started(broken, output) as process:
        os.kill(wait_for_step(broken, 1, 12, output), signal.SIGKILL)
        wait_for_step(broken, 1, 35, output)  # Ray Train has started the worker again
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert broken.json("attempts/1/failure.json")["reason"] == "Interrupted"
    newest = max(broken.folder.glob("attempts/1/checkpoints/*/commit.json")).parent
    step = int(newest.name.removeprefix("step-"))
    with (newest / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x55")

    broken.start_attempt(2)
    with started(broken, output) as process:
        wait_for_step(broken, 2, step, output)
        message = broken.json("attempts/2/progress.json")["message"]
        assert process.wait(300) == 0, output.read_text()
    before = (step - 1) // 5 * 5  # the interrupt made a checkpoint of its own, at whatever step that was
    assert message == (
        f"checkpoint of step {step} is damaged (model.safetensors is not what was written); going on from step {before}."
    )
    assert file_digest(broken.folder / "model/model.safetensors") == file_digest(unbroken.folder / "model/model.safetensors")
    assert losses(broken) == losses(unbroken)
    attempts = broken.record().attempts
    assert [attempt.resumed_from_step for attempt in attempts] == [0, before]
    assert attempts[0].failure is not None
    assert attempts[0].failure.reason == "Interrupted"


def test_the_gpt2_example_trains_a_shrunk_gpt2_on_four_cpu_workers(gpt2: Path, tmp_path: Path, run_workload: Workload) -> None:
    spec = yaml.safe_load(GPT2_LARGE.read_text())["spec"]
    spec["model"] = {"source": f"file://{gpt2}"}
    spec["workers"]["resources"] = {"requests": {"cpu": "1"}}
    spec["data"]["train"] = [{"name": "handbook", "source": "file://handbook.jsonl"}]
    spec["output"]["storage"] = f"file://{tmp_path}"
    run = finish(make_run(tmp_path, gpt2, TRAIN, name="gpt2-large", validation=VALIDATION, **spec), run_workload)
    record = run.record()
    assert record.training.workers == 4
    assert record.training.steps == 3
    assert record.spec["training"]["globalBatchSize"] == 64
    assert record.tuned_metrics.perplexity is not None


def test_an_adapter_on_another_runs_result_loads_in_peft_and_can_be_gone_on_from_and_merged(
    finished_llama: Run, llama: Path, tmp_path: Path, run_workload: Workload
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = finished_llama.folder / "model"
    onward: dict[str, Any] = {"model": {"fineTune": {"name": "full"}}, "method": {"lora": {"rank": 4}}}
    first = finish(small(tmp_path, llama, name="first", status=reference_to(finished_llama), **onward), run_workload)
    record = first.record()
    assert record.artifact_kind == "adapter"
    assert record.base.digest == weights_digest(base)
    assert record.training.trained_parameters < record.training.parameters / 5
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), first.folder / "adapter")

    second = finish(small(tmp_path, llama, name="second", status=reference_to(first), **onward), run_workload)
    assert losses(second)[0] < losses(first)[0]
    assert second.record().base_metrics == pytest.approx(record.tuned_metrics)

    full: dict[str, Any] = {
        "model": {"fineTune": {"name": "first"}},
        "training": {"steps": 1, "globalBatchSize": 1, "learningRate": 1e-9},
    }
    merged = finish(small(tmp_path, llama, name="merged", status=reference_to(first), **full), run_workload)
    expected = adapted.merge_and_unload().state_dict()
    for name, tensor in AutoModelForCausalLM.from_pretrained(merged.folder / "model").state_dict().items():
        assert tensor.allclose(expected[name], atol=1e-6), name


def test_new_weights_learn_text(llama: Path, tmp_path: Path, run_workload: Workload) -> None:
    changes: dict[str, Any] = {
        "model": {"source": "builtin://tiny"},
        "objective": "Pretrain",
        "training": {"steps": 4, "globalBatchSize": 8},
    }
    run = finish(
        small(tmp_path, llama, name="tiny", evaluation={"prompts": ["The with statement"], "maxNewTokens": 4}, **changes),
        run_workload,
    )
    record = run.record()
    assert record.base.source == "builtin://tiny"
    assert record.tuned_metrics.exact_match == 0  # hand-made questions; prepared Pretrain data has none
    assert record.tuned_metrics.validation_loss < record.base_metrics.validation_loss  # type: ignore[operator]
    assert [sample.prompt for sample in record.samples] == ["The with statement"]


def test_a_run_that_takes_too_long_is_stopped(llama: Path, tmp_path: Path, run_workload: Workload) -> None:
    run = small(tmp_path, llama, name="late", activeDeadlineSeconds=1)
    result = run_workload("finetune", "--object", run.object_file)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == (
        "error: The run took longer than spec.activeDeadlineSeconds (1); raise it, or set fewer steps."
    )
    assert run.json("attempts/1/failure.json")["reason"] == "DeadlineExceeded"
    assert not (run.folder / layout.RUN).exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"suspend": True}, "late is suspended; set spec.suspend to false to start it."),
        ({"objective": "DPO"}, "spec.objective: DPO is not built yet; use SFT or Pretrain."),
        ({"data": {"train": [{"name": "a", "source": "file://a"}], "maxLength": 513}}, "set maxLength to 512 or less."),
    ],
)
def test_what_cannot_run_ends_with_one_sentence_before_ray_starts(
    changes: dict[str, Any], message: str, llama: Path, tmp_path: Path, run_workload: Workload
) -> None:
    run = small(tmp_path, llama, name="late", **changes)
    result = run_workload("finetune", "--object", run.object_file)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.endswith(f"{message}\n")
    assert len(result.stderr.splitlines()) == 1
