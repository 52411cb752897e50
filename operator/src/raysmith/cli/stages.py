"""Seconds by stage of one `raysmith run`, for its last table and for `last-run.json`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Stage(NamedTuple):
    """Something that took time."""

    object: str
    stage: str
    seconds: float


class StageClock:
    """Collects stages in the order in which they end."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self.stages: list[Stage] = []

    def add(self, of: str, stage: str, seconds: float) -> None:
        """A stage that was measured elsewhere."""
        self.stages.append(Stage(of, stage, seconds))

    @contextmanager
    def stage(self, of: str, stage: str) -> Iterator[None]:
        """Measure the body; a body that raises counts too."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.add(of, stage, time.monotonic() - start)

    def total(self) -> float:
        """Seconds since the command started."""
        return time.monotonic() - self._start
