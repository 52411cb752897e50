"""One LLMFineTune on this machine: the same two processes as in a cluster, attempt by attempt, until there is a record."""

import time
from datetime import UTC, datetime
from pathlib import Path

from raysmith.api import LLMFineTune, layout, to_wire
from raysmith.api.common import Artifact
from raysmith.api.finetune import LLMFineTuneStatus, Progress
from raysmith.api.record import Failure, Prepared, RunRecord
from raysmith.cli import records
from raysmith.cli.data_dir import DataDir, write_json
from raysmith.cli.display import Activity, Display
from raysmith.cli.errors import BAD_INPUT, INTERRUPTED, Interrupted, RunFailed, RunRefused
from raysmith.cli.follow import Follower, StageEnded, doing
from raysmith.cli.local_ray import LocalRay
from raysmith.cli.processes import Child, interrupted, last_words, signal_name
from raysmith.cli.stages import StageClock

POLL_SECONDS = 0.25


class AttemptFailed(Exception):  # noqa: N818 - it is what happened to the attempt
    """An attempt ended without a result.

    `again` says whether another one may go better without the user's help, `refused` that none ever will.
    """

    def __init__(self, failure: Failure, exit_code: int) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.again = tried_again(failure, exit_code)
        self.refused = exit_code == BAD_INPUT and not failure.retryable


def tried_again(failure: Failure, exit_code: int) -> bool:
    """Whether the same command tries again by itself: for faults of the run only.

    What was refused (bad data, a full disk) needs the user first, even if it is retryable then; what somebody interrupted
    stays so until the command is given again.
    """
    return failure.retryable and exit_code not in (BAD_INPUT, INTERRUPTED)


class LocalFineTunes:
    """Runs LLMFineTunes one after the other, all on one Ray."""

    def __init__(self, *, data: DataDir, ray: LocalRay, display: Display, clock: StageClock) -> None:
        self._data = data
        self._ray = ray
        self._display = display
        self._clock = clock

    def run(self, obj: LLMFineTune, base: Artifact | None) -> RunRecord:
        """The record of the run of `obj`, which has its uid; `base` is what its model reference resolved to.

        Raises RunFailed when no attempt led to a record, RunRefused when none ever will, Interrupted on Ctrl-C.
        """
        folder = self._data.run_folder(obj)
        self._display.title(obj.kind, obj.metadata.name, str(records.short(folder)))
        if record := self._reused(folder):
            return record
        with records.run_lock(folder):
            self._data.remember_storage(obj.spec.output.storage)
            return self._reused(folder) or self._until_done(obj, base, folder)

    def _reused(self, folder: Path) -> RunRecord | None:
        record = records.finished_record(folder)
        if record is not None:
            when = record.end_time.astimezone().strftime("%Y-%m-%d %H:%M")
            self._display.done("reused", None, f"finished {when} with the same spec and data")
        return record

    def _until_done(self, obj: LLMFineTune, base: Artifact | None, folder: Path) -> RunRecord:
        """Attempts until one succeeds.

        `faultTolerance.attempts` counts those of this command: who gives it again has looked at the reason.
        """
        attempts = obj.spec.fault_tolerance.attempts
        for attempt in range(1, attempts + 1):
            number = max(records.attempt_numbers(folder), default=0) + 1
            try:
                return self._attempt(_with_status(obj, base, number), folder, number)
            except AttemptFailed as failed:
                self._display.failed(f"attempt {number}: {failed.failure.reason}: {failed.failure.message}")
                if not failed.again or attempt == attempts:
                    ending = RunRefused if failed.refused else RunFailed
                    raise ending(f"{obj.metadata.name}: {failed.failure.message}") from failed
                self._display.say(f"trying again, {attempt + 1} of {attempts}, from the last checkpoint")
        raise AssertionError("attempts is at least 1")

    def _attempt(self, obj: LLMFineTune, folder: Path, number: int) -> RunRecord:
        write_json(folder / layout.OBJECT, to_wire(obj))
        (folder / layout.attempt_folder(number)).mkdir(parents=True, exist_ok=True)
        environment = self._started_ray()
        self._process("prepare", "Preparing", obj, folder, number, environment)
        if prepared := records.read(folder / layout.PREPARED, Prepared):
            for note in prepared.notes:
                self._display.say(note)
        self._process("finetune", "Loading", obj, folder, number, environment)
        record = records.finished_record(folder)
        if record is None:
            raise RunFailed(
                f"{obj.metadata.name}: the run ended well but left no {layout.RUN} in {folder}; please report this."
            )
        return record

    def _started_ray(self) -> dict[str, str]:
        if self._ray.start_seconds is not None:
            return self._ray.environment()
        with self._display.activity("starting Ray on this machine"):
            environment = self._ray.environment()
        self._clock.add("", "start Ray", self._ray.start_seconds or 0)
        self._display.done("started Ray", self._ray.start_seconds)
        return environment

    def _process(
        self, module: str, stage: str, obj: LLMFineTune, folder: Path, number: int, environment: dict[str, str]
    ) -> None:
        log = folder / "logs" / f"{number}-{module}.log"
        arguments = ["--object", str(folder / layout.OBJECT)]
        attempt = folder / layout.attempt_folder(number)
        with (
            self._display.activity(stage) as activity,
            Child(f"raysmith_workloads.{module}", arguments, log=log, environment=environment) as child,
        ):
            try:
                code = self._follow(child, stage, attempt, obj.metadata.name, activity)
            except KeyboardInterrupt:
                activity.stopping()
                child.stop()
                raise self._interrupted(obj.metadata.name, folder, attempt) from None
        if code == INTERRUPTED:
            raise self._interrupted(obj.metadata.name, folder, attempt)
        if code != 0:
            raise AttemptFailed(_failure(attempt, code, log), code)

    def _follow(self, child: Child, stage: str, attempt: Path, name: str, activity: Activity) -> int:
        follower = Follower(stage, time.monotonic())
        left_behind = records.read(attempt / layout.PROGRESS, Progress)  # by the process before, in the same attempt
        code = None
        while code is None:
            code = child.exit_code(POLL_SECONDS)
            progress = records.read(attempt / layout.PROGRESS, Progress)
            events = follower.see(progress, time.monotonic()) if progress and progress != left_behind else []
            if code == 0:
                events += follower.end(time.monotonic())
            for event in events:
                activity.tell(event)
                if isinstance(event, StageEnded):
                    self._clock.add(name, doing(event.stage), event.seconds)
            if progress and progress != left_behind:
                activity.update(progress)
        return code

    def _interrupted(self, name: str, folder: Path, attempt: Path) -> Interrupted:
        progress = records.read(attempt / layout.PROGRESS, Progress)
        step, total = (progress.step, progress.total_steps) if progress else (0, 0)
        resumes_from = records.newest_checkpoint(folder)
        return interrupted(name, max(step, resumes_from), total, resumes_from)  # progress may be half a second old


def _with_status(obj: LLMFineTune, base: Artifact | None, attempt: int) -> LLMFineTune:
    return obj.model_copy(update={"status": LLMFineTuneStatus(attempt=attempt, model=base)})


def _failure(attempt: Path, code: int, log: Path) -> Failure:
    """Why the attempt failed: what the process wrote down, or what can be told from how it ended."""
    failure = records.read(attempt / layout.FAILURE, Failure)
    if failure is not None:
        return failure
    if code < 0:
        message = (
            f"The process was ended by {signal_name(code)}, most often because memory ran out; a smaller "
            f"training.microBatchSize needs less. Its output is in {log}."
        )
        failure = Failure(reason="Killed", message=message, retryable=True, time=datetime.now(UTC))
    else:
        message = f"{last_words(log)} The whole output is in {log}."
        failure = Failure(reason="ProcessFailed", message=message, retryable=code != BAD_INPUT, time=datetime.now(UTC))
    write_json(attempt / layout.FAILURE, to_wire(failure))
    return failure
