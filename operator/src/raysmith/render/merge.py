"""`spec.podTemplate` over a rendered pod, as a strategic merge patch does it."""

from collections.abc import Mapping
from typing import Any, Final

# As core/v1's patchMergeKey; other lists are replaced.
MERGE_KEYS: Final = {
    "containers": "name",
    "env": "name",
    "initContainers": "name",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""Lists whose items are told apart by a key."""


# Whole items: half of one variable and half of another (`value` beside `valueFrom`) is none.
_REPLACED: Final = frozenset({"env", "volumeMounts"})


def merge(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `patch` over it: maps are merged, lists with a merge key by that key, everything else is replaced."""
    merged = dict(base)
    for key, value in patch.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        elif key in MERGE_KEYS and isinstance(merged.get(key), list):
            merged[key] = _merge_list(merged[key], value, key)
        else:
            merged[key] = value
    return merged


def _merge_list(base: list[Any], patch: list[Any], field: str) -> list[Any]:
    key = MERGE_KEYS[field]
    patches = {item[key]: item for item in patch}
    combine = (lambda old, new: new or old) if field in _REPLACED else merge
    kept = [combine(item, patches.pop(item[key], {})) for item in base]
    return kept + list(patches.values())
