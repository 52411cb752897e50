"""Rows to sequences: best fit decreasing, in windows.

Within a window the longest row comes first and each goes where it leaves the least room (best-fit decreasing bin packing,
Johnson 1973: never more than 11/9 of the fewest possible sequences, asymptotically). Windows are cut by the rows alone, so
memory is bounded and equal rows give equal sequences however they arrive.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysmith_workloads.prepare.shards import SCHEMA

WINDOW_ROWS: Final = 8192
WINDOW_TOKENS: Final = 4 * 2**20

Integers = npt.NDArray[np.int64]


def best_fit_decreasing(lengths: list[int], capacity: int) -> list[list[int]]:
    """Bins of indices into `lengths`; the lengths in a bin add up to at most `capacity`. No length may exceed it."""
    bins: list[list[int]] = []
    room: list[int] = []  # distinct room left, ascending
    with_room: dict[int, list[int]] = {}  # room left -> numbers of bins
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        length = lengths[index]
        place = bisect_left(room, length)
        if place == len(room):
            number, left = len(bins), capacity
            bins.append([])
        else:
            left = room[place]
            number = with_room[left].pop()
            if not with_room[left]:
                del with_room[left], room[place]
        bins[number].append(index)
        left -= length
        if left not in with_room:
            with_room[left] = []
            insort(room, left)
        with_room[left].append(number)
    return bins


def in_pieces(rows: pa.Table, capacity: int) -> pa.Table:
    """`rows` (columns `input_ids`, `loss_mask`) with those of more than `capacity` tokens cut into several, losing none.

    Nothing comes before the first token of a piece, so it is not learned there.
    """
    lengths = _lengths(rows)
    if lengths.max(initial=0) <= capacity:
        return rows
    pieces = np.concatenate([[capacity] * ((length - 1) // capacity) + [(length - 1) % capacity + 1] for length in lengths])
    ends = np.concatenate([[0], np.cumsum(pieces)])
    mask = _values(rows, "loss_mask").to_numpy(zero_copy_only=False).copy()
    mask[ends[:-1]] = False
    offsets = pa.array(ends, pa.int32())
    columns = [_values(rows, "input_ids"), pa.array(mask)]
    return pa.table([pa.ListArray.from_arrays(offsets, column) for column in columns], names=["input_ids", "loss_mask"])


class Packer:
    """Takes rows in order and gives sequences of at most `capacity` tokens, a window at a time."""

    def __init__(self, capacity: int, *, packing: bool) -> None:
        self._capacity = capacity
        self._packing = packing
        self._waiting: list[pa.Table] = []
        self._rows = self._tokens = 0

    def add(self, rows: pa.Table) -> Iterator[pa.RecordBatch]:
        """Take rows (columns `input_ids`, `loss_mask`); give the sequences of every window that is full, as shards.SCHEMA."""
        lengths = _lengths(rows)
        self._waiting.append(rows)
        self._rows += len(lengths)
        self._tokens += int(lengths.sum())
        while self._rows >= WINDOW_ROWS or self._tokens >= WINDOW_TOKENS:
            waiting = pa.concat_tables(self._waiting)
            lengths = _lengths(waiting)
            end = window_end(lengths)
            self._waiting, self._rows, self._tokens = [waiting.slice(end)], len(lengths) - end, int(lengths[end:].sum())
            yield self._pack(waiting.slice(0, end), lengths[:end])

    def finish(self) -> Iterator[pa.RecordBatch]:
        """The sequences of what is left."""
        if self._rows:
            waiting = pa.concat_tables(self._waiting)
            self._waiting, self._rows, self._tokens = [], 0, 0
            yield self._pack(waiting, _lengths(waiting))

    def _pack(self, rows: pa.Table, lengths: Integers) -> pa.RecordBatch:
        bins = best_fit_decreasing(lengths.tolist(), self._capacity) if self._packing else [[i] for i in range(len(lengths))]
        order = np.concatenate([np.asarray(members, np.int64) for members in bins])
        documents = np.cumsum([0, *(len(members) for members in bins)])
        taken = rows.take(order).combine_chunks()
        ends = np.concatenate([[0], np.cumsum(lengths[order])])[documents]
        return pa.RecordBatch.from_arrays(
            [
                pa.ListArray.from_arrays(pa.array(ends, pa.int32()), _values(taken, "input_ids")),
                pa.ListArray.from_arrays(pa.array(ends, pa.int32()), _values(taken, "loss_mask")),
                pa.ListArray.from_arrays(pa.array(documents, pa.int32()), pa.array(lengths[order], pa.int32())),
            ],
            schema=SCHEMA,
        )


def window_end(lengths: Integers) -> int:
    """How many of the rows make the first window: WINDOW_ROWS, or fewer that hold WINDOW_TOKENS."""
    filled = int(np.searchsorted(np.cumsum(lengths), WINDOW_TOKENS)) + 1
    return min(filled, WINDOW_ROWS)


def _lengths(rows: pa.Table) -> Integers:
    import pyarrow.compute as pc

    return np.asarray(pc.list_value_length(rows.column("input_ids")).to_numpy(), np.int64)


def _values(rows: pa.Table, column: str) -> Any:
    chunked = rows.column(column)
    return chunked.combine_chunks().flatten() if chunked.num_chunks else pa.array([], SCHEMA.field(column).type.value_type)
