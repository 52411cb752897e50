"""SIGTERM and SIGINT end a run wherever they come."""

import signal
import sys
from collections.abc import Callable

import pytest

from raysmith_workloads.interrupts import interrupt_on_signals, interrupts_kept, raise_if_interrupted

pytestmark = pytest.mark.usefixtures("signals_as_before")


class Swallows:
    """Loses an interrupt as imports of compiled modules do: Python prints what a destructor raises, and goes on."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What Python would have printed."""
    printed: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: printed.append(what.exc_type))
    return printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_interrupt_at_once(number: signal.Signals) -> None:
    interrupt_on_signals()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_an_interrupt_that_python_lost_is_raised_where_the_run_asks_for_it(lost: list[object]) -> None:
    interrupt_on_signals()
    raise_if_interrupted()
    Swallows()
    assert lost == [KeyboardInterrupt]
    with pytest.raises(KeyboardInterrupt):
        raise_if_interrupted()


def test_a_run_does_not_inherit_the_interrupt_of_an_earlier_one(lost: list[object]) -> None:
    interrupt_on_signals()
    Swallows()
    interrupt_on_signals()
    raise_if_interrupted()


def start_ray(meanwhile: Callable[[], object]) -> None:
    """Takes SIGTERM over, as `ray.init()` does."""
    with interrupts_kept():
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))
        meanwhile()


def test_a_signal_while_ray_starts_is_an_interrupt_and_no_exit_code_of_rays() -> None:
    interrupt_on_signals()
    with pytest.raises(KeyboardInterrupt):
        start_ray(lambda: signal.raise_signal(signal.SIGTERM))


def test_a_signal_after_ray_has_started_is_an_interrupt() -> None:
    interrupt_on_signals()
    start_ray(lambda: None)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


def test_an_interrupt_that_got_lost_before_ray_had_started_is_raised_then(lost: list[object]) -> None:
    interrupt_on_signals()
    Swallows()
    with pytest.raises(KeyboardInterrupt):
        start_ray(lambda: None)
