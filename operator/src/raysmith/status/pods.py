"""Reading pods: which part they play, what their containers do, and how a person would call them."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

from raysmith.status.evidence import Evidence, Object, status

CREATION_FAILURES: Final = (
    "CreateContainerConfigError",
    "CreateContainerError",
    "PreCreateHookError",
    "PreStartHookError",
    "PostStartHookError",
    "RunContainerError",
    "CreatePodSandboxError",
)
"""Why the kubelet says that it cannot make a container whose image is there."""


class Role(StrEnum):
    """The part that a pod plays, in the order in which they are looked at."""

    PREPARATION = "preparation"
    HEAD = "head"
    WORKER = "worker"


def role(pod: Object) -> Role:
    """KubeRay labels its pods; the others are the preparation's."""
    return Role((pod["metadata"].get("labels") or {}).get("ray.io/node-type", Role.PREPARATION))


def name(pod: Object) -> str:
    """The pod's name."""
    return str(pod["metadata"]["name"])


def title(pod: Object) -> str:
    """How a sentence calls the pod."""
    return f"{role(pod)} pod {name(pod)}"


def heads(evidence: Evidence) -> list[Object]:
    """The pods of the Ray head: one, or two while one replaces the other."""
    return [pod for pod in evidence.pods if role(pod) is Role.HEAD]


def ordered(pods: Sequence[Object]) -> list[Object]:
    """What the others wait for comes first."""
    return sorted(pods, key=lambda pod: (list(Role).index(role(pod)), name(pod)))


def starting(evidence: Evidence) -> list[Object]:
    """The pods that run or are to run."""
    pods = (pod for pod in evidence.pods if status(pod).get("phase") not in ("Succeeded", "Failed"))
    return ordered([pod for pod in pods if not pod["metadata"].get("deletionTimestamp")])


def containers(pod: Object) -> list[Object]:
    """The statuses of all containers, in the order of their start."""
    found = status(pod)
    return [*(found.get("initContainerStatuses") or ()), *(found.get("containerStatuses") or ())]


def waiting(container: Object) -> Object:
    """Why the container does not run, as `reason` and `message`; empty if it does, or did."""
    return (container.get("state") or {}).get("waiting") or {}


def waiting_for(pod: Object, *reasons: str) -> Iterator[Object]:
    """The containers that do not run for one of these reasons of the kubelet."""
    return (container for container in containers(pod) if waiting(container).get("reason") in reasons)


def ends(container: Object) -> Iterator[Object]:
    """How the container ended: now, and the time before its last restart."""
    for field in ("state", "lastState"):
        if terminated := (container.get(field) or {}).get("terminated"):
            yield terminated


def how(end: Object) -> str:
    """How the container ended, as part of a sentence."""
    return f"with exit code {end.get('exitCode', 'unknown')} ({end.get('reason') or 'no reason given'})"


def see_log(pod: Object, container: str) -> str:
    """Where a person finds what a container wrote before it ended and was started again."""
    return f"See why with kubectl logs {name(pod)} -c {container} --previous."


def limit(pod: Object, container: str, resource: str) -> str | None:
    """What the container may use of the resource."""
    found = (spec for spec in _specs(pod) if spec["name"] == container)
    return next((((spec.get("resources") or {}).get("limits") or {}).get(resource) for spec in found), None)


def asked(pod: Object, resource: str) -> str | None:
    """What the pod asks for of the resource; more than one container's part is written as a sum."""
    resources = [spec.get("resources") or {} for spec in _specs(pod)]
    parts = [(found.get("requests") or {}).get(resource, (found.get("limits") or {}).get(resource)) for found in resources]
    return " + ".join(part for part in parts if part) or None


def template(pod: Object) -> str:
    """The part of `spec.podTemplate` that the pod is made with; the preparation's pod is made like the head's."""
    return "workers" if role(pod) is Role.WORKER else "head"


def resources_field(evidence: Evidence, part: Role) -> str:
    """The field of our object that sets what such a pod gets."""
    if part is not Role.WORKER:
        return "the resources of container ray in spec.podTemplate.head"
    return "spec.resources" if evidence.ray_service else "spec.workers.resources"


def _specs(pod: Object) -> list[Object]:
    return (pod.get("spec") or {}).get("containers") or []
