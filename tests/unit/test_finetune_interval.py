"""Checkpoints come as often as the object asks for, in seconds or in steps."""

from typing import Any

import pytest

from raysmith.api.finetune import Checkpoints
from raysmith_workloads.finetune.interval import Interval


def checkpoints(every: dict[str, Any], *, seconds_per_step: float, steps: int, start: int = 0, saving: float = 0) -> list[int]:
    """The steps after which there is a checkpoint. Training starts after step `start`, saving takes `saving` seconds."""
    now = 0.0
    interval = Interval(Checkpoints.model_validate(every), start, lambda: now)
    made = []
    for step in range(start + 1, start + steps + 1):
        now += seconds_per_step
        if interval.over(step):
            now += saving
            interval.saved(step)
            made.append(step)
    return made


@pytest.mark.parametrize(
    ("seconds_per_step", "made"),
    [(1, [60, 120, 180]), (20, [3, 6, 9]), (25, [3, 6, 9]), (100, [1, 2, 3])],
    ids=["fast steps", "steps that meet the interval", "steps that do not", "steps that are longer than the interval"],
)
def test_seconds_count_however_long_steps_are(seconds_per_step: float, made: list[int]) -> None:
    found = checkpoints({"intervalSeconds": 60}, seconds_per_step=seconds_per_step, steps=made[-1])
    assert found == made


def test_the_next_seconds_begin_when_a_checkpoint_is_made_so_that_slow_storage_does_not_stop_training() -> None:
    assert checkpoints({"intervalSeconds": 60}, seconds_per_step=10, steps=18, saving=300) == [6, 12, 18]


def test_a_resumed_run_counts_from_where_it_goes_on() -> None:
    assert checkpoints({"intervalSeconds": 60}, seconds_per_step=30, steps=5, start=101) == [103, 105]
    assert checkpoints({"intervalSteps": 10}, seconds_per_step=30, steps=25, start=101) == [111, 121]


def test_without_a_word_it_is_ten_minutes() -> None:
    assert checkpoints({}, seconds_per_step=100, steps=12) == [6, 12]


def test_steps_count_whatever_time_they_take() -> None:
    assert checkpoints({"intervalSteps": 4}, seconds_per_step=5000, steps=9) == [4, 8]
