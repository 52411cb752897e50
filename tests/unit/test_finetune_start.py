"""What training starts from, and which models are refused before any worker starts."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from finetune_runs import prepared_record
from objects import finetune
from raysmith.api import LLMFineTune
from raysmith.api.common import Artifact, Metrics, to_wire
from raysmith.api.record import BaseRecord, RunRecord, TrainingRecord
from raysmith_workloads.errors import Refused
from raysmith_workloads.finetune.start import Start, resolve, stored_dtype

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A tokenizer of 100 tokens."""
    from tokenizers import Tokenizer, models

    folder = tmp_path / "tokenizer"
    folder.mkdir()
    Tokenizer(models.WordLevel({f"token{number}": number for number in range(100)}, unk_token="token0")).save(
        str(folder / "tokenizer.json")
    )
    return folder


def model(folder: Path, **config: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"vocab_size": 128, "max_position_embeddings": 64} | config))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def obj(status: dict[str, Any] | None = None, **spec: Any) -> LLMFineTune:
    return LLMFineTune.model_validate(finetune(**spec) | ({"status": status} if status else {}))


def from_source(folder: Path) -> LLMFineTune:
    return obj(model={"source": f"file://{folder}"})


def finished_run(folder: Path, *, kind: str = "model", promoted: bool = True, base: BaseRecord | None = None) -> dict[str, Any]:
    """A run with a record in `folder`, as what a reference resolves to."""
    now = datetime.now(UTC)
    metrics = Metrics(validation_loss=1.0)
    training = TrainingRecord(steps=1, tokens=1, seconds=1, loss=1, workers=1, device="cpu", trained_parameters=1, parameters=1)
    record = RunRecord(
        name="earlier",
        namespace="default",
        uid="1",
        spec={},
        base=base or BaseRecord(source="builtin://tiny", digest=DIGEST),
        data=prepared_record(DIGEST, [], [], 0, 64),
        training=training,
        base_metrics=metrics,
        tuned_metrics=metrics,
        gate=[],
        promoted=promoted,
        message="The gate is not passed: too bad.",
        samples=[],
        artifact=Artifact(uri=f"file://{folder}/{kind}", digest=DIGEST),
        artifact_kind=kind,
        attempts=[],
        versions={},
        start_time=now,
        end_time=now,
    )
    model(folder / kind)
    (folder / "run.json").write_text(json.dumps(to_wire(record)))
    return {"uri": f"file://{folder}", "digest": DIGEST}


def from_run(reference: dict[str, Any]) -> LLMFineTune:
    return obj(status={"model": reference}, model={"fineTune": {"name": "earlier"}})


def test_the_built_in_shape_has_no_folder(tokenizer: Path) -> None:
    assert resolve(obj(), tokenizer, 64) == Start(None)


def test_a_source_is_a_folder(tokenizer: Path, tmp_path: Path) -> None:
    folder = model(tmp_path / "base")
    assert resolve(from_source(folder), tokenizer, 64) == Start(folder)


def test_a_run_with_all_weights_is_its_model(tokenizer: Path, tmp_path: Path) -> None:
    reference = finished_run(tmp_path / "run")
    assert resolve(from_run(reference), tokenizer, 64) == Start(tmp_path / "run" / "model")


def test_a_run_with_an_adapter_is_the_adapter_on_its_base(tokenizer: Path, tmp_path: Path) -> None:
    base = model(tmp_path / "base")
    reference = finished_run(tmp_path / "run", kind="adapter", base=BaseRecord(source=f"file://{base}", digest=DIGEST))
    assert resolve(from_run(reference), tokenizer, 64) == Start(base, tmp_path / "run" / "adapter")


def test_a_chain_of_adapters_goes_back_to_one_model(tokenizer: Path, tmp_path: Path) -> None:
    first = finished_run(tmp_path / "first")
    second = finished_run(
        tmp_path / "second", kind="adapter", base=BaseRecord(artifact=Artifact.model_validate(first), digest=DIGEST)
    )
    third = finished_run(
        tmp_path / "third", kind="adapter", base=BaseRecord(artifact=Artifact.model_validate(second), digest=DIGEST)
    )
    assert resolve(from_run(third), tokenizer, 64) == Start(tmp_path / "first" / "model", tmp_path / "third" / "adapter")


@pytest.mark.parametrize("method", [{"lora": {"rank": 4}}, {"lora": {"rank": 4, "targetModules": ["q_proj"]}}, {"full": {}}])
def test_an_adapter_that_fits_goes_on_and_any_is_merged(method: dict[str, Any], tokenizer: Path, tmp_path: Path) -> None:
    assert resolve(from_adapter(tmp_path / "run", **method), tokenizer, 64).adapter == tmp_path / "run" / "adapter"


def test_the_number_format_of_the_weights_is_read(tmp_path: Path) -> None:
    assert stored_dtype(Start(model(tmp_path / "new", dtype="bfloat16"))) == "bfloat16"
    assert stored_dtype(Start(model(tmp_path / "old", torch_dtype="float16"))) == "float16"
    assert stored_dtype(Start(model(tmp_path / "silent"))) == "float32"
    assert stored_dtype(Start(None)) == "float32"


def from_adapter(folder: Path, **method: Any) -> LLMFineTune:
    """Goes on from an adapter of rank 4 and scale 32 on the query projections."""
    base = model(folder.with_name("base"))
    reference = finished_run(folder, kind="adapter", base=BaseRecord(source=f"file://{base}", digest=DIGEST))
    adapter = {"r": 4, "lora_alpha": 32, "target_modules": ["q_proj"]}
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(adapter))
    return obj(status={"model": reference}, model={"fineTune": {"name": "earlier"}}, method=method)


def without_weights(folder: Path) -> LLMFineTune:
    (model(folder) / "model.safetensors").unlink()
    return from_source(folder)


def without_config(folder: Path) -> LLMFineTune:
    (model(folder) / "config.json").unlink()
    return from_source(folder)


def with_broken_config(folder: Path) -> LLMFineTune:
    (model(folder) / "config.json").write_text("{")
    return from_source(folder)


def with_a_list_for_a_config(folder: Path) -> LLMFineTune:
    (model(folder) / "config.json").write_text("[]")
    return from_source(folder)


def with_another_digest(folder: Path) -> LLMFineTune:
    return from_run(finished_run(folder) | {"digest": "sha256:" + "b" * 64})


REFUSED = {
    "no folder": (from_source, "ModelNotFound", "is no folder"),
    "no weights": (without_weights, "ModelRefused", "holds no weights"),
    "no config": (without_config, "ModelRefused", r"config\.json is missing"),
    "a broken config": (with_broken_config, "ModelRefused", r"config\.json is not JSON"),
    "a config of another shape": (with_a_list_for_a_config, "ModelRefused", "is not an object"),
    "too few embeddings": (
        lambda folder: from_source(model(folder, vocab_size=90)),
        "TokenizerMismatch",
        "has 100 tokens, but .* has embeddings for 90 only",
    ),
    "too few positions": (
        lambda folder: from_source(model(folder, max_position_embeddings=32)),
        "MaxLengthTooLong",
        "maxLength is 64, but .* was made for 32 positions; set maxLength to 32 or less",
    ),
    "too few positions, as GPT-2 calls them": (
        lambda folder: from_source(model(folder, max_position_embeddings=None, n_positions=32)),
        "MaxLengthTooLong",
        "was made for 32 positions",
    ),
    "a run that is not finished": (
        lambda folder: from_run({"uri": f"file://{folder}", "digest": DIGEST}),
        "ModelNotFound",
        "holds no finished run",
    ),
    "a run that failed its gate": (
        lambda folder: from_run(finished_run(folder, promoted=False)),
        "GateNotPassed",
        "earlier did not pass its gate .*; only promoted results are used",
    ),
    "a run that changed": (with_another_digest, "ModelNotFound", "has changed since this run was accepted"),
    "a reference that nobody resolved": (
        lambda _folder: obj(model={"fineTune": {"name": "earlier"}}),
        "ModelNotFound",
        "earlier has not been resolved; run earlier first",
    ),
    "an adapter of another rank": (
        lambda folder: from_adapter(folder, lora={"rank": 8}),
        "AdapterMismatch",
        "method.lora.rank is 8, but the adapter that this run goes on from has 4; set rank to 4, or use method full",
    ),
    "an adapter of another scale": (
        lambda folder: from_adapter(folder, lora={"rank": 4, "alpha": 9}),
        "AdapterMismatch",
        "method.lora.alpha is 9, but the adapter that this run goes on from has 32",
    ),
    "an adapter on other layers": (
        lambda folder: from_adapter(folder, lora={"rank": 4, "targetModules": ["v_proj"]}),
        "AdapterMismatch",
        "targetModules is",
    ),
    "an adapter on random weights": (
        lambda _folder: obj(method={"lora": {}}),
        "ModelRefused",
        "starts from random weights, and an adapter on them teaches nothing; use full",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_trained_is_refused_with_a_sentence(case: str, tokenizer: Path, tmp_path: Path) -> None:
    make, reason, message = REFUSED[case]
    with pytest.raises(Refused, match=message) as refused:
        resolve(make(tmp_path / "model"), tokenizer, 64)
    assert refused.value.reason == reason
    assert refused.value.message.endswith(".")
