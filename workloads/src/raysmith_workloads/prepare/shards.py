"""Sequences in Arrow IPC files: written batch by batch, read by global index from mapped memory.

A row is one sequence of T tokens that D documents share:
    input_ids   list<int32>, T tokens
    loss_mask   list<bool>, T: whether the loss is computed on predicting this token
    lengths     list<int32>, D: tokens of each document; their sum is T
There is no padding in shards, so nothing can confuse it with the end token.
"""

from bisect import bisect_right
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

SCHEMA: Final = pa.schema(
    [
        pa.field("input_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("loss_mask", pa.list_(pa.bool_()), nullable=False),
        pa.field("lengths", pa.list_(pa.int32()), nullable=False),
    ]
)

TOKENS_PER_SHARD: Final = 16 * 2**20
"""A shard is closed once it holds this many tokens: about 80 MB, one file for small data."""


class Sequence(NamedTuple):
    """One sequence, packed from one or more documents that do not see one another."""

    input_ids: npt.NDArray[np.int32]
    """[T] tokens."""
    loss_mask: npt.NDArray[np.bool_]
    """[T] whether the loss is computed on predicting this token."""
    lengths: npt.NDArray[np.int32]
    """[D] tokens of each document, in order; their sum is T."""


class ShardWriter:
    """Writes `<split>-<5 digits>.arrow` below `folder`. Raises OSError as the file system does."""

    def __init__(self, folder: Path, split: str) -> None:
        self.sequences = 0
        self.tokens = 0
        self._folder = folder
        self._split = split
        self._shards = 0
        self._shard_tokens = 0
        self._file: Any = None
        self._writer: Any = None

    def write(self, batch: pa.RecordBatch) -> None:
        """Append sequences, as a batch of SCHEMA."""
        if self._writer is None:
            self._open()
        tokens = len(batch.column("input_ids").flatten())
        self._writer.write_batch(batch)
        self.sequences += batch.num_rows
        self.tokens += tokens
        self._shard_tokens += tokens
        if self._shard_tokens >= TOKENS_PER_SHARD:
            self.close()

    def _open(self) -> None:
        # Python's own file, so that a full disk is an OSError with its number.
        self._file = (self._folder / f"{self._split}-{self._shards:05d}.arrow").open("wb")
        self._writer = pa.ipc.new_file(self._file, SCHEMA)

    def close(self) -> None:
        """End the last shard."""
        if self._writer is None:
            return
        writer, file = self._writer, self._file
        self._writer = self._file = None
        with file:
            writer.close()
        self._shards += 1
        self._shard_tokens = 0


class ShardReader:
    """The sequences of one split by global index: `len(reader)`, `reader[i]`. Memory-mapped; an index costs no reading ahead.

    `split` is `train` or `validation`. A split without shards has length 0.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self._batches = [batch for path in sorted(folder.glob(f"{split}-*.arrow")) for batch in _mapped_batches(path)]
        self._ends = list(accumulate(batch.num_rows for batch in self._batches))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> Sequence:
        """Sequence number `index`, from 0. Raises IndexError."""
        if not 0 <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")
        number = bisect_right(self._ends, index)
        batch = self._batches[number]
        row = index - (self._ends[number] - batch.num_rows)
        return Sequence(*(batch.column(name)[row].values.to_numpy(zero_copy_only=False) for name in SCHEMA.names))

    def lengths(self) -> npt.NDArray[np.int64]:
        """[N] tokens of every sequence."""
        counts = [np.diff(batch.column("input_ids").offsets.to_numpy()) for batch in self._batches]
        return np.concatenate(counts).astype(np.int64) if counts else np.zeros(0, np.int64)


def _mapped_batches(path: Path) -> list[pa.RecordBatch]:
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    return [reader.get_batch(number) for number in range(reader.num_record_batches)]
