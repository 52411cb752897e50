"""Pods: one container, confined as the "restricted" Pod Security Standard asks, and the user's template over it."""

from collections.abc import Mapping
from typing import Any, Final

from raysmith.api.common import Resources
from raysmith.api.quantities import cpus
from raysmith.config import Settings
from raysmith.render.merge import merge
from raysmith.render.template_rules import CONTAINER
from raysmith.render.volumes import Mounts

USER: Final = 1000
"""User and group of every process. Numeric, because runAsNonRoot cannot judge a name."""

_POD_SECURITY: Final = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    # Without it, every start would walk through all files of the volumes.
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
_CONTAINER_SECURITY: Final = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
_OWN_SECURITY: Final = _CONTAINER_SECURITY | {"readOnlyRootFilesystem": True}
"""Of the container that Raysmith starts: what it writes beside the claims lies in /tmp. A user's own may need to write."""


def complete_resources(resources: Resources | None, settings: Settings) -> Resources:
    """The object's resources of a worker with what it leaves out filled in.

    Memory gets a limit: Ray sizes its object store by it, and without one by the whole node's memory.
    """
    requests = dict((resources and resources.requests) or {})
    limits = dict((resources and resources.limits) or {})
    for name, quantity in settings.worker_requests.items():
        requests.setdefault(name, limits.get(name, quantity))
    limits.setdefault("memory", requests["memory"])
    return Resources(requests=dict(sorted(requests.items())), limits=dict(sorted(limits.items())))


def pod_template(
    *,
    image: str,
    resources: Mapping[str, Mapping[str, Any]],
    mounts: Mounts,
    labels: Mapping[str, str],
    settings: Settings,
    patch: Mapping[str, Any] | None,
    env: Mapping[str, str] | None = None,
    identity: str | None = None,
) -> dict[str, Any]:
    """A PodTemplateSpec with one container, and `patch`, a part of `spec.podTemplate`, merged over it.

    `identity` is the service account whose token the pod gets; without it, there is no token.
    """
    threads = cpus(Resources.model_validate(resources))
    variables = {"HOME": "/tmp", "OMP_NUM_THREADS": str(threads), "RAY_USAGE_STATS_ENABLED": "0"}  # noqa: S108 - a pod's own
    container = {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": settings.image_pull_policy,
        "env": [{"name": name, "value": value} for name, value in (variables | dict(env or {})).items()] + mounts.env,
        "resources": {kind: dict(amounts) for kind, amounts in resources.items()},
        "volumeMounts": mounts.volume_mounts,
    }
    spec: dict[str, Any] = {
        "automountServiceAccountToken": identity is not None,
        "securityContext": _POD_SECURITY,
        "containers": [container],
        "volumes": mounts.volumes,
    }
    if account := identity or settings.service_account:
        spec["serviceAccountName"] = account
    return _confined(merge({"metadata": {"labels": dict(labels)}, "spec": spec}, patch or {}))


def _confined(template: dict[str, Any]) -> dict[str, Any]:
    """The template with every container confined, the user's own too."""
    spec = template["spec"]
    kinds = [kind for kind in ("initContainers", "containers") if kind in spec]
    confined = {kind: [{**container, "securityContext": _security(container)} for container in spec[kind]] for kind in kinds}
    return {**template, "spec": {**spec, **confined}}


def _security(container: Mapping[str, Any]) -> dict[str, Any]:
    return _OWN_SECURITY if container["name"] == CONTAINER else _CONTAINER_SECURITY
