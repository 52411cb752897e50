"""Why the preparation of the data has ended: its last words stand in its container's status."""

from raysmith.status import messages, pods
from raysmith.status.evidence import Cause, Diagnosis, Evidence, Object, holds
from raysmith.status.messages import clause, sentence
from raysmith.status.reasons import Reason


def job_failed(evidence: Evidence) -> bool:
    """Whether the preparation's Job has failed."""
    return holds(evidence.job, "Failed")


def preparation_said_why(evidence: Evidence) -> Diagnosis | None:
    """The preparation itself knows, and has said so."""
    for pod, end in _ends(evidence):
        if said := messages.last_words(end.get("message")):
            cause = Cause.USER if said.get("retryable") is False else Cause.RUN
            return Diagnosis(
                messages.word(said["reason"], Reason.PREPARATION_FAILED), sentence(said["message"]), pods.name(pod), cause
            )
    return None


def preparation_failed(evidence: Evidence) -> Diagnosis | None:
    """The preparation ended without last words, or its pod is gone."""
    if not job_failed(evidence):
        return None
    for pod, end in _ends(evidence):
        said = clause(end.get("message") or "")
        ended = f"The preparation of the data ended {pods.how(end)}{f': {said}' if said else ''}."
        message = f"{ended} See why with kubectl logs {pods.name(pod)}."
        return Diagnosis(Reason.PREPARATION_FAILED, message, pods.name(pod), Cause.RUN)
    message = (
        "The pod that prepared the data was deleted before it ended. The attempt is not counted; the data is prepared anew."
    )
    return Diagnosis(Reason.POD_GONE, message, None, Cause.INFRASTRUCTURE)


def _ends(evidence: Evidence) -> list[tuple[Object, Object]]:
    """How the preparation's containers ended that did not end well, with their pods."""
    own = [pod for pod in evidence.pods if pods.role(pod) is pods.Role.PREPARATION] if job_failed(evidence) else []
    ends = [(pod, end) for pod in own for container in pods.containers(pod) for end in pods.ends(container)]
    return [(pod, end) for pod, end in ends if end.get("exitCode") != 0]
