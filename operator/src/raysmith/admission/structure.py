"""The schema of a kind, held against an object: each problem with its path and a sentence to a person."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final, NamedTuple

import re2
from jsonschema import Draft4Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from raysmith.admission.sentences import SENTENCES, size_in_bytes
from raysmith.api import KINDS
from raysmith.api.patterns import LABEL_NAME, LABEL_VALUE, NAMESPACE
from raysmith.crdgen.crd import root_schema
from raysmith.fieldpath import joined

# metav1.ObjectMeta, as far as people write it. The CRDs leave it to the API server, which checks the same.
_LABELS = {
    "type": "object",
    "description": "For people and selectors.",
    "x-key-pattern": LABEL_NAME,
    "additionalProperties": {"type": "string", "pattern": LABEL_VALUE},
}
_ANNOTATIONS = {
    "type": "object",
    "description": "For programs.",
    "x-key-pattern": LABEL_NAME,
    "x-most-bytes": 256 * 1024,
    "additionalProperties": {"type": "string"},
}
_METADATA: dict[str, Any] = {
    "type": "object",
    "description": "Name, namespace and labels.",
    "properties": {
        "name": {"type": "string", "description": "Name of the object, unique in its namespace."},
        "namespace": {"type": "string", "description": "Namespace of the object.", "pattern": NAMESPACE},
        "labels": _LABELS,
        "annotations": _ANNOTATIONS,
        "finalizers": {"type": "array", "items": {"type": "string"}},
        "generateName": {"type": "string"},
        "uid": {"type": "string"},
        "resourceVersion": {"type": "string"},
        "generation": {"type": "integer"},
        # Written by the API server alone; `kubectl get -o yaml` prints them.
        "creationTimestamp": {},
        "deletionTimestamp": {},
        "deletionGracePeriodSeconds": {},
        "managedFields": {},
        "ownerReferences": {},
        "selfLink": {},
    },
    "required": ["name"],
}


# Problems after which the CEL rules make no sense; the API server does not evaluate them then, either.
_BLOCKING: Final = ("type", "enum", "required", "maxLength", "maxItems", "maxProperties", "x-kubernetes-list-map-keys")


class Finding(NamedTuple):
    """One structural problem."""

    field: str
    message: str
    blocks_rules: bool


@cache
def schema_of(kind: str) -> dict[str, Any]:
    """The schema of `kind` as its CRD has it, with metadata's own."""
    schema = root_schema(KINDS[kind])
    return schema | {
        "properties": schema["properties"] | {"metadata": _METADATA},
        "required": ["metadata", *schema["required"]],
    }


def structural_findings(value: dict[str, Any], schema: dict[str, Any]) -> list[Finding]:
    """Everything in `value` that `schema` forbids, one problem for each field.

    Who wrote a number for an enum's word need not hear that it is the wrong word, too.
    """
    found: dict[str, Finding] = {}
    for error in _Validator(schema).iter_errors(value):
        field, keyword = joined(error.absolute_path), str(error.validator)
        sentence = SENTENCES[keyword](field, error.instance, error.validator_value, error.schema)
        found.setdefault(field, Finding(field, sentence, keyword in _BLOCKING))
    return list(found.values())


def _properties(validator: Any, fields: dict[str, Any], value: Any, schema: Any) -> Iterator[ValidationError]:
    """As in JSON Schema, and unknown fields are errors, as under the strict field validation of `kubectl apply`."""
    for name in value if isinstance(value, dict) else ():
        if name in fields:
            yield from validator.descend(value[name], fields[name], path=name, schema_path=name)
        else:
            yield ValidationError("", validator="unknown", path=[name], instance=name, validator_value=fields, schema=schema)


def _required(_validator: Any, names: list[str], value: Any, schema: Any) -> Iterator[ValidationError]:
    for name in names if isinstance(value, dict) else ():
        if name not in value:
            field = schema["properties"][name]
            yield ValidationError("", validator="required", path=[name], instance=None, validator_value=True, schema=field)


def _pattern(_validator: Any, pattern: str, value: Any, _schema: Any) -> Iterator[ValidationError]:
    """With RE2, as the API server: Python's `$` would let a line break pass at the end."""
    if isinstance(value, str) and not _compiled(pattern).search(value):
        yield ValidationError("")


def _key_pattern(_validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[ValidationError]:
    for name in value if isinstance(value, dict) else ():
        if not _compiled(pattern).search(name):
            yield ValidationError("", validator="pattern", path=[name], instance=name, validator_value=pattern, schema=schema)


def _most_bytes(_validator: Any, most: int, value: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, dict) and size_in_bytes(value) > most:
        yield ValidationError("")


def _int_or_string(_validator: Any, _flag: bool, value: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, bool) or not isinstance(value, int | str):
        types = ["integer", "string"]
        yield ValidationError("", validator="type", instance=value, validator_value=types, schema=schema)


def _list_map(_validator: Any, keys: list[str], value: Any, schema: Any) -> Iterator[ValidationError]:
    """Items of a list that is told apart by `keys` must differ in them."""
    first: dict[str, int] = {}
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if not isinstance(item, dict) or not all(name in item for name in keys):
            continue
        key = str([item[name] for name in keys])
        if first.setdefault(key, index) != index:
            where: list[str | int] = [index, keys[0]]
            yield ValidationError("", path=where, instance=item[keys[0]], validator_value=first[key], schema=schema)


@cache
def _compiled(pattern: str) -> Any:
    return re2.compile(pattern)


_Validator = extend(  # type: ignore[no-untyped-call]
    Draft4Validator,
    {
        "properties": _properties,
        "required": _required,
        "pattern": _pattern,
        "x-key-pattern": _key_pattern,
        "x-most-bytes": _most_bytes,
        "x-kubernetes-int-or-string": _int_or_string,
        "x-kubernetes-list-map-keys": _list_map,
    },
)
