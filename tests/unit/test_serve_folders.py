"""Folders that a service would load, whole and not."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from raysmith_workloads.errors import Refused
from raysmith_workloads.finetune.digest import weights_digest
from raysmith_workloads.serve.folders import check_adapter, fetched, read_record
from raysmith_workloads.serve.model import Served


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    save_file({"weight": np.zeros(4, np.float32)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 8}))
    save_file({"lora": np.zeros(4, np.float32)}, folder / "adapter_model.safetensors")
    return folder


def _served(model: Path, adapter: Path | None = None) -> Served:
    return Served("chat", "chat", f"file://{model}", {"chat:a": f"file://{adapter}"} if adapter else {})


def test_whole_folders_are_taken(model: Path, adapter: Path) -> None:
    assert fetched(_served(model, adapter)) == _served(model, adapter)


def test_an_adapter_is_taken_on_the_weights_that_it_was_trained_on(model: Path, adapter: Path) -> None:
    served = _served(model, adapter)
    assert fetched(replace(served, base_digests={"chat:a": weights_digest(model)})) == served


def test_an_adapter_on_other_weights_is_refused(model: Path, adapter: Path) -> None:
    with pytest.raises(
        Refused, match=r"chat:a was trained on other weights .* serve it on the model that its run started from"
    ):
        fetched(replace(_served(model, adapter), base_digests={"chat:a": "sha256:" + "0" * 64}))


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("config.json", None, r"config\.json cannot be read \(No such file or directory\); name a complete folder"),
        ("config.json", b"{", r"config\.json is not JSON .*; save the model again\."),
        ("config.json", b"[]", r"config\.json is not a JSON object; save the model again\."),
        ("tokenizer.json", None, r"model holds no tokenizer; save the model's tokenizer there with save_pretrained\."),
        ("model.safetensors", None, r"holds no weights \(\*\.safetensors\)"),
        ("model.safetensors", b"x" * 40, r"model\.safetensors is damaged \(.*\); copy or save the model again\."),
        (
            "model.safetensors.index.json",
            b'{"weight_map": {"weight": "part-2.safetensors"}}',
            r"part-2\.safetensors cannot be read",
        ),
    ],
)
def test_a_model_folder_that_is_not_whole_is_refused(model: Path, file: str, content: bytes | None, sentence: str) -> None:
    if content is None:
        (model / file).unlink()
    else:
        (model / file).write_bytes(content)
    with pytest.raises(Refused, match=sentence):
        fetched(_served(model))


def test_weights_that_were_cut_off_are_refused(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(Refused, match=r"model\.safetensors is damaged"):
        fetched(_served(model))


def test_the_rank_of_an_adapter_is_its_greatest(adapter: Path) -> None:
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 8, "rank_pattern": {"q_proj": 32}}))
    assert check_adapter("chat:a", adapter) == 32


def test_another_kind_of_adapter_is_refused(adapter: Path) -> None:
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "IA3"}))
    with pytest.raises(Refused, match=r"chat:a: .*adapter is no LoRA adapter as peft saves it, and only LoRA is served\."):
        check_adapter("chat:a", adapter)


def test_a_run_without_a_record_has_not_ended(tmp_path: Path) -> None:
    with pytest.raises(
        Refused, match=r"holds no finished run \(run\.json cannot be read: No such file or directory\); run it first\."
    ):
        read_record(f"file://{tmp_path}")
