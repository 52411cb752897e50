"""How the learning rate goes."""

import math
from typing import assert_never

from raysmith.api.finetune import Schedule


def learning_rate(step: int, steps: int, *, highest: float, schedule: Schedule, warmup_ratio: float) -> float:
    """Learning rate of optimiser step `step` (from 0) of `steps`.

    Rises evenly to `highest` in the first `warmup_ratio` of the steps, then follows `schedule`. The last step of `Cosine`
    (arXiv:1608.03983, one half-wave) and `Linear` still learns: they would reach zero one step later.
    """
    warmup = math.ceil(warmup_ratio * steps)
    if step < warmup:
        return highest * (step + 1) / warmup
    done = (step - warmup) / max(steps - warmup, 1)
    match schedule:
        case Schedule.COSINE:
            return highest * (1 + math.cos(math.pi * done)) / 2
        case Schedule.LINEAR:
            return highest * (1 - done)
        case Schedule.CONSTANT:
            return highest
        case _:
            assert_never(schedule)
