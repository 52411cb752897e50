"""The weights that a run starts from if it names no model: as long as its sequences, and always the same. What is saved."""

from pathlib import Path

import pytest
import torch

from full_disk import full_disk
from raysmith.api.finetune import Full, LoRA, Method
from raysmith_workloads.errors import Refused
from raysmith_workloads.finetune import model
from raysmith_workloads.finetune.start import Start
from raysmith_workloads.prepare.tokenizer import train_tokenizer


@pytest.mark.parametrize(("max_length", "positions"), [(8, 1024), (1024, 1024), (2048, 2048), (5000, 5000)])
def test_new_weights_can_read_the_longest_sequence_and_do_not_depend_on_it(max_length: int, positions: int) -> None:
    tokenizer = train_tokenizer(["What is the answer? 42."], max_length)
    built = {
        length: model.build(Start(None), Method(full=Full()), tokenizer, max_length=length, seed=7, dtype=torch.float32)
        for length in (512, max_length)
    }
    assert built[max_length].config.max_position_embeddings == tokenizer.model_max_length == positions
    assert model.weights_digest(built[max_length]) == model.weights_digest(built[512])
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(built[max_length](ids).logits, built[512](ids).logits)


# peft asks transformers for an attribute by its old name.
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")
@pytest.mark.parametrize("method", [Method(full=Full()), Method(lora=LoRA())], ids=["all weights", "an adapter"])
def test_what_was_trained_is_saved_whole_or_not_at_all(method: Method, tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["What is the answer? 42."], 64)
    weights = model.build(Start(None), method, tokenizer, max_length=64, seed=7, dtype=torch.float32)
    folder = tmp_path / "artifact"
    (tmp_path / ".artifact.node.17.tmp").mkdir()  # of a process that was killed while it saved
    with full_disk(room=65536), pytest.raises(Refused, match=r"No room left to write .*; free some space") as refused:
        model.save(weights, tokenizer, [1], folder)
    assert (refused.value.reason, refused.value.retryable) == ("StorageFull", True)
    assert list(tmp_path.iterdir()) == []
    model.save(weights, tokenizer, [1], folder)
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]
    assert (folder / "tokenizer.json").is_file()


def test_an_artefact_that_may_not_be_written_is_refused() -> None:
    tokenizer = train_tokenizer(["What is the answer? 42."], 64)
    weights = model.build(Start(None), Method(full=Full()), tokenizer, max_length=64, seed=7, dtype=torch.float32)
    folder = Path("/sys/kernel/artifact")  # not even root writes there
    with pytest.raises(Refused, match=r"may not be written; give this user write permission there") as refused:
        model.save(weights, tokenizer, [1], folder)
    assert (refused.value.reason, refused.value.retryable) == ("StorageDenied", False)
