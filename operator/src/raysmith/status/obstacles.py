"""What keeps pods from starting. Each check looks at one pod; the first that finds something says it.

The cause is what it would be if it ended the attempt, which it does when it lasts too long.
"""

from collections.abc import Callable
from typing import Final

from raysmith.status import pods
from raysmith.status.denials import creation_denied
from raysmith.status.evidence import Cause, Diagnosis, Evidence, Object
from raysmith.status.images import image_missing, image_name_invalid, image_not_pulled
from raysmith.status.memory import killed_for_memory
from raysmith.status.messages import clause
from raysmith.status.reasons import Reason
from raysmith.status.scheduling import claim_missing, claim_unbound, scheduling_gated, unschedulable
from raysmith.status.volumes import reference_missing, volume_in_use, volume_not_mounted


def container_not_created(_evidence: Evidence, pod: Object) -> Diagnosis | None:
    """The node has all that the container needs, and cannot make it."""
    for container in pods.waiting_for(pod, *pods.CREATION_FAILURES):
        waiting = pods.waiting(container)
        said = clause(waiting.get("message") or "") or "no more is known"
        message = (
            f"Container {container['name']} of {pods.title(pod)} cannot be made ({waiting['reason']}): {said}. "
            f"Check its image and spec.podTemplate.{pods.template(pod)}."
        )
        return Diagnosis(Reason.CONTAINER_NOT_CREATED, message, pods.name(pod), Cause.USER)
    return None


def crash_loop(evidence: Evidence, pod: Object) -> Diagnosis | None:
    """A container has been started several times and always ended."""
    for container in pods.waiting_for(pod, "CrashLoopBackOff"):
        last = next(pods.ends(container), {})
        if last.get("reason") == "OOMKilled":
            return killed_for_memory(evidence, pod, container)
        message = (
            f"Container {container['name']} of {pods.title(pod)} ends again and again: "
            f"{container.get('restartCount', 0)} times so far, last {pods.how(last)}. {pods.see_log(pod, container['name'])}"
        )
        return Diagnosis(Reason.CRASH_LOOP, message, pods.name(pod), Cause.RUN)
    return None


CHECKS: Final[tuple[Callable[[Evidence, Object], Diagnosis | None], ...]] = (
    scheduling_gated,  # a queue holds the pod back
    claim_missing,  # no such claim
    claim_unbound,  # a claim without a volume
    unschedulable,  # no room, or no node that suits
    image_name_invalid,  # never passes
    image_missing,  # never pulled
    image_not_pulled,  # not there, not given, no answer
    reference_missing,  # a Secret or a ConfigMap
    volume_in_use,  # on another node
    volume_not_mounted,  # for any other cause
    container_not_created,  # for any other cause
    crash_loop,  # made, and ended
)

NEVER_PASSES: Final = frozenset({Reason.IMAGE_NAME_INVALID})
"""Obstacles that nobody can remove while the pods wait."""


def obstacle(evidence: Evidence) -> Diagnosis | None:
    """What keeps a pod from starting, the head's first; or what keeps pods from being made."""
    found = (check(evidence, pod) for check in CHECKS for pod in pods.starting(evidence))
    return next((diagnosis for diagnosis in found if diagnosis), None) or creation_denied(evidence)
