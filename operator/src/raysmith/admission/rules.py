"""The CEL rules of the CRDs, evaluated as the API server evaluates them.

CEL is strict about types where JSON is not, so values are converted by their schema: a `number` is a double even if it
is written `1`, and the items of a `map` list have no order.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from raysmith.fieldpath import below

_TRANSITION = re.compile(r"\boldSelf\b")


def broken_rules(value: Any, old: Any, schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Path and message of each rule of `schema`, and of everything below it, that `value` breaks.

    `value` is structurally valid and has its defaults. Rules about a change are left out where `old` is None.
    """
    for rule in schema.get("x-kubernetes-validations", ()):
        if (old is not None or not _TRANSITION.search(rule["rule"])) and not _holds(rule["rule"], value, old, schema):
            yield path + rule.get("fieldPath", ""), rule["message"]
    for part, child, old_child, child_schema in _children(value, old, schema):
        yield from broken_rules(child, old_child, child_schema, below(path, part))


def _children(value: Any, old: Any, schema: dict[str, Any]) -> Iterator[tuple[str | int, Any, Any, dict[str, Any]]]:
    """The parts of `value` that have a schema, each with the part of `old` that it replaces."""
    if isinstance(value, list):
        keys = schema.get("x-kubernetes-list-map-keys")
        before = {_key(item, keys): item for item in old or ()} if keys else {}
        for index, item in enumerate(value):
            yield index, item, before.get(_key(item, keys)) if keys else None, schema["items"]
    if isinstance(value, dict):
        for name, child in value.items():
            if child_schema := _child_schema(schema, name):
                yield name, child, (old or {}).get(name), child_schema


def _holds(rule: str, value: Any, old: Any, schema: dict[str, Any]) -> bool:
    activation = {"self": _to_cel(value, schema)}
    if old is not None:
        activation["oldSelf"] = _to_cel(old, schema)
    return bool(_program(rule).evaluate(activation))


@cache
def _program(rule: str) -> Any:
    import celpy

    environment = celpy.Environment()
    return environment.program(environment.compile(rule))


def _to_cel(value: Any, schema: dict[str, Any]) -> Any:
    import celpy
    from celpy import celtypes

    if schema.get("x-kubernetes-int-or-string"):
        # 2 and "2" differ, and comparing them is no error: as JSON text they are of one type.
        return celtypes.StringType(json.dumps(value))
    if schema.get("type") == "number":
        return celtypes.DoubleType(value)
    if isinstance(value, list):
        keys = schema.get("x-kubernetes-list-map-keys")
        items = sorted(value, key=lambda item: _key(item, keys)) if keys else value
        return celtypes.ListType([_to_cel(item, schema["items"]) for item in items])
    if isinstance(value, dict):
        # What has no schema, below an open object, is not there for rules.
        known = ((name, child, _child_schema(schema, name)) for name, child in value.items())
        return celtypes.MapType({celtypes.StringType(name): _to_cel(child, inner) for name, child, inner in known if inner})
    return celpy.json_to_cel(value)


def _child_schema(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """The schema of the field `name`, empty if it has none."""
    found: dict[str, Any] = schema.get("properties", {}).get(name) or schema.get("additionalProperties", {})
    return found


def _key(item: dict[str, Any], keys: list[str]) -> str:
    return json.dumps([item.get(key) for key in keys])
