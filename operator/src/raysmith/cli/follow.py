"""What is worth saying about a run, out of snapshots of its progress. Pure: the time is passed in."""

from typing import NamedTuple

from raysmith.api.finetune import Progress
from raysmith.cli.records import duration

STAGES = {
    "Preparing": ("preparing the data", "prepared the data"),
    "Loading": ("loading the model", "loaded the model"),
    "EvaluatingBase": ("evaluating the base model", "evaluated the base model"),
    "Training": ("training", "trained"),
    "EvaluatingTuned": ("evaluating the tuned model", "evaluated the tuned model"),
    "Saving": ("saving", "saved"),
}
"""While it goes on, and when it is done."""


class StageEnded(NamedTuple):
    """A stage is over."""

    stage: str
    seconds: float
    last: Progress | None


class Tenth(NamedTuple):
    """Another tenth of the steps is done."""

    progress: Progress


class Said(NamedTuple):
    """The run has something to say."""

    message: str


Event = StageEnded | Tenth | Said


class Follower:
    """Follows one process from snapshot to snapshot."""

    def __init__(self, stage: str, now: float) -> None:
        """The process started `now`, in `stage`; what its first snapshot says before that belongs to another process."""
        self.stage = stage
        self._since = now
        self._last: Progress | None = None
        self._tenth = 0
        self._message: str | None = None

    def see(self, progress: Progress, now: float) -> list[Event]:
        """What is new in this snapshot."""
        events: list[Event] = []
        if progress.message and progress.message != self._message:
            self._message = progress.message
            events.append(Said(progress.message))
        if progress.stage != self.stage:
            if (
                self.stage == "Training" and self._last and progress.step > self._last.step
            ):  # the last steps fell between two snapshots
                self._last = progress
            events += self.end(now)
            self.stage, self._since = progress.stage, now
        self._last = progress
        if progress.stage == "Training" and progress.percent // 10 > self._tenth:
            self._tenth = progress.percent // 10
            events.append(Tenth(progress))
        return events

    def end(self, now: float) -> list[Event]:
        """The current stage is over, because another one began or the process ended."""
        return [StageEnded(self.stage, now - self._since, self._last)] if self.stage in STAGES else []


def doing(stage: str) -> str:
    """What goes on in `stage`, in words."""
    return STAGES[stage][0] if stage in STAGES else stage


def numbers(progress: Progress) -> str:
    """`step 50 of 500, loss 2.31, 12,300 tokens/s, 40 s left`: those of them that are known."""
    parts = [f"step {progress.step} of {progress.total_steps}"] if progress.total_steps else []
    parts += [f"loss {progress.loss:.3g}"] if progress.loss is not None else []
    parts += [f"{progress.tokens_per_second:,.0f} tokens/s"] if progress.tokens_per_second is not None else []
    parts += [f"{duration(progress.seconds_left)} left"] if progress.seconds_left else []
    return ", ".join(parts)
