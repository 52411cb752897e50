"""Containers that were killed because they used more memory than they may."""

from raysmith.status import pods
from raysmith.status.evidence import Cause, Diagnosis, Evidence, Object
from raysmith.status.reasons import Reason


def out_of_memory(evidence: Evidence) -> Diagnosis | None:
    """The first container that was killed so, now or before its last restart."""
    for pod in pods.ordered(evidence.pods):
        for container in pods.containers(pod):
            if any(end.get("reason") == "OOMKilled" for end in pods.ends(container)):
                return killed_for_memory(evidence, pod, container)
    return None


def killed_for_memory(evidence: Evidence, pod: Object, container: Object) -> Diagnosis:
    """What to say about this container."""
    limit = pods.limit(pod, container["name"], "memory")
    used = f"used more memory than its limit{f' of {limit}' if limit else ''}"
    message = f"Container {container['name']} of {pods.title(pod)} {used} and was killed. {remedy(evidence, pods.role(pod))}"
    return Diagnosis(Reason.OUT_OF_MEMORY, message, pods.name(pod), Cause.RUN)


def remedy(evidence: Evidence, role: pods.Role) -> str:
    """How such a pod gets along with its memory."""
    more = f"Raise the memory in {pods.resources_field(evidence, role)}"
    if role is not pods.Role.WORKER:
        return f"{more}."
    if evidence.ray_service:
        return f"{more}, or lower spec.engine.maxModelLength."
    return f"{more}, or set spec.training.microBatchSize to 1 or lower spec.data.maxLength."
