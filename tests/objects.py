"""Objects to start from: the smallest that are accepted."""

from copy import deepcopy
from typing import Any

NAME_OF_47 = "a" * 47


def finetune(*, name: str = "run", **spec: Any) -> dict[str, Any]:
    """An LLMFineTune, with these fields of its spec."""
    smallest = {
        "model": {"source": "builtin://tiny"},
        "data": {"train": [{"name": "rows", "source": "file://rows.jsonl"}]},
        "method": {"full": {}},
    }
    return _object("LLMFineTune", name, smallest | spec)


def service(*, name: str = "chat", **spec: Any) -> dict[str, Any]:
    """An LLMService, with these fields of its spec."""
    return _object("LLMService", name, {"model": {"source": "hf://owner/name"}, "access": {"anonymous": {}}} | spec)


def without(document: dict[str, Any], field: str) -> dict[str, Any]:
    """A copy of `document` without `field`, such as `spec.data`."""
    changed = deepcopy(document)
    *parents, last = field.split(".")
    inner = changed
    for name in parents:
        inner = inner[name]
    del inner[last]
    return changed


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "raysmith.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": deepcopy(spec)}
