"""Why an attempt has ended: what the run, Ray and KubeRay say about it."""

from typing import Final

from raysmith.status import messages, pods
from raysmith.status.evidence import Cause, Diagnosis, Evidence, Object, condition, status
from raysmith.status.memory import remedy
from raysmith.status.messages import clause, sentence
from raysmith.status.obstacles import obstacle
from raysmith.status.preparation import job_failed
from raysmith.status.reasons import Reason

# What a run says that has only seen the outcome; what happened to its pods says more.
_VAGUE: Final = frozenset({"TrainingFailed", "NodeLost", "OutOfMemory", "Interrupted", "Superseded"})
# What came from outside: nothing was wrong with the run.
_FROM_OUTSIDE: Final = frozenset({"NodeLost", "Interrupted", "Suspended"})
# Ends with 2 where it refuses its input and with 130 where it is interrupted (raysmith_workloads.report).
_REFUSED: Final = 2
_INTERRUPTED: Final = 130
# SIGKILL, straight or through a shell. Nobody else sends it to the run's process while the container lives.
_KILLED: Final = (-9, 137)
_NOT_STARTED: Final = ("supervisor", "runtime_env setup failed")


def ray_job_failed(evidence: Evidence) -> bool:
    """Whether the RayJob has ended without success. The deployment's status decides; the job's own may stay at RUNNING."""
    job = status(evidence.ray_job)
    if job.get("jobDeploymentStatus") == "Complete":
        return job.get("jobStatus") != "SUCCEEDED"
    return job.get("jobDeploymentStatus") in ("Failed", "ValidationFailed")


def spec_refused(evidence: Evidence) -> Diagnosis | None:
    """KubeRay's own rules, which it looks at after the API server has taken the object."""
    job, ready = status(evidence.ray_job), condition(evidence.ray_service, "Ready")
    if job.get("jobDeploymentStatus") == "ValidationFailed":
        kind, text = "RayJob", job.get("message")
    elif ready.get("reason") == "ValidationFailed":
        kind, text = "RayService", ready.get("message")
    else:
        return None
    message = (
        f"KubeRay refuses the {kind} that was made for this object: {clause(text or 'it does not say why')}. "
        "Change spec.podTemplate if that is the cause; otherwise ask whoever runs Raysmith."
    )
    return Diagnosis(Reason.SPEC_REFUSED, message, None, Cause.USER)


def run_said_why(evidence: Evidence) -> Diagnosis | None:
    """The run itself knows: its data, its model, its storage."""
    failure = evidence.own_failure
    return _told_by_run(evidence, failure) if failure and failure["reason"] not in _VAGUE else None


def run_saw_the_end(evidence: Evidence) -> Diagnosis | None:
    """The run knows only that its workers failed or were lost, or that it was interrupted."""
    return _told_by_run(evidence, evidence.own_failure) if evidence.own_failure else None


def deadline_passed(evidence: Evidence) -> Diagnosis | None:
    """`spec.activeDeadlineSeconds` is over."""
    in_preparation = job_failed(evidence) and condition(evidence.job, "Failed").get("reason") == "DeadlineExceeded"
    if not in_preparation and status(evidence.ray_job).get("reason") != "DeadlineExceeded":
        return None
    what = "The preparation of the data" if in_preparation else "The run"
    message = f"{what} took longer than spec.activeDeadlineSeconds. Raise it, or train on less or for fewer steps."
    return Diagnosis(Reason.DEADLINE_EXCEEDED, message, None, Cause.USER)


def never_started(evidence: Evidence) -> Diagnosis | None:
    """KubeRay gave the pods up, because they were not all running in time."""
    if status(evidence.ray_job).get("reason") != "PreRunningDeadlineExceeded":
        return None
    if found := obstacle(evidence):
        told = f"The pods of the Ray cluster were not running in time. {found.message}"
        return Diagnosis(found.reason, told, found.pod, found.cause)
    message = (
        "The pods of the Ray cluster were not running in time, and nothing is known that kept them. "
        "See kubectl get events; if images are large or nodes come late, have preRunningDeadlineSeconds raised."
    )
    return Diagnosis(Reason.START_TIMEOUT, message, None, Cause.RUN)


def accelerator_out_of_memory(evidence: Evidence) -> Diagnosis | None:
    """The batch does not fit into the accelerator's memory."""
    if not messages.speaks_of_accelerator_memory(_words(evidence)):
        return None
    message = (
        "A worker's accelerator has too little memory for the batch. "
        "Set spec.training.microBatchSize to 1, lower spec.data.maxLength, or choose method.lora or method.qlora."
    )
    return Diagnosis(Reason.ACCELERATOR_OUT_OF_MEMORY, message, None, Cause.RUN)


def process_out_of_memory(evidence: Evidence) -> Diagnosis | None:
    """A process was killed in a container that lives on: by Ray's memory monitor, or by the kernel."""
    failure = evidence.own_failure or {}
    # A run that could still write its report was not killed itself.
    is_killed = not failure and messages.exit_code(_ray_message(evidence)) in _KILLED
    # A run that has found it out says in which worker.
    if failure.get("reason") == Reason.OUT_OF_MEMORY or (not is_killed and not messages.speaks_of_memory(_words(evidence))):
        return None
    role = pods.Role.HEAD if is_killed else pods.Role.WORKER
    where = f"the head pod {head}" if is_killed and (head := _head(evidence)) else f"a {role} pod"
    message = f"A process in {where} was killed, because the memory of its container was used up. {remedy(evidence, role)}"
    return Diagnosis(Reason.OUT_OF_MEMORY, message, _head(evidence) if is_killed else None, Cause.RUN)


def submission_failed(evidence: Evidence) -> Diagnosis | None:
    """The Ray cluster is there, and the run's process was never started."""
    job, text = status(evidence.ray_job), _ray_message(evidence)
    if job.get("reason") != "SubmissionFailed" and not (
        ray_job_failed(evidence) and messages.exit_code(text) is None and any(word in text for word in _NOT_STARTED)
    ):
        return None
    message = f"The run could not be started on its Ray cluster: {clause(text) or 'KubeRay does not say why'}. {_see(evidence)}"
    return Diagnosis(Reason.SUBMISSION_FAILED, message, None, Cause.RUN)


def run_ended(evidence: Evidence) -> Diagnosis | None:
    """The run's process ended with an error, and all that is left of it is the log that Ray keeps."""
    code = messages.exit_code(_ray_message(evidence))
    if not ray_job_failed(evidence) or code is None:
        return None
    log = messages.plain(_ray_message(evidence))
    said, raised = messages.own_words(log), messages.raised(log)
    if code == _REFUSED and said:
        return Diagnosis(Reason.RUN_REFUSED, sentence(said), None, Cause.USER)
    if code == _INTERRUPTED:
        message = "The run was interrupted from outside. The next attempt goes on from the last checkpoint."
        return Diagnosis("Interrupted", message, None, Cause.INFRASTRUCTURE)
    told = str(raised) if raised else clause(said or "") or f"exit code {code} and left no error message"
    return Diagnosis(Reason.RUN_FAILED, f"The run ended with {told}. {_see(evidence)}", None, Cause.RUN)


def ray_job_ended(evidence: Evidence) -> Diagnosis:
    """Nothing else is known than what KubeRay says."""
    job = status(evidence.ray_job)
    if job.get("jobStatus") == "STOPPED":
        message = (
            "The run was stopped through Ray's job API, not by Raysmith. The next attempt goes on from the last checkpoint."
        )
        return Diagnosis(Reason.RUN_STOPPED, message, None, Cause.RUN)
    reason, text = job.get("reason") or "no reason", clause(job.get("message") or "") or "no message"
    return Diagnosis(
        Reason.RAY_JOB_FAILED, f"KubeRay reports that the run failed ({reason}): {text}. {_see(evidence)}", None, Cause.RUN
    )


def _told_by_run(evidence: Evidence, failure: Object) -> Diagnosis:
    cause = Cause.RUN if failure.get("retryable", True) else Cause.USER
    if failure["reason"] in _FROM_OUTSIDE:
        cause = Cause.INFRASTRUCTURE
    message = str(failure["message"]).strip() or "The run ended and does not say why."
    return Diagnosis(messages.word(failure["reason"], Reason.RUN_FAILED), message, _head(evidence), cause)


def _head(evidence: Evidence) -> str | None:
    return next((pods.name(pod) for pod in pods.heads(evidence)), None)


def _words(evidence: Evidence) -> str:
    """Everything that the run has left in words."""
    return "\n".join((messages.plain(_ray_message(evidence)), str((evidence.own_failure or {}).get("message") or "")))


def _ray_message(evidence: Evidence) -> str:
    return str(status(evidence.ray_job).get("message") or "")


def _see(evidence: Evidence) -> str:
    """Where the whole story stands."""
    name = (evidence.ray_job or {})["metadata"]["name"]
    return f"More stands in kubectl get rayjob {name} -o jsonpath='{{.status.message}}'."
