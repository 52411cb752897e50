"""What a run tells the outside: progress while it goes, the reason when it ends without a result, and the exit code.

Records are written whole or not at all: beside their place first, then renamed into it.
"""

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from raysmith.api import layout
from raysmith.api.common import to_wire
from raysmith.api.finetune import Progress
from raysmith.api.record import Failure
from raysmith.api.schema import Model
from raysmith_workloads.errors import Failed, Refused, Suspended
from raysmith_workloads.interrupts import interrupt_on_signals

log = logging.getLogger(__name__)

LOGS = "logs"
"""Folder of what the processes printed, below the run's."""
WRITE_INTERVAL = 0.5
"""Seconds between two progress files of one stage, so that watching costs nothing."""


class Reporter:
    """Writes `progress.json` of one attempt. Watching is a courtesy: a file that cannot be written never fails the run."""

    def __init__(self, attempt: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        """`attempt` is the attempt's folder; None reports nothing, for workers other than the first."""
        self._attempt = attempt
        self._clock = clock
        self._written: float | None = None
        self._broken = False
        self.progress = _counted(attempt) or Progress(stage="Preparing", updated_time=datetime.now(UTC))

    def stage(self, stage: str, message: str | None = None) -> None:
        """Enter a stage (a value of `Progress.stage`); always written. `message` stays until the next one."""
        self._update(stage=stage, message=message or self.progress.message)
        self._write()

    def say(self, message: str) -> None:
        """What is worth saying at this moment; always written."""
        self._update(message=message[:1024])
        self._write()

    def step(
        self, step: int, total_steps: int, *, loss: float, tokens_per_second: float, seconds_left: float | None = None
    ) -> None:
        """`step` of `total_steps` optimiser steps is done; written at most every WRITE_INTERVAL seconds, and at the last."""
        self._update(
            step=step,
            total_steps=total_steps,
            percent=100 * step // max(total_steps, 1),
            loss=round(loss, 4),
            tokens_per_second=round(tokens_per_second, 1),
            seconds_left=None if seconds_left is None else round(seconds_left),
        )
        if step >= total_steps or self._written is None or self._clock() - self._written >= WRITE_INTERVAL:
            self._write()

    def _update(self, **changes: object) -> None:
        self.progress = self.progress.model_copy(update={**changes, "updated_time": datetime.now(UTC)})

    def _write(self) -> None:
        self._written = self._clock()
        if self._attempt is None:
            return
        try:
            self._attempt.mkdir(parents=True, exist_ok=True)
            write_record(self._attempt / layout.PROGRESS, self.progress, durable=False)
        except OSError as error:
            if not self._broken:
                log.warning("Progress cannot be written to %s (%s); the run goes on.", self._attempt, error.strerror)
            self._broken = True


def read_progress(attempt: Path) -> Progress | None:
    """What was last reported of the attempt; None if nothing that can be read."""
    with suppress(OSError, ValidationError):
        return Progress.model_validate_json((attempt / layout.PROGRESS).read_bytes())
    return None


def _counted(attempt: Path | None) -> Progress | None:
    """What another process of the attempt has counted so far: the driver goes on where the first worker has ended."""
    found = read_progress(attempt) if attempt else None
    return found and found.model_copy(update={"message": None})


def write_record(path: Path, record: Model, *, durable: bool = True) -> None:
    """Write `record` as JSON to `path`, whole or not at all. `durable` waits for the disk. Raises OSError."""
    text = json.dumps(to_wire(record), indent=2, ensure_ascii=False) + "\n"
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def failure_recorded(attempt: Path, reason: str) -> Iterator[None]:
    """Write `failure.json` into the folder `attempt` when the body does not end well, and let the exception go on.

    `reason` is for faults that are nobody's input, for example `TrainingFailed`.
    """
    try:
        yield
    except BaseException as error:
        failure = failure_of(error, reason, attempt.parent.parent / LOGS)
        try:
            attempt.mkdir(parents=True, exist_ok=True)
            write_record(attempt / layout.FAILURE, failure)
        except OSError as failed:
            log.warning("The reason of the failure cannot be written to %s (%s).", attempt, failed.strerror)
        raise


def exit_code(work: Callable[[], None]) -> int:
    """Run `work`: 0 when done, 2 when refused, 1 on a fault, 130 on SIGINT or SIGTERM; the reason goes to stderr."""
    interrupt_on_signals()
    try:
        work()
    except Refused as refused:
        return _say(f"error: {refused.message}", 2)
    except Suspended as suspended:
        return _say(f"error: {suspended}", 130)
    except KeyboardInterrupt:
        return _say("error: Interrupted; the same command goes on from the last checkpoint.", 130)
    except Exception as error:
        traceback.print_exc()
        return _say(f"error: {_named(error)}", 1)
    return 0


def failure_of(error: BaseException, reason: str, logs: Path | None = None) -> Failure:
    """What `error` means to a person. `reason` is for faults whose cause is not known, `logs` where the output lies."""
    now = datetime.now(UTC)
    if isinstance(error, Refused):
        return Failure(reason=error.reason, message=error.message, retryable=error.retryable, time=now)
    if isinstance(error, Suspended):
        return Failure(reason="Suspended", message=str(error), retryable=True, time=now)
    if isinstance(error, KeyboardInterrupt):
        message = "The run was interrupted; the next attempt goes on from the last checkpoint."
        return Failure(reason="Interrupted", message=message, retryable=True, time=now)
    place = f" ({logs})" if logs else ""
    message = f"{_named(error)[:2000].rstrip('.')}. The whole story is in the process's output{place}."
    return Failure(reason=error.reason if isinstance(error, Failed) else reason, message=message, retryable=True, time=now)


def _named(error: BaseException) -> str:
    """The error in its own words; its type goes before them, unless they are a whole sentence already."""
    said = str(error).strip()
    return said if isinstance(error, Failed) else f"{type(error).__name__}: {said}"


def _say(sentence: str, code: int) -> int:
    sys.stdout.flush()
    print(sentence, file=sys.stderr, flush=True)
    return code
