"""Ray Train from its start to its end: in a thread, so that the driver hears signals, deadlines and the wish to suspend."""

import logging
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from raysmith.api import layout
from raysmith_workloads.cluster_status.progress import SUSPENDED
from raysmith_workloads.errors import Refused, Suspended
from raysmith_workloads.finetune.faults import workers_failed, workers_not_started
from raysmith_workloads.interrupts import raise_if_interrupted
from raysmith_workloads.report import read_progress

log = logging.getLogger(__name__)

THREAD = "ray-train"
SECONDS_TO_STOP = 30
"""What workers that train get to make a last checkpoint when the driver is interrupted."""
NOTHING_TO_SAVE = ("Preparing", "Loading", "EvaluatingBase")
"""Stages in which a run that is to be suspended ends at once."""


def fit(trainer: Any, attempt: Path, deadline_seconds: int | None) -> Any:
    """Train in a thread, so that this one can be interrupted and keep the deadline. Returns the first worker's outcome."""
    ended: list[Any] = []
    over = threading.Event()  # an interrupted Thread.join() takes the thread for ended

    def work() -> None:
        try:
            ended.append(trainer.fit().return_value)
        except Exception as error:
            ended.append(error)
        finally:
            over.set()

    try:
        threading.Thread(target=work, name=THREAD, daemon=True).start()
        _wait(over, attempt, deadline_seconds)
    except KeyboardInterrupt:
        _stop(over, attempt)
        raise
    if isinstance(ended[0], Exception):
        raise _told(ended[0]) from ended[0]
    if ended[0].interrupted:
        raise _suspended() if _to_be_suspended(attempt) else KeyboardInterrupt
    if ended[0].refused is not None:
        reason, message, retryable = ended[0].refused
        raise Refused(reason, message, retryable=retryable)
    return ended[0]


def is_training() -> bool:
    """Whether the thread of a run that was stopped is still at work."""
    return any(thread.name == THREAD for thread in threading.enumerate())


def _wait(over: threading.Event, attempt: Path, deadline_seconds: int | None) -> None:
    until = None if deadline_seconds is None else time.monotonic() + deadline_seconds
    while not over.wait(1):
        raise_if_interrupted()
        if _to_be_suspended(attempt) and _stage(attempt) in NOTHING_TO_SAVE:
            raise _suspended()
        if until is not None and time.monotonic() > until:
            raise Refused(
                "DeadlineExceeded",
                f"The run took longer than spec.activeDeadlineSeconds ({deadline_seconds}); raise it, or set fewer steps.",
            )


def _stop(over: threading.Event, attempt: Path) -> None:
    """Let workers that train make a checkpoint first. The others have nothing to save, and a second signal does not wait."""
    with suppress(OSError, KeyboardInterrupt):
        if _stage(attempt) != "Training":
            return
        log.info("Interrupted; the workers make a checkpoint first.")
        (attempt / layout.STOP).touch()
        over.wait(SECONDS_TO_STOP)


def _stage(attempt: Path) -> str | None:
    progress = read_progress(attempt)
    return progress.stage if progress else None


def _to_be_suspended(attempt: Path) -> bool:
    with suppress(OSError):
        return (attempt / layout.STOP).read_text(encoding="utf-8") == SUSPENDED
    return False


def _suspended() -> Suspended:
    return Suspended("The run is suspended; set spec.suspend to false, and it goes on from the last checkpoint.")


def _told(error: Exception) -> Exception:
    """What the workers died of in one line; Ray Train's own message holds their tracebacks."""
    from ray.train.v2.api.exceptions import ControllerError

    if failures := getattr(error, "worker_failures", {}):
        return workers_failed(failures)
    return workers_not_started(error) if isinstance(error, ControllerError) else error
