"""What is said while a run goes on."""

from datetime import UTC, datetime
from typing import Any

import pytest

from raysmith.api.finetune import Progress
from raysmith.cli.follow import Follower, Said, StageEnded, Tenth, numbers
from raysmith.cli.records import duration

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def progress(stage: str, step: int = 0, **more: Any) -> Progress:
    return Progress(stage=stage, step=step, total_steps=200, percent=step // 2, updated_time=NOW, **more)


def test_a_stage_is_over_when_the_next_one_begins_and_the_last_one_with_the_process() -> None:
    follower = Follower("Loading", now=10)
    loading, training = progress("Loading"), progress("Training", 4)
    assert follower.see(loading, 11) == []
    assert follower.see(training, 14) == [StageEnded("Loading", 4, loading)]
    assert follower.end(20) == [StageEnded("Training", 6, training)]


def test_each_tenth_of_the_steps_is_told_once() -> None:
    follower = Follower("Training", now=0)
    seen = [event for step in range(1, 201) for event in follower.see(progress("Training", step), step)]
    assert [event.progress.percent for event in seen if isinstance(event, Tenth)] == list(range(10, 101, 10))


def test_a_message_is_told_when_it_is_new() -> None:
    follower = Follower("Loading", now=0)
    resumed = progress("Loading", message="Going on from step 40.")
    assert follower.see(resumed, 1) == [Said("Going on from step 40.")]
    assert follower.see(resumed, 2) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            progress("Training", 50, loss=2.314, tokens_per_second=12345.6, seconds_left=75),
            "step 50 of 200, loss 2.31, 12,346 tokens/s, 75 s left",
        ),
        (progress("Training", 200, loss=0.0123, seconds_left=0), "step 200 of 200, loss 0.0123"),
        (Progress(stage="Loading", updated_time=NOW), ""),
    ],
)
def test_only_known_numbers_are_shown(given: Progress, expected: str) -> None:
    assert numbers(given) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(4.23, "4.2 s"), (80.4, "80 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (119.6, "2 min 0 s")]
)
def test_seconds_are_said_as_people_say_them(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected
