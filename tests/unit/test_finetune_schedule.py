"""How the learning rate goes."""

import pytest

from raysmith.api.finetune import Schedule
from raysmith_workloads.finetune.schedule import learning_rate


def rates(schedule: Schedule, *, steps: int = 10, warmup_ratio: float = 0.2) -> list[float]:
    return [learning_rate(step, steps, highest=1.0, schedule=schedule, warmup_ratio=warmup_ratio) for step in range(steps)]


@pytest.mark.parametrize("schedule", list(Schedule))
def test_the_rate_rises_evenly_to_its_highest_in_the_warm_up(schedule: Schedule) -> None:
    assert rates(schedule)[:3] == [0.5, 1.0, 1.0]


@pytest.mark.parametrize("schedule", list(Schedule))
def test_every_step_learns(schedule: Schedule) -> None:
    assert min(rates(schedule)) > 0


def test_cosine_is_half_way_down_in_the_middle() -> None:
    assert rates(Schedule.COSINE)[6] == pytest.approx(0.5)


def test_linear_goes_down_in_even_steps() -> None:
    assert rates(Schedule.LINEAR, steps=4, warmup_ratio=0) == [1.0, 0.75, 0.5, 0.25]


def test_constant_stays() -> None:
    assert set(rates(Schedule.CONSTANT, warmup_ratio=0)) == {1.0}


@pytest.mark.parametrize("schedule", list(Schedule))
def test_a_single_step_has_the_highest_rate(schedule: Schedule) -> None:
    assert rates(schedule, steps=1, warmup_ratio=0.03) == [1.0]
