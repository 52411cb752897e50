"""Why an attempt or a revision does not go on: one reason, one message, and whose fault it is. Pure.

evidence.py     what is looked at, and what comes out
reasons.py      the words
obstacles.py    pods that do not start; scheduling.py, denials.py: before they have a node
departures.py   pods that were taken away
memory.py       containers that were killed for their memory
endings.py      what the run, the preparation, Ray and KubeRay say about the end
replicas.py     what Ray Serve says about a service
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from raysmith.status.departures import head_lost, is_head_lost, storage_exceeded, taken_away
from raysmith.status.endings import (
    accelerator_out_of_memory,
    deadline_passed,
    never_started,
    process_out_of_memory,
    ray_job_ended,
    ray_job_failed,
    run_ended,
    run_said_why,
    run_saw_the_end,
    spec_refused,
    submission_failed,
)
from raysmith.status.evidence import Cause, Diagnosis, Evidence, holds, status, time
from raysmith.status.memory import out_of_memory
from raysmith.status.obstacles import NEVER_PASSES, obstacle
from raysmith.status.preparation import job_failed, preparation_failed, preparation_said_why
from raysmith.status.replicas import engine_failed, start_given_up

__all__ = ["Cause", "Diagnosis", "Evidence", "diagnose", "retry"]

Check = Callable[[Evidence], Diagnosis | None]

ENDINGS: Final[tuple[Check, ...]] = (
    spec_refused,  # KubeRay does not take the RayJob
    run_said_why,  # the run knows better than anybody
    preparation_said_why,  # and so does the preparation
    deadline_passed,  # spec.activeDeadlineSeconds
    storage_exceeded,  # evicted for its own fault
    taken_away,  # evicted, preempted, or gone with its node
    out_of_memory,  # a container was killed
    never_started,  # KubeRay gave the pods up
    head_lost,  # gone, ended or replaced
    accelerator_out_of_memory,  # as the run or its log says
    process_out_of_memory,  # as the run or its log says
    run_saw_the_end,  # the run knows only that it failed
    submission_failed,  # the run's process was never started
    run_ended,  # an exception in the log
    preparation_failed,  # nobody knows more
    ray_job_ended,  # nobody knows more
)
"""Why an attempt that is over has ended."""

STANDSTILLS: Final[tuple[Check, ...]] = (
    spec_refused,  # KubeRay does not take the RayService
    start_given_up,  # KubeRay gave the pods up
    engine_failed,  # as Ray Serve says
)
"""Why a service does not answer, although its pods may run."""


def diagnose(evidence: Evidence) -> Diagnosis | None:
    """What is wrong, or None if nothing is. The message names the pod that it happened in."""
    found = _diagnosis(evidence)
    if found is None or found.pod is None or found.pod in found.message:
        return found
    return replace(found, message=f"{found.message} It happened in pod {found.pod}.")


def _diagnosis(evidence: Evidence) -> Diagnosis | None:
    if job_failed(evidence) or ray_job_failed(evidence) or is_head_lost(evidence):
        return _first(ENDINGS, evidence)
    if status(evidence.ray_job).get("jobDeploymentStatus") == "Complete":
        return None
    if found := _first(STANDSTILLS, evidence):
        return found
    found = obstacle(evidence)
    if found is None or found.reason in NEVER_PASSES or _is_overdue(evidence):
        return found
    return replace(found, cause=Cause.WAITING, terminal=False)


def retry(diagnosis: Diagnosis, counted_failures: int, attempts_allowed: int) -> bool:
    """Whether another attempt is made. `counted_failures` are those of the run itself, this one among them."""
    if diagnosis.cause is Cause.INFRASTRUCTURE:
        return True
    return diagnosis.cause is Cause.RUN and counted_failures < attempts_allowed


def _first(checks: tuple[Check, ...], evidence: Evidence) -> Diagnosis | None:
    return next((found for check in checks if (found := check(evidence))), None)


def _is_overdue(evidence: Evidence) -> bool:
    """Whether the preparation's pod has had its time to start. KubeRay looks after those of the Ray cluster itself."""
    started = time(status(evidence.job).get("startTime"))
    if started is None or holds(evidence.job, "Complete"):
        return False
    return (evidence.now - started).total_seconds() > evidence.start_seconds
