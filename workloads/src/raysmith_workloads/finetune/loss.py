"""Negative log-likelihood, computed only where something is learned."""

from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from raysmith_workloads.finetune import attention
from raysmith_workloads.finetune.data import Batch, collate
from raysmith_workloads.prepare.shards import Sequence


class SummedLoss(torch.nn.Module):  # type: ignore[misc]
    """A causal language model as a function from a batch to the sum of its negative log-likelihoods, in nats.

    The output head sees the hidden states that predict a supervised token and no others. In most data that is a small part
    of the work with the largest matrix. A sum, not a mean, because only all workers together know how many tokens there are.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model
        self._predicting: torch.Tensor | None = None
        model.get_output_embeddings().register_forward_pre_hook(self._keep_predicting)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Sum over the batch's supervised tokens, in float32."""
        self._predicting = batch.predicting
        documents = {} if batch.documents is None else {"documents": batch.documents}
        try:
            output = self.model(input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False, **documents)
        finally:
            self._predicting = None
        return cross_entropy(output.logits[0].float(), batch.targets, reduction="sum")

    def _keep_predicting(self, _head: torch.nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        if self._predicting is None:  # somebody else asks, for example generation
            return inputs
        hidden = inputs[0]
        return (hidden.reshape(-1, hidden.shape[-1]).index_select(0, self._predicting)[None], *inputs[1:])


def learns_flat(loss: SummedLoss, vocabulary: int, max_length: int) -> bool:
    """Whether the model gives the same loss for documents in one row as for each in a row of its own; tried, not looked up.

    Switches the model to attention over documents if so, and leaves it as it was if not: for models with a window shorter
    than `max_length`, with recurrent layers, or with attention of their own.
    """
    window = getattr(loss.model.config.get_text_config(), "sliding_window", None)
    if (window is not None and window < max_length) or not getattr(loss.model, "_supports_attention_backend", True):
        return False
    sample = _sample(vocabulary, max_length)
    weight = next(loss.parameters())
    training = loss.training
    loss.eval()
    with torch.no_grad():
        loss.model.set_attn_implementation("sdpa")
        apart = loss(collate(sample, flat=False).to(weight.device))
        loss.model.set_attn_implementation(attention.NAME)
        try:
            together = loss(collate(sample, flat=True).to(weight.device))
        except (TypeError, KeyError, ValueError, NotImplementedError):
            together = torch.full_like(apart, torch.nan)
    loss.train(training)
    exact = weight.dtype == torch.float32 and not torch.is_autocast_enabled(weight.device.type)
    same = bool(torch.isclose(apart, together, rtol=1e-3 if exact else 1e-2))
    if not same:
        loss.model.set_attn_implementation("sdpa")
    return same


def _sample(vocabulary: int, max_length: int) -> list[Sequence]:
    lengths = np.minimum([5, 12, 3], max_length).astype(np.int32)
    tokens = np.random.default_rng(0).integers(0, vocabulary, int(lengths.sum())).astype(np.int32)
    return [Sequence(tokens, np.ones(len(tokens), np.bool_), lengths)]
