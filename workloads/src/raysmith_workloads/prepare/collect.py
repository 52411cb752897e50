"""What the stream gives, put where it belongs: faults counted, rows split and packed, sequences written, questions chosen."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raysmith.api.record import DataSplit
from raysmith_workloads.prepare.faults import Fault, FaultKind, Faults
from raysmith_workloads.prepare.pack import Packer, in_pieces
from raysmith_workloads.prepare.shards import ShardWriter

TRAIN: Final = "train"
VALIDATION: Final = "validation"


class Collected(NamedTuple):
    """Everything that is known after the last row."""

    train: DataSplit
    validation: DataSplit
    faults: Faults
    questions: list[str]
    """Lines of questions.jsonl."""
    leaked: int
    """Training rows that were left out because they are validation rows too."""
    unlearnable: int
    """Rows that were left out because cutting them left nothing to learn."""

    @property
    def rows(self) -> int:
        """Rows read, good and bad."""
        return self.train.rows + self.validation.rows + self.faults.counts.total()


class Side:
    """One side of the data, packed and written as it comes. Memory: one window of rows, and 8 bytes for each row."""

    def __init__(self, split: str, folder: Path | None, max_length: int, *, packing: bool, encoded: bool) -> None:
        self.rows = self.truncated = self.tokens = self.supervised = self.unlearnable = 0
        self._hashes: list[npt.NDArray[np.uint64]] = []
        self._max_length, self._encoded = max_length, encoded
        self._packer = Packer(max_length, packing=packing)
        self._writer = ShardWriter(folder, split) if folder else None

    def add(self, rows: pa.Table) -> None:
        """Take rows of the stream that belong to this side."""
        self.rows += rows.num_rows
        self.truncated += int(np.count_nonzero(rows.column("truncated")))
        self._hashes.append(rows.column("hash").to_numpy())
        if not self._encoded or rows.num_rows == 0:
            return
        self.unlearnable += int(np.count_nonzero(_supervised(rows) == 0))
        pieces = in_pieces(rows.select(["input_ids", "loss_mask"]), self._max_length)
        supervised = _supervised(pieces)
        kept = pieces.filter(pa.array(supervised > 0))
        self.supervised += int(supervised.sum())
        self.tokens += int(pc.sum(pc.list_value_length(kept.column("input_ids"))).as_py() or 0)
        if self._writer is not None:
            self._write(self._packer.add(kept))

    def finish(self) -> DataSplit:
        """Write what is left and give the counts."""
        self._write(self._packer.finish())
        if self._writer is not None:
            self._writer.close()
        return DataSplit(
            rows=self.rows,
            sequences=self._writer.sequences if self._writer else 0,
            tokens=self.tokens,
            supervised_tokens=self.supervised,
            truncated_rows=self.truncated,
            duplicate_rows=self.rows - len(np.unique(self.hashes())),
        )

    def abandon(self) -> None:
        """Close the files without writing what is left."""
        if self._writer is not None:
            self._writer.close()

    def hashes(self) -> npt.NDArray[np.uint64]:
        """[rows] content hashes, in order."""
        return np.concatenate(self._hashes) if self._hashes else np.zeros(0, np.uint64)

    def _write(self, batches: Iterable[pa.RecordBatch]) -> None:
        for batch in batches:
            if self._writer is not None:
                self._writer.write(batch)


class Collector:
    """Takes the tables of `stream.SCHEMA`. Rows of validation sources must come before training rows."""

    def __init__(self, folder: Path | None, max_length: int, *, packing: bool, questions: int, encoded: bool = True) -> None:
        """`folder` is where shards are written; None only counts. `questions` is the most questions to keep.

        `encoded` says whether the rows have tokens; without, only rows are counted.
        """
        self.faults = Faults()
        self.rows = self._leaked = 0
        self._train = Side(TRAIN, folder, max_length, packing=packing, encoded=encoded)
        self._validation = Side(VALIDATION, folder, max_length, packing=packing, encoded=encoded)
        self._limit = questions
        self._questions: dict[int, str] = {}

    def take(self, table: pa.Table) -> None:
        """Take the next table. Once there is a fault, nothing more is written: the run will be refused."""
        self.rows += table.num_rows
        bad = pc.is_valid(table.column("fault"))
        for place, kind, message in table.column("fault").filter(bad).to_pylist():
            self.faults.add(Fault(place, FaultKind(kind), message))
        good = table.filter(pc.invert(bad))
        held_back = good.column("validation")
        self._ask(good.filter(held_back))
        self._validation.add(good.filter(held_back))
        self._train.add(self._without_leaks(good.filter(pc.invert(held_back))))

    def finish(self) -> Collected:
        """Write what is left and give all counts."""
        return Collected(
            self._train.finish(),
            self._validation.finish(),
            self.faults,
            [question for _, question in sorted(self._questions.items())],
            self._leaked,
            self._train.unlearnable + self._validation.unlearnable,
        )

    def abandon(self) -> None:
        """Close all files; they will be removed."""
        self._train.abandon()
        self._validation.abandon()

    def _ask(self, rows: pa.Table) -> None:
        """Keep the questions with the smallest hashes: a random choice that is the same in every order of the data."""
        asked = rows.filter(pc.is_valid(rows.column("question")))
        self._questions.update(zip(asked.column("hash").to_pylist(), asked.column("question").to_pylist(), strict=True))
        self._questions = dict(sorted(self._questions.items())[: self._limit])

    def _without_leaks(self, rows: pa.Table) -> pa.Table:
        leaks = np.isin(rows.column("hash").to_numpy(), self._validation.hashes())
        self._leaked += int(leaks.sum())
        return rows.filter(pa.array(~leaks))


def _supervised(rows: pa.Table) -> npt.NDArray[np.int64]:
    """[rows] how many tokens of each row are learned."""
    masks: Any = rows.column("loss_mask").combine_chunks()
    ends = np.cumsum(pc.list_value_length(masks).to_numpy())
    learned = np.concatenate([[0], np.cumsum(masks.flatten().to_numpy(zero_copy_only=False))])
    return np.diff(learned[np.concatenate([[0], ends])])
