"""The vocabulary in which the API models say what a CRD needs beyond JSON Schema.

Everything here is data that `raysmith.crdgen` reads; nothing here validates. What a schema or a CEL rule can say is said
once, beside the field that it governs, and is checked by the API server and by `raysmith validate` alike.
"""

from typing import Annotated, Any, ClassVar, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from raysmith.api import patterns

GROUP: Final = "raysmith.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = "raysmith.io/v1alpha1"


class Rule(NamedTuple):
    """A CEL rule (Common Expression Language, as in Kubernetes' `x-kubernetes-validations`) and its sentence to a person."""

    rule: str
    message: str
    field: str = ""
    """The field below the rule's own that the message is about."""


class Column(NamedTuple):
    """A column that `kubectl get` prints."""

    name: str
    type: str
    json_path: str
    description: str
    priority: int = 0


class Names(NamedTuple):
    """How the kind is called in URLs and on command lines."""

    kind: str
    plural: str
    singular: str
    short: tuple[str, ...]


class Scale(NamedTuple):
    """Where `kubectl scale` reads and writes."""

    spec_replicas: str
    status_replicas: str


class Model(BaseModel):
    """Base of all API models: camelCase on the wire, a docstring under each field, unknown fields left to the schema.

    Unknown fields are ignored here because the API server prunes them; `raysmith validate` and `kubectl apply` (strict
    field validation) refuse them, so that a typing error is never silent.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    rules: ClassVar[tuple[Rule, ...]] = ()


class Kind(Model):
    """Base of the two kinds: what the CRD says about the whole object."""

    names: ClassVar[Names]
    columns: ClassVar[tuple[Column, ...]] = ()
    scale: ClassVar[Scale | None] = None


def exactly_one_of(*fields: str) -> Rule:
    """One of `fields` is set, no more and no less."""
    count = " + ".join(f"(has(self.{field}) ? 1 : 0)" for field in fields)
    return Rule(f"{count} == 1", f"Set exactly one of {_listed(fields)}.")


def at_most_one_of(*fields: str) -> Rule:
    """None or one of `fields` is set."""
    count = " + ".join(f"(has(self.{field}) ? 1 : 0)" for field in fields)
    return Rule(f"{count} <= 1", f"Set at most one of {_listed(fields)}.")


def immutable(field: str, *, required: bool = False) -> Rule:
    """`field` keeps the value it was created with. `has()` on both sides, so that adding and removing are refused too."""
    same = f"self.{field} == oldSelf.{field}"
    rule = same if required else f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || {same})"
    return Rule(rule, f"{field} cannot change after creation; make a new object with another name instead.", field)


def no_parent(field: str) -> Rule:
    """The address in `field` cannot climb out of its volume."""
    return Rule(
        f"!has(self.{field}) || !self.{field}.matches('(^|/)[.][.](/|$)')",
        f"{field} must not contain '..'; name the path from the root of its volume or bucket.",
        field,
    )


def map_list(key: str) -> dict[str, Any]:
    """A list whose items are told apart by `key`, for `Field(json_schema_extra=...)`."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


# Anything at all, kept as it is written. Only `podTemplate` may be this open.
OpenObject = Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]

# A number or a string, as core/v1 writes amounts of resources: 2, "500m", "64Gi".
Quantity = Annotated[
    Annotated[int, Field(ge=0)] | Annotated[str, Field(max_length=64, pattern=patterns.QUANTITY)],
    Field(json_schema_extra={"x-kubernetes-int-or-string": True}),
]


def _listed(fields: tuple[str, ...]) -> str:
    return ", ".join(fields[:-1]) + " and " + fields[-1]
