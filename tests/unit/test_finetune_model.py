"""The weights that a run starts from if it names no model: as long as its sequences, and always the same."""

import pytest
import torch

from raysmith.api.finetune import Full, Method
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
