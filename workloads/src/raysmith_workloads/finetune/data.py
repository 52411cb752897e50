"""Which sequences make up each global batch, and how a worker lays its part out for the model.

The order depends on the seed and the number of sequences alone: not on the number of workers, not on the micro batches,
not on whether the run was broken off. So a position in the data is one number, the samples taken so far.
"""

import math
from collections.abc import Sequence as Items
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from raysmith.api.finetune import Training
from raysmith_workloads.finetune.attention import Documents
from raysmith_workloads.prepare.shards import Sequence, ShardReader

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """The whole of training, as counts."""

    sequences: int
    """Sequences in the training data."""
    samples: int
    """Sequences to learn from in all; more than `sequences` for several epochs."""
    global_batch_size: int
    """Sequences in one optimiser step, over all workers. The last step takes what is left."""
    seed: int
    """Start of the order of the data."""

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        return math.ceil(self.samples / self.global_batch_size)

    def global_batch(self, step: int) -> Integers:
        """Indices of the sequences that optimiser step `step` (from 0) learns from, in order."""
        first = step * self.global_batch_size
        places = np.arange(first, min(first + self.global_batch_size, self.samples))
        epochs = places // self.sequences
        return np.concatenate(
            [
                _epoch_order(self.seed, int(epoch), self.sequences)[places[epochs == epoch] % self.sequences]
                for epoch in np.unique(epochs)
            ]
        )


def plan(training: Training, sequences: int) -> Plan:
    """The counts that `spec.training` asks for on `sequences` training sequences."""
    if training.steps is not None:
        samples = training.steps * training.global_batch_size
    else:
        samples = max(1, round((training.epochs or 1) * sequences))
    return Plan(sequences, samples, training.global_batch_size, training.seed)


@lru_cache(maxsize=2)
def _epoch_order(seed: int, epoch: int, sequences: int) -> Integers:
    return np.random.default_rng([seed, epoch]).permutation(sequences)


def micro_batches(shards: ShardReader, indices: Items[int] | Integers, size: int | None, tokens: int) -> list[list[Sequence]]:
    """Sequences by length, longest first, cut into groups of `size`, or of at most `tokens` tokens if `size` is None.

    A sequence of more than `tokens` tokens is a group of its own.
    """
    groups: list[list[Sequence]] = []
    held = 0
    for sequence in sorted((shards[int(index)] for index in indices), key=lambda item: -len(item.input_ids)):
        length = len(sequence.input_ids)
        full = len(groups[-1]) >= size if groups and size else held + length > tokens
        if not groups or full:
            groups.append([])
            held = 0
        groups[-1].append(sequence)
        held += length
    return groups


@dataclass(frozen=True)
class Batch:
    """What the model sees at once: N tokens, of which S are predicted.

    Flat: all documents of all sequences in one row, told apart by `documents`. In rows: each document in a row of its own,
    padded at the end, where causal attention cannot see the padding.
    """

    input_ids: torch.Tensor
    """[1, N] flat, or [D, L] in rows."""
    position_ids: torch.Tensor | None
    """[1, N], starting at 0 in each document; None in rows, which all start at 0."""
    predicting: torch.Tensor
    """[S] places, in the flattened `input_ids`, whose hidden states predict a supervised token."""
    targets: torch.Tensor
    """[S] the supervised tokens."""
    documents: Documents | None
    """Where documents start and end, for a flat batch."""
    tokens: int
    """Tokens without padding."""

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`."""
        return Batch(
            self.input_ids.to(device),
            None if self.position_ids is None else self.position_ids.to(device),
            self.predicting.to(device),
            self.targets.to(device),
            None if self.documents is None else self.documents.to(device),
            self.tokens,
        )


def collate(sequences: Items[Sequence], *, flat: bool) -> Batch:
    """One batch from the documents of `sequences`. The first token of each has nothing before it and is never predicted."""
    tokens = np.concatenate([sequence.input_ids for sequence in sequences]).astype(np.int64)
    lengths = np.concatenate([sequence.lengths for sequence in sequences]).astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    positions = np.arange(len(tokens)) - np.repeat(starts, lengths)
    learned = np.concatenate([sequence.loss_mask for sequence in sequences]) & (positions > 0)
    targets = torch.from_numpy(tokens[learned])
    if flat:
        predicting = torch.from_numpy(np.flatnonzero(learned) - 1)
        ids, places = torch.from_numpy(tokens[None]), torch.from_numpy(positions[None])
        return Batch(ids, places, predicting, targets, Documents.of(lengths), len(tokens))
    longest = int(lengths.max())
    row = np.repeat(np.arange(len(lengths)), lengths)
    rows = np.zeros((len(lengths), longest), np.int64)
    rows[row, positions] = tokens
    predicting = torch.from_numpy((row * longest + positions)[learned] - 1)
    return Batch(torch.from_numpy(rows), None, predicting, targets, None, len(tokens))


def supervised_tokens(sequences: Items[Sequence]) -> int:
    """How many tokens `collate` predicts."""
    return sum(int(s.loss_mask.sum() - s.loss_mask[np.cumsum(s.lengths) - s.lengths].sum()) for s in sequences)
