"""Packing loses nothing, fills well, is the same every time, and what is written is read back by global index."""

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raysmith_workloads.prepare import pack, shards
from raysmith_workloads.prepare.pack import Packer, best_fit_decreasing, in_pieces, window_end
from raysmith_workloads.prepare.shards import SCHEMA, ShardReader, ShardWriter


def rows(lengths: list[int], first: int = 0) -> pa.Table:
    """Row number n holds the tokens n, n, ...; its last token is learned."""
    ids = [[first + n] * length for n, length in enumerate(lengths)]
    masks = [[False] * (length - 1) + [True] for length in lengths]
    return pa.table({"input_ids": pa.array(ids, pa.list_(pa.int32())), "loss_mask": pa.array(masks, pa.list_(pa.bool_()))})


def random_lengths(number: int, longest: int) -> list[int]:
    generator = random.Random(number)  # noqa: S311
    return [generator.randint(1, longest) for _ in range(number)]


@pytest.mark.parametrize(
    ("lengths", "capacity", "bins"),
    [
        ([], 10, []),
        ([10, 10], 10, [[0], [1]]),
        ([3, 7, 5, 5], 10, [[1, 0], [2, 3]]),
        ([4, 4, 4, 6, 6], 10, [[3, 1], [4, 0], [2]]),
        ([1] * 5, 2, [[0, 1], [2, 3], [4]]),
    ],
)
def test_the_longest_row_goes_first_and_each_where_it_fits_best(
    lengths: list[int], capacity: int, bins: list[list[int]]
) -> None:
    assert sorted(map(sorted, best_fit_decreasing(lengths, capacity))) == sorted(map(sorted, bins))


@pytest.mark.parametrize("longest", [2, 30, 50])
def test_every_row_is_in_one_bin_that_holds_it_and_few_bins_are_needed(longest: int) -> None:
    lengths = random_lengths(2000, longest)
    bins = best_fit_decreasing(lengths, 100)
    assert sorted(index for members in bins for index in members) == list(range(2000))
    assert max(sum(lengths[index] for index in members) for members in bins) <= 100
    assert len(bins) <= 11 / 9 * sum(lengths) / 100 + 1


def packed(tables: list[pa.Table], capacity: int, *, packing: bool = True) -> list[dict[str, list[int]]]:
    packer = Packer(capacity, packing=packing)
    batches = [batch for table in tables for batch in packer.add(table)] + list(packer.finish())
    return [row for batch in batches for row in batch.to_pylist()]


def test_documents_stay_whole_in_their_sequences() -> None:
    for sequence in packed([rows(random_lengths(500, 40))], 64):
        ends = np.cumsum(sequence["lengths"])
        starts = ends - sequence["lengths"]
        assert len(sequence["input_ids"]) == len(sequence["loss_mask"]) == ends[-1] <= 64
        for start, end in zip(starts, ends, strict=True):
            assert len(set(sequence["input_ids"][start:end])) == 1
            assert sequence["loss_mask"][start:end] == [False] * (end - start - 1) + [True]


def test_the_sequences_do_not_depend_on_how_the_rows_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "WINDOW_ROWS", 64)
    monkeypatch.setattr(pack, "WINDOW_TOKENS", 900)
    whole = rows(random_lengths(700, 40))
    pieces = [whole.slice(start, 37) for start in range(0, 700, 37)]
    assert packed([whole], 64) == packed(pieces, 64) == packed([whole.slice(0, 0), *pieces], 64)


def test_without_packing_every_row_is_a_sequence_in_order() -> None:
    sequences = packed([rows([3, 5, 2])], 64, packing=False)
    assert [(row["input_ids"][0], row["lengths"]) for row in sequences] == [(0, [3]), (1, [5]), (2, [2])]


def test_a_window_ends_at_its_rows_or_its_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "WINDOW_ROWS", 4)
    monkeypatch.setattr(pack, "WINDOW_TOKENS", 100)
    assert window_end(np.array([10, 10, 10, 10, 10])) == 4
    assert window_end(np.array([60, 40, 10, 10, 10])) == 2
    assert window_end(np.array([500, 1])) == 1


def test_sequences_are_read_back_by_global_index_across_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "TOKENS_PER_SHARD", 200)
    monkeypatch.setattr(pack, "WINDOW_ROWS", 16)
    expected = packed([rows(random_lengths(150, 40))], 64)
    writer, packer = ShardWriter(tmp_path, "train"), Packer(64, packing=True)
    for batch in [*packer.add(rows(random_lengths(150, 40))), *packer.finish()]:
        writer.write(batch)
    writer.close()
    reader = ShardReader(tmp_path, "train")
    assert len(list(tmp_path.glob("train-*.arrow"))) > 3
    assert len(reader) == writer.sequences == len(expected)
    assert writer.tokens == sum(reader.lengths())
    for index in (0, len(expected) - 1, *range(1, len(expected) - 1, 5)):
        sequence = reader[index]
        assert [values.dtype.name for values in sequence] == ["int32", "bool", "int32"]
        assert {name: values.tolist() for name, values in sequence._asdict().items()} == expected[index]


def test_there_is_nothing_outside_the_shards(tmp_path: Path) -> None:
    reader = ShardReader(tmp_path, "validation")
    assert len(reader) == 0
    assert reader.lengths().tolist() == []
    for index in (0, -1):
        with pytest.raises(IndexError):
            reader[index]


def test_shards_hold_no_missing_values() -> None:
    assert not any(field.nullable for field in SCHEMA)


def test_a_text_longer_than_a_sequence_is_cut_into_pieces_and_loses_no_token() -> None:
    long = rows([150, 20, 64])
    pieces = in_pieces(long, 64)
    assert [len(ids) for ids in pieces.column("input_ids").to_pylist()] == [64, 64, 22, 20, 64]
    assert pieces.column("input_ids").combine_chunks().flatten() == long.column("input_ids").combine_chunks().flatten()
    assert not any(mask[0] for mask in pieces.column("loss_mask").to_pylist()), "nothing predicts the first token of a piece"
