"""Where an LLMFineTune stands and what it needs next. Pure: (object, what was seen, now) -> verdict.

    refused                                        -> Finished, nothing runs
    no open attempt, and no end                    -> a new attempt is opened
    open attempt: no Job                           -> PREPARE
                  Job succeeded                    -> TRAIN
                  RayJob succeeded, result in      -> Finished
                  RayJob succeeded, result missing -> RECOVER it from the record in storage
                  failed                           -> closed with its reason; tried again, or Finished
    suspended                                      -> the open attempt is closed, its children go

Whether there is an open attempt stands in `status.attempts`: the last entry without an end. Each attempt's children are told
apart by a label, so every call comes to the same verdict from the same observations.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

from raysmith.api import LLMFineTune
from raysmith.api.common import Artifact
from raysmith.api.finetune import Attempt, LLMFineTuneStatus, Result
from raysmith.status.conditions import Finding, accepted, find, holds, no, updated, yes
from raysmith.status.diagnose import retry
from raysmith.status.evidence import Cause, Diagnosis

SUSPEND_SECONDS: Final = 60
"""What a run gets to make its last checkpoint."""
RESULT_SECONDS: Final = 30
"""How long a finished run may take to write its result before it is fetched from the record."""
BACKOFF_SECONDS: Final = (0, 10, 30, 60, 120, 300)
"""Wait before the second, third, ... attempt after faults of the run; lost machines are replaced at once."""
MESSAGE_LIMIT: Final = 4096
ATTEMPTS_LIMIT: Final = 100
"""What `status.attempts` has room for."""
SILENCE_SECONDS: Final = 60
"""What KubeRay gets to say a first word about a RayJob."""
STARTING: Final = no("Running", "Starting", "The Ray cluster's pods are starting.")
PREPARED: Final = yes("Prepared", "Prepared", "The data is checked and packed.")


class Want(Enum):
    """What must be there now, beyond what every run has."""

    NOTHING = "nothing"
    """No pods: what the attempts left behind stays until its own time is up."""
    CLEAR = "clear"
    """No pods, at once: the children of all attempts are deleted."""
    KEEP = "keep"
    """What is there goes on by itself."""
    PREPARE = "prepare"
    TRAIN = "train"
    RECOVER = "recover"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was observed of the open attempt's children, and what the references resolve to."""

    refusals: list[str] = field(default_factory=list)
    """Sentences about what no pod can be made from."""
    model: Artifact | None = None
    """What `spec.model.fineTune` resolves to; None without a reference or as long as that run has no result."""
    waiting_for: str | None = None
    """Why the reference has no result yet, as a sentence."""
    reference_failed: str | None = None
    """Why the reference never will, as a sentence."""
    job: dict[str, Any] | None = None
    """The preparation Job."""
    ray_job: dict[str, Any] | None = None
    recovery: dict[str, Any] | None = None
    """The Job that fetches the result from the record."""
    diagnosis: Diagnosis | None = None
    """What is wrong with them, if anything is."""
    hindered: Finding | None = None
    """Why what has to be there cannot be made."""


@dataclass(frozen=True)
class Verdict:
    """The new status, what must be there, and when to look again."""

    status: LLMFineTuneStatus
    want: Want
    again: float | None = None
    """Seconds until time alone changes the verdict; None for never."""


def job_outcome(job: dict[str, Any] | None) -> str | None:
    """`Complete` or `Failed` for a batch/v1 Job that has ended, None for one that has not."""
    conditions = (job or {}).get("status", {}).get("conditions") or []
    return next((c["type"] for c in conditions if c["type"] in ("Complete", "Failed") and c["status"] == "True"), None)


def ray_job_outcome(ray_job: dict[str, Any] | None) -> str | None:
    """`Complete` or `Failed` for a RayJob that has ended, None for one that has not.

    The deployment's status decides: the job's own may stay at RUNNING for ever when its head is lost.
    """
    status = (ray_job or {}).get("status") or {}
    if status.get("jobDeploymentStatus") == "Complete":
        return "Complete" if status.get("jobStatus") == "SUCCEEDED" else "Failed"
    return "Failed" if status.get("jobDeploymentStatus") in ("Failed", "ValidationFailed") else None


def verdict(obj: LLMFineTune, seen: Seen, now: datetime) -> Verdict:
    """What is true of `obj` and what it needs."""
    return _Judge(obj, seen, now).judge()


class _Judge:
    """One judgement: what never changes while it is made, so that the steps below need no lists of arguments."""

    def __init__(self, obj: LLMFineTune, seen: Seen, now: datetime) -> None:
        self.obj, self.seen, self.now = obj, seen, now
        self.old = obj.status or LLMFineTuneStatus()
        self.attempts = list(self.old.attempts or [])

    def judge(self) -> Verdict:
        if holds(self.old.conditions, "Finished"):
            return Verdict(self.old, Want.NOTHING, self._expires())
        if self.old.result and self.old.result.artifact:
            return self._succeeded(self.old.result, self.old.result.artifact)
        if refusal := self._refusal():
            return self._refused(*refusal)
        if self.obj.spec.suspend:
            return self._suspended()
        if self.seen.waiting_for and self.old.model is None:
            return self._waiting("WaitingForModel", self.seen.waiting_for)
        return self._open_attempt()

    def _is_open(self) -> bool:
        return bool(self.attempts) and self.attempts[-1].end_time is None

    def _refusal(self) -> tuple[str, str] | None:
        """A run that has begun ends as it was applied; only another attempt would be refused."""
        if self.seen.refusals and not (self._is_open() and self.seen.ray_job):
            return "Refused", " ".join(self.seen.refusals)
        if self.seen.reference_failed and self.old.model is None:
            return "ModelNotPromoted", self.seen.reference_failed
        return None

    def _open_attempt(self) -> Verdict:
        if self._is_open():
            return self._running()
        if len(self.attempts) >= ATTEMPTS_LIMIT:
            message = f"It was tried {ATTEMPTS_LIMIT} times. Apply it under another name to go on."
            return self._ended("TooManyAttempts", message)
        wait = self._backoff()
        if wait > 0:
            message = (
                f"Attempt {len(self.attempts) + 1} starts at {self._next_start():%H:%M:%S} UTC: "
                f"the last one failed, {self.attempts[-1].message}"
            )
            return self._waiting("BackingOff", message, again=wait)
        self.attempts.append(Attempt(number=len(self.attempts) + 1, start_time=self.now))
        return self._running()

    def _running(self) -> Verdict:
        if self.seen.hindered:
            return self._make("Pending", Want.NOTHING, self.seen.hindered, again=30)
        if self.seen.ray_job is not None:
            return self._training()
        if self.seen.diagnosis and self.seen.diagnosis.terminal:
            return self._failed(self.seen.diagnosis)
        if job_outcome(self.seen.job) == "Complete":
            return self._make("Starting", Want.TRAIN, PREPARED, STARTING, again=self._look_again())
        message = self.seen.diagnosis.message if self.seen.diagnosis else "The data is read, checked and packed."
        reason = self.seen.diagnosis.reason if self.seen.diagnosis else "Preparing"
        findings = no("Prepared", reason, message), no("Running", "Preparing", message)
        return self._make("Preparing", Want.PREPARE, *findings, again=self._look_again())

    def _training(self) -> Verdict:
        outcome = ray_job_outcome(self.seen.ray_job)
        if outcome == "Complete":
            return self._without_result()
        if self.seen.diagnosis and self.seen.diagnosis.terminal:
            return self._failed(self.seen.diagnosis)
        prepared = PREPARED
        running, phase = self._stage()
        return self._make(phase, Want.KEEP, prepared, running, again=self._look_again() if phase == "Starting" else None)

    def _stage(self) -> tuple[Finding, str]:
        ray_job, attempt, progress = self.seen.ray_job or {}, self.attempts[-1], self.old.progress
        if ray_job.get("spec", {}).get("suspend"):
            return no(
                "Running", "Queued", "The queue has not admitted the run yet (spec.suspend of its RayJob is set)."
            ), "Queued"
        why = self.seen.diagnosis
        if _deployment(ray_job) != "Running":
            return (no("Running", why.reason, why.message) if why else self._start(ray_job)), "Starting"
        # What an earlier attempt has reported says nothing about this one.
        began = progress is not None and (attempt.start_time is None or progress.updated_time >= attempt.start_time)
        stage = progress.stage if progress and began else "Starting"
        number = attempt.number
        # A worker that is being replaced keeps nobody from going on.
        return yes("Running", "Running", f"Attempt {number} is running.{f' {why.message}' if why else ''}"), stage

    def _start(self, ray_job: dict[str, Any]) -> Finding:
        born = _time(ray_job.get("metadata", {}).get("creationTimestamp"))
        if _deployment(ray_job) or born is None or (self.now - born).total_seconds() < SILENCE_SECONDS:
            return STARTING
        message = (
            f"KubeRay has not taken up RayJob {ray_job['metadata']['name']} for a minute. "
            "See whether its operator runs, and looks after this namespace: kubectl get pods -A | grep kuberay."
        )
        return no("Running", "KubeRaySilent", message)

    def _without_result(self) -> Verdict:
        """The run has ended well, and its last words have not arrived: they stand in the record, too."""
        running = no("Running", "Ended", "The run has ended; its result is awaited.")
        recovering = job_outcome(self.seen.recovery)
        if recovering is not None:
            message = (
                "The run ended well, but its record in storage does not tell the result; look at the log of the recovery Job."
            )
            return self._failed(Diagnosis("ResultLost", message, None, Cause.RUN, True))
        ended = _time((self.seen.ray_job or {}).get("status", {}).get("endTime")) or self.now
        left = RESULT_SECONDS - (self.now - ended).total_seconds()
        return self._make("Saving", Want.RECOVER if left <= 0 else Want.KEEP, running, again=max(left, 1) if left > 0 else None)

    def _succeeded(self, result: Result, artifact: Artifact) -> Verdict:
        self._close("Succeeded", result.message or "The run has ended.", counted=False)
        promoted = yes if result.promoted else no
        message = result.message or ""
        return self._make(
            "Succeeded" if result.promoted else "GateFailed",
            Want.NOTHING,
            PREPARED,
            no("Running", "Ended", "The run has ended."),
            yes("Evaluated", "Evaluated", "Base and tuned model were measured on the validation rows."),
            promoted("Promoted", "GatePassed" if result.promoted else "GateFailed", message),
            yes("Succeeded", "Succeeded", f"The artefact lies in {artifact.uri}."),
            yes("Finished", "Succeeded", "The run has ended with a result."),
        )

    def _failed(self, why: Diagnosis) -> Verdict:
        counted = why.cause is Cause.RUN
        self._close(why.reason, why.message, counted=counted)
        failures = sum(bool(attempt.counted) for attempt in self.attempts)
        if retry(why, failures, self.obj.spec.fault_tolerance.attempts) and len(self.attempts) < ATTEMPTS_LIMIT:
            wait = self._backoff()
            message = f"Attempt {self.attempts[-1].number} ended: {why.message} The next one goes on from the last checkpoint."
            return self._make("Retrying", Want.NOTHING, no("Running", why.reason, message), again=max(wait, 0.1))
        return self._ended(why.reason, why.message)

    def _ended(self, reason: str, message: str) -> Verdict:
        goes_on = self.seen.ray_job is not None and ray_job_outcome(self.seen.ray_job) is None
        return self._make(
            "Failed",
            Want.CLEAR if goes_on else Want.NOTHING,
            no("Running", reason, message),
            no("Succeeded", reason, message),
            yes("Finished", reason, message),
        )

    def _refused(self, reason: str, message: str) -> Verdict:
        want = Want.CLEAR if self._is_open() else Want.NOTHING
        self._close(reason, message, counted=False)
        findings = (no("Accepted", reason, message), no("Succeeded", reason, message), yes("Finished", reason, message))
        return self._status("Refused", want, list(findings))

    def _suspended(self) -> Verdict:
        open_ = self._is_open()
        stopping = find(self.old.conditions, "Running")
        active = _deployment(self.seen.ray_job) == "Running"  # nothing else has anything to save
        if open_ and active:
            since = stopping.last_transition_time if stopping and stopping.reason == "Suspending" else self.now
            left = SUSPEND_SECONDS - (self.now - since).total_seconds()
            if left > 0:
                message = "spec.suspend is true; the run makes a checkpoint and ends."
                return self._make("Suspending", Want.KEEP, no("Running", "Suspending", message), again=left)
        if open_:
            self._close("Suspended", "spec.suspend was set.", counted=False)
        message = "spec.suspend is true, so nothing runs; set it to false to go on from the last checkpoint."
        return self._make("Suspended", Want.CLEAR, no("Running", "Suspended", message))

    def _waiting(self, reason: str, message: str, again: float | None = None) -> Verdict:
        return self._make("Pending", Want.NOTHING, no("Running", reason, message), again=again)

    def _make(self, phase: str, want: Want, *findings: Finding, again: float | None = None) -> Verdict:
        return self._status(phase, want, [accepted(), *findings], again)

    def _status(self, phase: str, want: Want, findings: list[Finding], again: float | None = None) -> Verdict:
        generation = self.obj.metadata.generation
        status = LLMFineTuneStatus(
            observed_generation=generation,
            phase=phase,
            conditions=updated(self.old.conditions or [], findings, generation, self.now),
            model=self.old.model or self.seen.model,
            attempt=self.attempts[-1].number if self.attempts else None,
            attempts=self.attempts or None,
        )
        return Verdict(status, want, again)

    def _close(self, reason: str, message: str, *, counted: bool) -> None:
        if not self.attempts or self.attempts[-1].end_time is not None:
            return  # its result came in after it had been given up
        end = {"reason": reason, "message": message[:MESSAGE_LIMIT], "end_time": self.now, "counted": counted}
        self.attempts[-1] = self.attempts[-1].model_copy(update=end)

    def _backoff(self) -> float:
        """Seconds until the next attempt may start."""
        return (self._next_start() - self.now).total_seconds()

    def _next_start(self) -> datetime:
        """When the next attempt may start."""
        last = self.attempts[-1] if self.attempts else None
        if last is None or last.end_time is None or not last.counted:
            return self.now
        failures = sum(bool(attempt.counted) for attempt in self.attempts)
        return last.end_time + timedelta(seconds=BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])

    def _expires(self) -> float | None:
        """Seconds until the finished object is deleted."""
        ttl, finished = self.obj.spec.ttl_seconds_after_finished, find(self.old.conditions, "Finished")
        if ttl is None or finished is None:
            return None
        return max(0.0, ttl - (self.now - finished.last_transition_time).total_seconds())

    def _look_again(self) -> float:
        """Seconds until a start is looked at again: a volume that cannot be mounted changes nothing that is watched."""
        started = self.attempts[-1].start_time or self.now
        return min(max(15.0, (self.now - started).total_seconds() / 2), 300.0)


def deleting(obj: LLMFineTune, message: str, now: datetime) -> Verdict:
    """What stands in the way of the object's deletion, as a sentence."""
    judge = _Judge(obj, Seen(), now)
    judge._close("Deleted", "The object was deleted.", counted=False)
    return judge._status("Deleting", Want.NOTHING, [no("Running", "Deleting", message)])


def expired(obj: LLMFineTune, now: datetime) -> bool:
    """Whether the object has finished and its time-to-live is over."""
    left = _Judge(obj, Seen(), now)._expires()
    return left is not None and left <= 0


def _deployment(ray_job: dict[str, Any] | None) -> str:
    """KubeRay's `jobDeploymentStatus`; empty as long as it has said nothing."""
    return str(((ray_job or {}).get("status") or {}).get("jobDeploymentStatus") or "")


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
