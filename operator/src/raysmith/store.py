"""What the watches and our own writes last showed, in memory. Reconciling reads here, and costs the API server nothing.

An older version never replaces a newer one, so that a watch that lags behind does not undo what a write's answer said.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

Object = dict[str, Any]
"""One Kubernetes object as JSON data."""

MANAGED: Final = "app.kubernetes.io/managed-by=raysmith"
"""Selects everything that raysmith.render makes."""
OWN_KINDS: Final = ("LLMFineTune", "LLMService")
CHILDREN: Final = (
    "ConfigMap",
    "Service",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "Job",
    "RayJob",
    "RayService",
    "RayCluster",
    "Pod",
)
"""The kinds of what is made for them, by us and by others."""
RUNNING_KINDS: Final = ("Job", "RayJob", "RayCluster", "Pod")
"""What is never changed after it was made. What it is made of takes most of the memory, and is not read."""
_COMPONENTS: Final = {kind.lower(): kind for kind in OWN_KINDS}


class Key(NamedTuple):
    """What names an object in a cluster."""

    kind: str
    namespace: str
    name: str


class Store:
    """Objects by name, and the children of each of our own objects by what their labels say."""

    def __init__(self) -> None:
        # As JSON, which takes a quarter of the memory of dicts.
        self._objects: dict[Key, bytes] = {}
        self._children: defaultdict[Key, set[Key]] = defaultdict(set)
        self._dependents: defaultdict[Key, set[Key]] = defaultdict(set)

    def put(self, obj: Object) -> bool:
        """Keep `obj` unless this version of it, or a newer one, is known. Returns whether it was news."""
        key = key_of(obj)
        known = self.get(key)
        if known is not None and same_uid(known, obj) and version(known) >= version(obj):
            return False
        self._forget(key)
        self._objects[key] = json.dumps(slim(obj), ensure_ascii=False, separators=(",", ":")).encode()
        if parent := parent_of(obj):
            self._children[parent].add(key)
        for name in named_by(obj):
            self._dependents[name].add(key)
        return True

    def remove(self, key: Key, uid: str | None = None) -> None:
        """Forget `key`; with `uid`, only that very object, not one that has taken its name since."""
        known = self.get(key)
        if known is None or (uid is not None and known["metadata"].get("uid") != uid):
            return
        self._forget(key)

    def _forget(self, key: Key) -> None:
        """Take the object out of everything that leads to it."""
        known = self.get(key)
        if known is None:
            return
        del self._objects[key]
        if parent := parent_of(known):
            _discard(self._children, parent, key)
        for name in named_by(known):
            _discard(self._dependents, name, key)

    def get(self, key: Key) -> Object | None:
        """The object as it was last seen; a copy."""
        known = self._objects.get(key)
        return None if known is None else json.loads(known)

    def children(self, parent: Key, kind: str) -> list[Object]:
        """The objects of `kind` whose labels say that they belong to `parent`, but for those of a former one of its name."""
        keys = self._children.get(parent, ())
        found = [json.loads(self._objects[key]) for key in sorted(keys) if key.kind == kind]
        if not found:
            return found
        metadata = (self.get(parent) or {"metadata": {}})["metadata"]
        uid, born = metadata.get("uid"), metadata.get("creationTimestamp", "")
        # Pods do not name it as their owner, but cannot be older.
        return [
            child
            for child in found
            if owners(child, parent.kind) <= {uid} and child["metadata"].get("creationTimestamp", born) >= born
        ]

    def dependents(self, finetune: Key) -> list[Key]:
        """The objects that name the LLMFineTune, and want to hear of its end."""
        return sorted(self._dependents.get(finetune, ()))

    def all(self, kind: str, namespace: str | None = None) -> list[Object]:
        """All objects of `kind`."""
        keys = [key for key in self._objects if key.kind == kind and namespace in (None, key.namespace)]
        return [json.loads(self._objects[key]) for key in keys]


def _discard(index: dict[Key, set[Key]], at: Key, key: Key) -> None:
    index[at].discard(key)
    if not index[at]:
        del index[at]


def named_by(obj: Mapping[str, Any]) -> set[Key]:
    """The LLMFineTunes that an object of ours names. References never leave the namespace."""
    if obj["kind"] not in OWN_KINDS:
        return set()
    spec = obj.get("spec") or {}
    parts = [part or {} for part in (spec.get("model"), *(spec.get("adapters") or []))]
    names = {(part.get("fineTune") or {}).get("name") for part in parts}
    return {Key("LLMFineTune", obj["metadata"].get("namespace", ""), name) for name in names if name}


def key_of(obj: Mapping[str, Any]) -> Key:
    """The key of an object of the API server's."""
    return Key(obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


def parent_of(obj: Mapping[str, Any]) -> Key | None:
    """Which of our objects a child belongs to, by the labels that raysmith.render gives; None for anything else."""
    labels = obj["metadata"].get("labels") or {}
    kind = _COMPONENTS.get(labels.get("app.kubernetes.io/component", ""))
    if kind is None or obj["kind"] in OWN_KINDS or labels.get("app.kubernetes.io/managed-by") != "raysmith":
        return None
    return Key(kind, obj["metadata"].get("namespace", ""), labels.get("app.kubernetes.io/instance", ""))


def owners(obj: Mapping[str, Any], *kinds: str) -> set[str]:
    """The UIDs of the owners of these kinds. What is made for our children, such as a pod, has none of them."""
    return {owner["uid"] for owner in obj["metadata"].get("ownerReferences") or () if owner["kind"] in kinds}


def version(obj: Mapping[str, Any]) -> int:
    """The resource version as a number; Kubernetes promises since 1.35 that it can be compared."""
    return int(obj["metadata"].get("resourceVersion") or 0)


def same_uid(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether both are versions of one object."""
    return bool(one["metadata"].get("uid") == other["metadata"].get("uid"))


def slim(obj: Object) -> Object:
    """`obj` without what nobody reads, so that ten thousand of them fit into memory."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    if obj["kind"] not in RUNNING_KINDS:  # a ConfigMap's data follows from its name, and cannot change
        return {**{key: value for key, value in obj.items() if key != "data"}, "metadata": metadata}
    spec = obj.get("spec") or {}
    kept = {key: spec[key] for key in ("suspend", "nodeName") if key in spec}
    if obj["kind"] == "Pod":
        kept["volumes"] = [volume for volume in spec.get("volumes") or [] if "persistentVolumeClaim" in volume]
        kept["containers"] = [{key: c[key] for key in ("name", "resources") if key in c} for c in spec["containers"]]
    head = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata}
    return {**head, "spec": kept, "status": obj.get("status") or {}}


def holds(obj: Object, manifest: Object) -> bool:
    """Whether everything that `manifest` asks for is so in `obj`, as far as it is kept; others may have added to it."""
    return _within({key: value for key, value in manifest.items() if key != "data"}, obj)


def _within(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, dict) and isinstance(found, dict):
        if (selector := wanted.get("selector")) != found.get("selector") and selector is not None:
            return False  # one more label, and a Service selects nothing
        return all(key in found and _within(value, found[key]) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(_within, wanted, found))
    return bool(wanted == found)
