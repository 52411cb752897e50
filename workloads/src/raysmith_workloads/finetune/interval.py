"""When the next checkpoint is due."""

import time
from collections.abc import Callable
from typing import Final

from raysmith.api.finetune import Checkpoints

SECONDS: Final = 600
"""Between two checkpoints, if the object says nothing."""


class Interval:
    """How long ago the last checkpoint was, in steps or in seconds, as the object counts."""

    def __init__(self, every: Checkpoints, step: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`step` is where training starts: what was done before it is saved already."""
        self._every = every
        self._clock = clock
        self.saved(step)

    def saved(self, step: int) -> None:
        """There is a checkpoint after `step` now."""
        self._step, self._time = step, self._clock()

    def over(self, step: int) -> bool:
        """Whether it is time for another one after `step`."""
        if self._every.interval_steps is not None:
            return step - self._step >= self._every.interval_steps
        return self._clock() - self._time >= (self._every.interval_seconds or SECONDS)
