"""What training starts from: an address, another run's result, or nothing but a shape. Checked before any worker starts.

Only JSON is read here, no weights: a model that cannot work is refused within a second.
"""

import json
from pathlib import Path
from typing import NamedTuple

from raysmith.api import LLMFineTune, layout
from raysmith.api.builtin import TINY
from raysmith.api.common import Artifact
from raysmith.api.finetune import LoRA
from raysmith.api.record import RunRecord
from raysmith_workloads.errors import Refused
from raysmith_workloads.model_config import check_length, read_config
from raysmith_workloads.storage import fetch_model, local_path


class Start(NamedTuple):
    """Folders that training starts from."""

    folder: Path | None
    """Folder of a model; None for new weights of the built-in shape."""
    adapter: Path | None = None
    """Folder of an adapter on that model."""


def resolve(obj: LLMFineTune, tokenizer: Path, max_length: int) -> Start:
    """What `spec.model` means. `tokenizer` is the prepared data's, `max_length` its longest sequence.

    Raises Refused: `ModelNotFound`, `ModelRefused`, `GateNotPassed`, `TokenizerMismatch`, `MaxLengthTooLong`,
    `AdapterMismatch`.
    """
    spec = obj.spec
    if spec.model.fine_tune is not None:
        start = _of_run(_reference(obj))
    elif spec.model.source == TINY:
        if spec.method.full is None:
            raise Refused(
                "ModelRefused",
                f"spec.method: {TINY} starts from random weights, and an adapter on them teaches nothing; use full: {{}}.",
            )
        start = Start(None)
    else:
        start = Start(fetch_model(str(spec.model.source)))
    _check(start, tokenizer, max_length)
    if start.adapter is not None and spec.method.lora is not None:
        _check_adapter(start.adapter, spec.method.lora)
    return start


def stored_dtype(start: Start) -> str:
    """Number format of the model's stored weights, as torch names it; what came from it goes back to it."""
    if start.folder is None:
        return "float32"
    config = read_config(start.folder)
    return str(config.get("dtype") or config.get("torch_dtype") or "float32")


def _reference(obj: LLMFineTune) -> Artifact:
    if obj.status is None or obj.status.model is None:
        name = obj.spec.model.fine_tune.name if obj.spec.model.fine_tune else ""
        raise Refused("ModelNotFound", f"spec.model.fineTune: {name} has not been resolved; run {name} first.")
    return obj.status.model


def _of_run(artifact: Artifact) -> Start:
    run = local_path(artifact.uri)
    record = _read_record(run, artifact)
    if not record.promoted:
        raise Refused(
            "GateNotPassed",
            f"spec.model.fineTune: {record.name} did not pass its gate ({record.message}); only promoted results are used.",
        )
    if record.artifact_kind == "model":
        return Start(run / layout.MODEL)
    return Start(_base_model(record), run / layout.ADAPTER)


def _base_model(record: RunRecord) -> Path:
    """The model below an adapter: the whole chain of adapters goes back to one."""
    if record.base.artifact is None:
        return fetch_model(str(record.base.source))
    run = local_path(record.base.artifact.uri)
    base = _read_record(run, record.base.artifact)
    return run / layout.MODEL if base.artifact_kind == "model" else _base_model(base)


def _read_record(run: Path, artifact: Artifact) -> RunRecord:
    try:
        record = RunRecord.model_validate_json((run / layout.RUN).read_bytes())
    except OSError as error:
        raise Refused(
            "ModelNotFound", f"{artifact.uri} holds no finished run ({layout.RUN} is missing); run it first."
        ) from error
    if record.artifact.digest != artifact.digest:
        raise Refused(
            "ModelNotFound",
            f"{artifact.uri} has changed since this run was accepted: its digest is {record.artifact.digest} "
            f"and not {artifact.digest}. Start this run anew.",
        )
    return record


def _check(start: Start, tokenizer: Path, max_length: int) -> None:
    if start.folder is None:
        return  # made for this tokenizer and this length
    config = read_config(start.folder)
    if not list(start.folder.glob("*.safetensors")):
        raise Refused("ModelRefused", f"{start.folder} holds no weights (*.safetensors); name a complete model folder.")
    rows, vocabulary = config.get("vocab_size"), _vocabulary(tokenizer)
    if rows is not None and vocabulary is not None and vocabulary > rows:
        raise Refused(
            "TokenizerMismatch",
            f"The tokenizer has {vocabulary} tokens, but {start.folder} has embeddings for {rows} only; use the model's own.",
        )
    check_length(config, start.folder, max_length)


def _vocabulary(tokenizer: Path) -> int | None:
    """Tokens of the prepared tokenizer; None if it is of a kind that only transformers can count."""
    from tokenizers import Tokenizer

    path = tokenizer / "tokenizer.json"
    return Tokenizer.from_file(str(path)).get_vocab_size(with_added_tokens=True) if path.exists() else None


def _check_adapter(adapter: Path, lora: LoRA) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    targets = sorted(config["target_modules"]) if lora.target_modules else None
    asked = sorted(lora.target_modules) if lora.target_modules else None
    for field, has, wants in (
        ("rank", config["r"], lora.rank),
        ("alpha", f"{config['lora_alpha']:g}", f"{lora.alpha:g}"),
        ("targetModules", targets, asked),
    ):
        if has != wants:
            raise Refused(
                "AdapterMismatch",
                f"spec.method.lora.{field} is {wants}, but the adapter that this run goes on from has {has}; "
                f"set {field} to {has}, or use method full to merge the adapter first.",
            )
