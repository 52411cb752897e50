"""Which sequences make up a global batch, and how they are laid out."""

from typing import Any, cast

import numpy as np
import pytest

from finetune_runs import random_sequences, sequence
from raysmith.api.finetune import Training
from raysmith_workloads.finetune.data import Plan, collate, micro_batches, plan, supervised_tokens


def order(of: Plan) -> list[int]:
    return [int(index) for step in range(of.steps) for index in of.global_batch(step)]


def test_an_epoch_takes_every_sequence_once() -> None:
    assert sorted(order(plan(Training(epochs=1, global_batch_size=4), 10))) == list(range(10))


def test_the_last_batch_takes_what_is_left() -> None:
    one_epoch = plan(Training(epochs=1, global_batch_size=4), 10)
    assert [len(one_epoch.global_batch(step)) for step in range(one_epoch.steps)] == [4, 4, 2]


def test_epochs_have_different_orders_and_meet_within_a_batch() -> None:
    both = order(plan(Training(epochs=2, global_batch_size=4), 10))
    assert sorted(both[:10]) == sorted(both[10:]) == list(range(10))
    assert both[:10] != both[10:]


def test_half_an_epoch_takes_half_of_the_sequences() -> None:
    assert len(set(order(plan(Training(epochs=0.5, global_batch_size=4), 10)))) == 5


def test_steps_are_counted_whatever_the_number_of_sequences() -> None:
    few = plan(Training(steps=7, global_batch_size=4), 3)
    assert few.steps == 7
    assert len(order(few)) == 28


def test_the_seed_chooses_the_order() -> None:
    first, again, other = (order(plan(Training(seed=seed), 50)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_step_is_the_same_batch_whether_or_not_earlier_ones_were_asked_for() -> None:
    whole = plan(Training(epochs=3, global_batch_size=7), 20)
    assert list(whole.global_batch(5)) == order(whole)[35:42]


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_workers_share_a_global_batch_without_gap_or_overlap(workers: int) -> None:
    batch = plan(Training(global_batch_size=8), 100).global_batch(3)
    parts = [batch[rank::workers] for rank in range(workers)]
    assert sorted(np.concatenate(parts)) == sorted(batch)


def lengths(groups: Any) -> list[list[int]]:
    return [[len(item.input_ids) for item in group] for group in groups]


SHARDS = cast("Any", [sequence(range(length)) for length in (5, 9, 3, 7, 2)])


def test_micro_batches_hold_sequences_of_similar_length() -> None:
    assert lengths(micro_batches(SHARDS, range(5), 2, 0)) == [[9, 7], [5, 3], [2]]


def test_micro_batches_hold_as_many_tokens_as_fit() -> None:
    assert lengths(micro_batches(SHARDS, range(5), None, 12)) == [[9], [7, 5], [3, 2]]


def test_a_sequence_that_fits_nowhere_is_a_micro_batch_of_its_own() -> None:
    assert lengths(micro_batches(SHARDS, [1, 2], None, 4)) == [[9], [3]]


def test_a_worker_without_sequences_has_no_micro_batches() -> None:
    assert micro_batches(SHARDS, [], None, 12) == []


def test_positions_start_anew_in_each_document() -> None:
    batch = collate([sequence([7, 8, 9], [5, 6])], flat=True)
    assert batch.position_ids is not None
    assert batch.position_ids.tolist() == [[0, 1, 2, 0, 1]]
    assert batch.input_ids.tolist() == [[7, 8, 9, 5, 6]]


@pytest.mark.parametrize("flat", [True, False])
def test_each_supervised_token_is_predicted_from_the_one_before_it_in_its_document(flat: bool) -> None:
    batch = collate([sequence([7, 8, 9], [5, 6]), sequence([1, 2, 3, 4], supervised=1)], flat=flat)
    before = batch.input_ids.flatten()[batch.predicting].tolist()
    assert list(zip(before, batch.targets.tolist(), strict=True)) == [(7, 8), (8, 9), (5, 6), (3, 4)]


def test_rows_are_padded_at_the_end_only() -> None:
    batch = collate([sequence([7, 8, 9], [5, 6])], flat=False)
    assert batch.input_ids.tolist() == [[7, 8, 9], [5, 6, 0]]
    assert batch.tokens == 5


@pytest.mark.parametrize("flat", [True, False])
def test_supervised_tokens_are_counted_as_they_are_predicted(flat: bool) -> None:
    sequences = random_sequences(20, vocabulary=50)
    assert supervised_tokens(sequences) == len(collate(sequences, flat=flat).targets)
