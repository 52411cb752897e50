"""Options of all tests, and what tests of every kind share."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# A busy machine is slow, and that is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


# A shell that starts something in the background has it ignore Ctrl-C, and what ignores it hands that on to what it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files instead of comparing with them")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be written."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture
def signals_as_before() -> Iterator[None]:
    """For tests that take SIGINT and SIGTERM over, or send them: nothing of it is left for the next test."""
    from raysmith_workloads.interrupts import interrupt_on_signals

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    interrupt_on_signals()  # forgets what was sent
    for number, handler in before.items():
        signal.signal(number, handler)
