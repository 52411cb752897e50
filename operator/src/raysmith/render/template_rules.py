"""What may stand in `spec.podTemplate`.

The operator may make pods that its users may not. So this is an allow-list: what it lets through stays within the
"restricted" Pod Security Standard, the namespace's own volumes and secrets, and the commands that Raysmith gives.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from raysmith.api.common import Resources
from raysmith.api.quantities import accelerators
from raysmith.fieldpath import below
from raysmith.render.merge import MERGE_KEYS

CONTAINER: Final = "ray"
"""Name of the container that runs Ray, for `containers: [{name: ray, ...}]`."""
OBJECT_VOLUME: Final = "object"
"""Name of the volume that holds the object."""
SCRATCH_VOLUME: Final = "raysmith-tmp"
"""Name of the volume at /tmp, the one place in a pod that can be written without a claim."""
CLAIM_VOLUMES: Final = "claim-"
"""How the names of the volumes for `pvc://` addresses begin."""

Problem = tuple[str, str]
"""Path of a field, and what is wrong with it as the rest of a sentence."""

_RESERVED_KEYS: Final = ("ray.io/", "raysmith.io/", "kubernetes.io/", "app.kubernetes.io/")
_CONTAINER_SHAPE: Final[dict[str, Any]] = {"env": {}, "resources": {}, "volumeMounts": {}}
_SHAPE: Final = {
    "metadata": {"annotations": {}, "labels": {}},
    "spec": {"containers": _CONTAINER_SHAPE, "initContainers": _CONTAINER_SHAPE, "securityContext": {}, "volumes": {}},
}
"""Where maps and keyed lists (raysmith.render.merge) belong."""
_TEMPLATE: Final = frozenset({"metadata", "spec"})
_METADATA: Final = frozenset({"annotations", "labels"})
_SPEC: Final = frozenset(
    {
        "affinity",
        "containers",
        "dnsConfig",
        "imagePullSecrets",
        "initContainers",
        "nodeSelector",
        "priorityClassName",
        "runtimeClassName",
        "schedulerName",
        "securityContext",
        "terminationGracePeriodSeconds",
        "tolerations",
        "topologySpreadConstraints",
        "volumes",
    }
)
# No command, args, lifecycle or probes: they run commands. No ports: KubeRay's own go away when one is listed.
_CONTAINER: Final = frozenset({"env", "envFrom", "image", "imagePullPolicy", "name", "resources", "volumeMounts"})
_SECURITY: Final = frozenset({"fsGroup", "fsGroupChangePolicy", "runAsGroup", "runAsUser", "supplementalGroups"})
# No csi: what such a volume mounts, perhaps another tenant's share, stands in attributes that only its driver understands.
_VOLUME: Final = frozenset(
    {"configMap", "downwardAPI", "emptyDir", "ephemeral", "name", "persistentVolumeClaim", "projected", "secret"}
)


def template_problems(template: Mapping[str, Any], path: str) -> list[Problem]:
    """Everything that may not stand in `template`, a piece of a PodTemplateSpec found at `path`."""
    # The other checks rely on the shape.
    return [*_nulls(template, path), *_shape(template, _SHAPE, path)] or list(_contents(template, path))


def _nulls(value: Any, path: str) -> Iterator[Problem]:
    if value is None:
        yield path, "is null, and a template only adds; leave it out"
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _nulls(item, below(path, name))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _nulls(item, f"{path}[{i}]")


def _shape(value: Any, shape: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """A map, and in it maps and keyed lists where `shape` has them."""
    if not isinstance(value, Mapping):
        yield path, "must be a map"
        return
    for name in shape.keys() & value.keys():
        if name in MERGE_KEYS:
            yield from _list_shape(value[name], shape[name], f"{path}.{name}", MERGE_KEYS[name])
        else:
            yield from _shape(value[name], shape[name], f"{path}.{name}")


def _list_shape(items: Any, shape: Mapping[str, Any], path: str, key: str) -> Iterator[Problem]:
    if not isinstance(items, list) or not all(isinstance(item, Mapping) and isinstance(item.get(key), str) for item in items):
        yield path, f"must be a list of maps that each have a {key}"
        return
    for name, count in Counter(item[key] for item in items).items():
        if count > 1:
            yield path, f"names {name} {count} times"
    for i, item in enumerate(items):
        yield from _shape(item, shape, f"{path}[{i}]")


def _contents(template: Mapping[str, Any], path: str) -> Iterator[Problem]:
    yield from _unknown(template, _TEMPLATE, path)
    metadata, spec = template.get("metadata", {}), template.get("spec", {})
    yield from _unknown(metadata, _METADATA, f"{path}.metadata")
    for kind in sorted(_METADATA & metadata.keys()):
        yield from _keys(metadata[kind], f"{path}.metadata.{kind}")
    yield from _unknown(spec, _SPEC, f"{path}.spec")
    checks: tuple[tuple[str, Callable[[Mapping[str, Any], str], Iterator[Problem]]], ...] = (
        ("containers", _container),
        ("initContainers", _init_container),
        ("volumes", _volume),
    )
    for kind, check in checks:
        for i, item in enumerate(spec.get(kind, [])):
            yield from check(item, f"{path}.spec.{kind}[{i}]")
    yield from _security(spec.get("securityContext", {}), f"{path}.spec.securityContext")


def _unknown(found: Mapping[str, Any], allowed: frozenset[str], path: str) -> Iterator[Problem]:
    for name in found:
        if name not in allowed:
            yield below(path, name), f"may not be set in a pod template; allowed here are {', '.join(sorted(allowed))}"


def _keys(entries: Mapping[str, Any], path: str) -> Iterator[Problem]:
    for key, value in entries.items():
        if key.startswith(_RESERVED_KEYS):
            yield below(path, key), "belongs to Ray, Raysmith or Kubernetes; use a name of your own"
        if not isinstance(value, str):
            yield below(path, key), f'must be a string; write "{value}"'


def _container(container: Mapping[str, Any], path: str) -> Iterator[Problem]:
    yield from _unknown(container, _CONTAINER, path)
    if container["name"] != CONTAINER:
        if not container.get("image"):
            yield f"{path}.image", f"is missing; only the container {CONTAINER} has an image already"
        return
    try:
        resources = Resources.model_validate(container.get("resources", {}))
    except ValidationError as error:
        yield f"{path}.resources", f"is not what a container takes: {error.errors()[0]['msg']}"
        return
    if accelerators(resources):
        yield f"{path}.resources", "may not ask for accelerators; ask for them in the object's own resources"


def _init_container(container: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if container["name"] == CONTAINER:
        yield f"{path}.name", f"is {CONTAINER}, the name of the container that works; choose another"
        return
    yield from _container(container, path)


def _volume(volume: Mapping[str, Any], path: str) -> Iterator[Problem]:
    yield from _unknown(volume, _VOLUME, path)
    if volume["name"] in (OBJECT_VOLUME, SCRATCH_VOLUME) or volume["name"].startswith(CLAIM_VOLUMES):
        yield f"{path}.name", f"is {volume['name']}, a name that Raysmith uses; choose another"
    if "serviceAccountToken" in str(volume.get("projected")):
        yield f"{path}.projected", "may not hold a service account's token"


def _security(context: Mapping[str, Any], path: str) -> Iterator[Problem]:
    yield from _unknown(context, _SECURITY, path)
    if context.get("runAsUser") == 0:
        yield f"{path}.runAsUser", "is 0, and nothing runs as root; use another user"
