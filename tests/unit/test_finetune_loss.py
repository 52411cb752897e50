"""Loss and gradients equal those of transformers' own models on rows that stand alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from finetune_runs import random_sequences, sequence
from raysmith.api.finetune import LoRA
from raysmith_workloads.finetune import attention
from raysmith_workloads.finetune.data import collate, supervised_tokens
from raysmith_workloads.finetune.loss import SummedLoss, learns_flat
from raysmith_workloads.finetune.model import _with_new_adapter, trained_parameters
from raysmith_workloads.prepare.shards import Sequence

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # peft asks transformers for an attribute by its old name.
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning"),
]

VOCABULARY = 97


def llama(**changes: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
    }
    return LlamaForCausalLM(LlamaConfig(**(sizes | changes)))


def gpt2(**changes: Any) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"vocab_size": VOCABULARY, "n_embd": 48, "n_layer": 2, "n_head": 3, "n_positions": 128}
    return GPT2LMHeadModel(GPT2Config(**(sizes | {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0} | changes)))


def mistral_with_a_window() -> Any:
    from transformers import MistralConfig, MistralForCausalLM

    return MistralForCausalLM(
        MistralConfig(
            vocab_size=VOCABULARY,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            sliding_window=8,
        )
    )


def with_adapter(model: Any) -> Any:
    adapted = _with_new_adapter(model, LoRA(rank=4))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:  # zero at first, which would hide mistakes
            torch.nn.init.normal_(parameter, std=0.1)
    return adapted


MODELS: dict[str, Callable[[], Any]] = {
    "full Llama": llama,
    "full Llama with tied embeddings": lambda: llama(tie_word_embeddings=True),
    "full GPT-2": gpt2,
    "LoRA on Llama": lambda: with_adapter(llama()),
    "LoRA on GPT-2": lambda: with_adapter(gpt2()),
}


def reference(model: Any, sequences: list[Sequence]) -> torch.Tensor:
    """Document by document, with transformers' labels: -100 is not learned."""
    total = torch.zeros(())
    for item in sequences:
        ends = item.lengths.cumsum()
        for end, length in zip(ends, item.lengths, strict=True):
            ids = torch.from_numpy(item.input_ids[end - length : end].astype("int64"))[None]
            labels = ids.clone()
            labels[0, ~torch.from_numpy(item.loss_mask[end - length : end].copy())] = -100
            learned = int((labels[0, 1:] != -100).sum())
            if learned:
                total = total + model(input_ids=ids, labels=labels).loss * learned
    return total


@pytest.fixture(autouse=True)
def attention_over_documents() -> None:
    attention.register()
    torch.manual_seed(3)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("flat", [True, False], ids=["in one row", "in rows of their own"])
def test_documents_are_learned_as_if_they_stood_alone(name: str, flat: bool) -> None:
    model = MODELS[name]()
    sequences = random_sequences(6, vocabulary=VOCABULARY, longest=40)
    expected = reference(model, sequences)
    expected.backward()
    gradients = {key: parameter.grad for key, parameter in trained_parameters(model).items()}
    model.zero_grad(set_to_none=True)
    loss = SummedLoss(model)
    assert learns_flat(loss, VOCABULARY, 64) or not flat
    if not flat:
        model.set_attn_implementation("sdpa")
    value = loss(collate(sequences, flat=flat))
    value.backward()
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-4)
    for key, parameter in trained_parameters(model).items():
        torch.testing.assert_close(
            parameter.grad, gradients[key], rtol=1e-3, atol=1e-4, msg=lambda text, key=key: f"{key}: {text}"
        )


def test_a_model_with_a_window_learns_in_rows() -> None:
    model = mistral_with_a_window()
    loss = SummedLoss(model)
    assert not learns_flat(loss, VOCABULARY, 64)
    sequences = random_sequences(4, vocabulary=VOCABULARY, longest=40)
    torch.testing.assert_close(loss(collate(sequences, flat=False)), reference(model, sequences), rtol=1e-5, atol=1e-4)


def test_a_window_as_long_as_the_longest_sequence_does_not_matter() -> None:
    assert learns_flat(SummedLoss(mistral_with_a_window()), VOCABULARY, 8)


def test_a_batch_without_supervised_tokens_has_no_loss_and_gradients_of_zero() -> None:
    model = llama()
    loss = SummedLoss(model)
    value = loss(collate([sequence([1, 2, 3], supervised=0)], flat=False))
    value.backward()
    assert value.item() == 0
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in model.parameters())


def test_micro_batches_add_up_to_the_gradient_of_the_whole() -> None:
    model = llama()
    loss = SummedLoss(model)
    assert learns_flat(loss, VOCABULARY, 64)
    sequences = random_sequences(8, vocabulary=VOCABULARY)
    count = supervised_tokens(sequences)
    (loss(collate(sequences, flat=True)) / count).backward()
    whole = {key: parameter.grad for key, parameter in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    for part in (sequences[:1], sequences[1:6], sequences[6:]):
        (loss(collate(part, flat=True)) / count).backward()
    for key, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, whole[key], rtol=1e-4, atol=1e-6)


def test_generation_sees_every_position_beside_the_loss() -> None:
    model = llama()
    ids = torch.tensor([[1, 2, 3]])
    expected = model(input_ids=ids).logits
    SummedLoss(model)
    torch.testing.assert_close(model(input_ids=ids).logits, expected)
