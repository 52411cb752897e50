"""What all rendered manifests share: who they belong to, and the object itself, which the pods read from a ConfigMap."""

import json
from typing import Any, Final

from raysmith import api
from raysmith.api import LLMFineTune, LLMService
from raysmith.render import names

Manifest = dict[str, Any]
"""One Kubernetes object as JSON data."""

OBJECT_FOLDER: Final = "/etc/raysmith"
OBJECT_FILE: Final = "object.json"
OBJECT_PATH: Final = f"{OBJECT_FOLDER}/{OBJECT_FILE}"
"""Where every pod finds the object that it works for."""

# May change while pods run, and no pod reads them: they must not change what is mounted.
_OPERATORS_OWN: Final = frozenset({"suspend", "ttlSecondsAfterFinished", "upgrade"})
_QUEUE_PREFIX: Final = "kueue.x-k8s.io/"


def metadata(obj: LLMFineTune | LLMService, name: str, labels: dict[str, str]) -> dict[str, Any]:
    """Metadata of a manifest that belongs to `obj`: deleted with it, and found by its labels."""
    made: dict[str, Any] = {"name": name, "namespace": obj.metadata.namespace, "labels": common_labels(obj) | labels}
    if obj.metadata.uid:
        owner = {"apiVersion": api.API_VERSION, "kind": obj.kind, "name": obj.metadata.name, "uid": obj.metadata.uid}
        made["ownerReferences"] = [owner | {"controller": True, "blockOwnerDeletion": True}]
    return made


def common_labels(obj: LLMFineTune | LLMService) -> dict[str, str]:
    """The labels that Kubernetes recommends, for everything that belongs to `obj`."""
    return {
        "app.kubernetes.io/name": "raysmith",
        "app.kubernetes.io/component": obj.kind.lower(),
        "app.kubernetes.io/instance": obj.metadata.name,
        "app.kubernetes.io/managed-by": "raysmith",
    }


def queue_labels(obj: LLMFineTune | LLMService) -> dict[str, str]:
    """Kueue's labels on the object, to be handed on to what Kueue admits."""
    return {key: value for key, value in obj.metadata.labels.items() if key.startswith(_QUEUE_PREFIX)}


def config_map(obj: LLMFineTune | LLMService) -> Manifest:
    """The immutable ConfigMap with the object. Its name holds its content's hash, so pods never see it change."""
    content = object_text(obj)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(obj, names.config_map(obj.metadata.name, names.digest(content)), {}),
        "immutable": True,
        "data": {OBJECT_FILE: content},
    }


def object_text(obj: LLMFineTune | LLMService) -> str:
    """The object as the workloads read it: defaults filled in, references resolved, nothing that changes while they run."""
    wire = api.to_wire(obj)
    status = _resolution(wire.get("status", {}))
    mounted = {
        "apiVersion": wire["apiVersion"],
        "kind": wire["kind"],
        "metadata": {key: wire["metadata"][key] for key in ("name", "namespace", "uid") if key in wire["metadata"]},
        "spec": {key: value for key, value in wire["spec"].items() if key not in _OPERATORS_OWN},
    }
    return json.dumps(mounted | ({"status": status} if status else {}), indent=2, ensure_ascii=False) + "\n"


def _resolution(status: dict[str, Any]) -> dict[str, Any]:
    """The part of a status that decides what runs."""
    resolved = {key: status[key] for key in ("model", "attempt") if key in status}
    adapters = [{"name": a["name"], "artifact": a["artifact"]} for a in status.get("adapters", []) if "artifact" in a]
    return resolved | ({"adapters": adapters} if adapters else {})
