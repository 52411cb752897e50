"""The folders that a service loads: fetched, checked to be whole, and of one family. Reads headers and digests, no weights."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from raysmith.api import layout
from raysmith.api.record import RunRecord
from raysmith_workloads.errors import Refused
from raysmith_workloads.finetune.digest import weights_digest
from raysmith_workloads.serve.model import Served
from raysmith_workloads.storage import fetch_model, local_path

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json")


def read_record(uri: str) -> RunRecord:
    """The record in the run folder at `uri`. Raises Refused (`ModelNotFound`) if the run never ended."""
    path = local_path(uri) / layout.RUN
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise Refused(
            "ModelNotFound", f"{uri} holds no finished run ({layout.RUN} cannot be read: {error.strerror}); run it first."
        ) from error


def fetched(served: Served) -> Served:
    """`served` with every folder on this machine, found whole. Downloads what lies on the hub.

    Raises Refused: `ModelNotFound`, `ModelRefused`, `AdapterRefused`.
    """
    base = fetch_model(served.base)
    check_model(base)
    adapters = {model_id: fetch_model(uri) for model_id, uri in served.adapters.items()}
    for model_id, folder in adapters.items():
        check_adapter(model_id, folder)
    check_family(served, base)
    uris = {model_id: f"file://{folder.absolute()}" for model_id, folder in adapters.items()}
    return replace(served, base=f"file://{base.absolute()}", adapters=uris, base_digests={})


def check_model(folder: Path) -> None:
    """Raises Refused if `folder` lacks a configuration, a tokenizer or a part of its weights."""
    read_json(folder / "config.json")
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise Refused("ModelRefused", f"{folder} holds no tokenizer; save the model's tokenizer there with save_pretrained.")
    index = folder / "model.safetensors.index.json"
    parts = set(read_json(index).get("weight_map", {}).values()) if index.exists() else set()
    for path in sorted({*folder.glob("*.safetensors"), *(folder / str(part) for part in parts)}):
        _check_weights(path)


def check_adapter(model_id: str, folder: Path) -> int:
    """The rank of the LoRA adapter in `folder`. Raises Refused if it is no LoRA adapter or not whole."""
    config = read_json(folder / "adapter_config.json")
    if config.get("peft_type") != "LORA" or not isinstance(config.get("r"), int):
        raise Refused("AdapterRefused", f"{model_id}: {folder} is no LoRA adapter as peft saves it, and only LoRA is served.")
    _check_weights(folder / "adapter_model.safetensors")
    return max(int(rank) for rank in (config["r"], *(config.get("rank_pattern") or {}).values()))


def check_family(served: Served, base: Path) -> None:
    """Raises Refused if an adapter was trained on other weights than those in `base`."""
    if not served.base_digests:
        return
    digest = weights_digest(base)
    for model_id, trained_on in served.base_digests.items():
        if trained_on != digest:
            raise Refused(
                "AdapterRefused",
                f"{model_id} was trained on other weights ({trained_on[:19]}…) than those in {base} ({digest[:19]}…), and an "
                "adapter works on its own base only; serve it on the model that its run started from.",
            )


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`. Raises Refused (`ModelRefused`) if there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused(
            "ModelRefused",
            f"{path} cannot be read ({error.strerror}); name a complete folder, as save_pretrained writes it.",
        ) from error
    except ValueError as error:
        raise Refused("ModelRefused", f"{path} is not JSON ({error}); save the model again.") from error
    if not isinstance(content, dict):
        raise Refused("ModelRefused", f"{path} is not a JSON object; save the model again.")
    return content


def _check_weights(path: Path) -> None:
    """A safetensors file that was cut off or never was one fails within the header, where the sizes are."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass
    except OSError as error:
        raise Refused("ModelRefused", f"{path} cannot be read; copy the folder again, whole.") from error
    except SafetensorError as error:
        raise Refused("ModelRefused", f"{path} is damaged ({error}); copy or save the model again.") from error
