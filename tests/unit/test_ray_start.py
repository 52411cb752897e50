"""Ray that takes too long to start."""

import pytest

from raysmith_workloads.errors import Failed
from raysmith_workloads.ray_start import TRIES, init_ray

SLOW = Exception("The current node timed out during startup. This could happen because some of the raylet failed to startup.")


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """What `ray.init` raises, one after the other, before it succeeds."""
    import ray

    raised: list[Exception] = []

    def init(**options: int) -> dict[str, int]:
        if raised:
            raise raised.pop(0)
        return options

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    return raised


def test_a_busy_machine_gets_another_try(fails: list[Exception]) -> None:
    fails += [SLOW] * (TRIES - 1)
    assert init_ray(num_cpus=2) == {"num_cpus": 2}


def test_a_machine_that_is_always_too_slow_is_told_so(fails: list[Exception]) -> None:
    fails += [SLOW] * TRIES
    with pytest.raises(Failed, match="more CPU"):
        init_ray()


def test_anything_else_is_told_at_once(fails: list[Exception]) -> None:
    fails.append(ValueError("no such option"))
    with pytest.raises(ValueError, match="no such option"):
        init_ray()
    assert init_ray() == {}
