"""Fine-tuning for real: Ray Train, workers as processes, all weights and adapters, one model after the other."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_runs import Run, small_run
from raysmith.api import layout
from raysmith_workloads.finetune.digest import folder_digest, weights_digest

pytestmark = [
    pytest.mark.real,
    # peft asks transformers for an attribute by its old name.
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning"),
]

Workload = Callable[..., subprocess.CompletedProcess[str]]
Finish = Callable[..., None]


@pytest.fixture(scope="module")
def one_and_two_workers(llama: Path, tmp_path_factory: pytest.TempPathFactory, finish: Finish) -> tuple[Run, Run]:
    """The same run with one worker and with two."""
    storage = tmp_path_factory.mktemp("storage")
    two = {"replicas": 2, "resources": {"requests": {"cpu": "1"}}}
    runs = small_run(storage, llama, name="full"), small_run(storage, llama, name="two", workers=two)
    finish(*runs)
    return runs


@pytest.fixture
def finished_llama(one_and_two_workers: tuple[Run, Run]) -> Run:
    return one_and_two_workers[0]


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
    assert record.training.loss < finished_llama.losses()[0]
    assert record.tuned_metrics.validation_loss != record.base_metrics.validation_loss
    assert [sample.prompt for sample in record.samples] == ["hello"]
    assert (finished_llama.folder / layout.LOSS_CURVE).read_bytes().startswith(b"\x89PNG")
    assert "<h1>full</h1>" in (finished_llama.folder / layout.REPORT).read_text()
    assert finished_llama.json("attempts/1/progress.json")["stage"] == "Done"
    assert sorted(path.name for path in finished_llama.folder.glob("attempts/1/*")) == [
        *("base-evaluation.json", "checkpoints", "claim.json", "metrics.jsonl", "progress.json")
    ]


def test_what_a_run_prints_is_about_the_run(finished_llama: Run) -> None:
    said = finished_llama.output.read_text()
    assert finished_llama.record().message in said
    assert [line for line in said.splitlines() if "pid=" in line and "RayTrainWorker" not in line] == []


def test_a_finished_run_returns_at_once(finished_llama: Run, run_workload: Workload) -> None:
    before = finished_llama.record()
    result = run_workload("finetune", "--object", finished_llama.object_file)
    assert result.returncode == 0
    assert result.stdout.startswith("full is finished already")
    assert finished_llama.record() == before


def test_two_workers_learn_the_same_as_one(one_and_two_workers: tuple[Run, Run]) -> None:
    one, two = one_and_two_workers
    assert two.record().training.workers == 2
    assert two.losses() == pytest.approx(one.losses(), abs=1e-4)
    assert two.record().tuned_metrics.validation_loss == pytest.approx(one.record().tuned_metrics.validation_loss, abs=1e-4)
    assert two.record().training.tokens == one.record().training.tokens


def test_an_adapter_on_another_runs_result_loads_in_peft_and_can_be_gone_on_from_and_merged(
    finished_llama: Run, llama: Path, tmp_path: Path, finish: Finish
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = finished_llama.folder / "model"
    onward: dict[str, Any] = {"model": {"fineTune": {"name": "full"}}, "method": {"lora": {"rank": 4}}}
    first = small_run(tmp_path, llama, name="first", status=reference_to(finished_llama), **onward)
    finish(first)
    record = first.record()
    assert record.artifact_kind == "adapter"
    assert record.base.digest == weights_digest(base)
    assert record.training.trained_parameters < record.training.parameters / 5
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), first.folder / "adapter")

    full: dict[str, Any] = {
        "model": {"fineTune": {"name": "first"}},
        "training": {"steps": 1, "globalBatchSize": 1, "learningRate": 1e-9},
    }
    second = small_run(tmp_path, llama, name="second", status=reference_to(first), **onward)
    merged = small_run(tmp_path, llama, name="merged", status=reference_to(first), **full)
    finish(second, merged)
    assert second.losses()[0] < first.losses()[0]
    assert second.record().base_metrics == pytest.approx(record.tuned_metrics)
    expected = adapted.merge_and_unload().state_dict()
    for name, tensor in AutoModelForCausalLM.from_pretrained(merged.folder / "model").state_dict().items():
        assert tensor.allclose(expected[name], atol=1e-6), name


def test_new_weights_learn_text(llama: Path, tmp_path: Path, finish: Finish) -> None:
    changes: dict[str, Any] = {
        "model": {"source": "builtin://tiny"},
        "objective": "Pretrain",
        "training": {"steps": 4, "globalBatchSize": 8},
    }
    run = small_run(tmp_path, llama, name="tiny", evaluation={"prompts": ["The with statement"], "maxNewTokens": 4}, **changes)
    finish(run)
    record = run.record()
    assert record.base.source == "builtin://tiny"
    assert record.tuned_metrics.exact_match == 0  # hand-made questions; prepared Pretrain data has none
    assert record.tuned_metrics.validation_loss < record.base_metrics.validation_loss  # type: ignore[operator]
    assert [sample.prompt for sample in record.samples] == ["The with statement"]
