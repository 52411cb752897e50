"""From a pydantic model to a structural schema, as CRDs want it. Strict: what such a schema cannot say is an error.

The model is the only source, so a schema that said less than the model would let objects into the cluster that the
operator then cannot read. Two passes: pydantic makes its JSON schema, in which `_Generator` marks whatever only Python
could do; `_convert` walks that schema with the field's path and keeps, translates or refuses every keyword.
"""

from collections.abc import Iterable
from math import inf
from typing import Any, Final

from jsonschema import Draft4Validator
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema
from typing_extensions import override

from raysmith.api.schema import Model

REFUSED: Final = "x-refused"
PYTHON: Final = "Python that the API server cannot run; say it in a CEL rule"

# Keywords that mean the same in JSON Schema and in a structural schema.
KEPT: Final = (
    "type",
    "format",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
)
TRANSLATED: Final = (
    "title",
    "description",
    "default",
    "const",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "properties",
    "required",
    "items",
    "additionalProperties",
    "anyOf",
    "x-kubernetes-int-or-string",
)
# Types of pydantic's core schema whose JSON schema says all that they check. A "chain", for one, would show only its first.
TYPES: Final = (
    *("any", "bool", "datetime", "dict", "enum", "float", "int", "list", "literal", "nullable", "str", "union"),
    *("default", "definition-ref", "definitions", "model", "model-field", "model-fields"),
)
# What these types may check, because the written form says it too: numbers in JSON are finite, date-times have a zone.
LENGTHS: Final = ("min_length", "max_length")
BOUNDS: Final = ("ge", "gt", "le", "lt", "multiple_of")
SAID: Final = {
    "str": (*LENGTHS, "pattern", "regex_engine", "coerce_numbers_to_str"),
    "int": BOUNDS,
    "float": (*BOUNDS, "allow_inf_nan"),
    "datetime": ("microseconds_precision",),
}
ABOUT: Final = ("type", "ref", "metadata", "serialization", "strict")
CONVERSIONS: Final = ("str_strip_whitespace", "str_to_lower", "str_to_upper")
# The wire format knows these only by name; the API server ignores others without a word.
FORMATS: Final = ("date-time",)


class SchemaError(Exception):
    """A model says what a structural schema cannot. The text starts with the field's path."""


def structural_schema(model: type[Model], *, without: Iterable[str] = ()) -> dict[str, Any]:
    """The OpenAPI v3 schema of `model`, in the form that CustomResourceDefinitions want. Raises SchemaError.

    The fields `without` are left out: those of the root that the API server defines itself.
    """
    schema = model.model_json_schema(by_alias=True, schema_generator=_Generator)
    definitions = schema.pop("$defs", {})
    for name in without:
        schema["properties"].pop(name)
        schema["required"] = [other for other in schema.get("required", ()) if other != name]
    return _convert(schema, definitions, model.__name__, ())


class _Generator(GenerateJsonSchema):
    """pydantic's JSON schema, with the CEL rules, and with a mark on everything that would get lost."""

    # Such defaults are found by `_check_default`, with a path.
    ignored_warning_kinds = {"non-serializable-default"}  # noqa: RUF012 - as pydantic declares it

    @override
    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        cls = schema["cls"]
        json_schema = super().model_schema(schema)
        if decorated := _decorated(cls, schema):
            return {REFUSED: f"{cls.__name__}.{decorated} is {PYTHON}"}
        if cls.model_config.get("extra") != "ignore":
            json_schema[REFUSED] = f"{cls.__name__} must have extra='ignore': the API server drops unknown fields"
        if rules := getattr(cls, "rules", ()):
            json_schema["x-kubernetes-validations"] = [_rule(rule) for rule in rules]
        return json_schema

    @override
    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        """In the order of the models."""
        return value

    @override
    def model_field_schema(self, schema: core_schema.ModelField) -> JsonSchemaValue:
        if schema.get("validation_alias") != schema.get("serialization_alias"):
            return {REFUSED: "reading and writing must use one name"}
        if schema.get("serialization_exclude") or schema.get("serialization_exclude_if"):
            return {REFUSED: "a field that is not written cannot be part of the API"}
        return super().model_field_schema(schema)

    @override
    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        if schema.get("keys_schema", {}).get("type") != "str":
            return {REFUSED: "the keys of a map are text; write dict[str, ...]"}
        return super().dict_schema(schema)

    @override
    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if "default_factory" in schema:
            return {REFUSED: "default_factory gives the schema no default; use Field(default=...)"}
        return super().default_schema(schema)

    @override
    def encode_default(self, dft: Any) -> Any:
        """A model's default is `{}`: the API server then fills in the defaults below it."""
        if not isinstance(dft, BaseModel):
            return super().encode_default(dft)
        own = {name for name, field in type(dft).model_fields.items() if field.is_required()}
        return {} if not own and dft == type(dft)() else {REFUSED: True}

    @override
    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        if schema["type"].startswith("function-"):
            return {REFUSED: f"a validator is {PYTHON}"}
        if schema["type"] not in TYPES:
            return {REFUSED: f"the type {schema['type']} has no counterpart in a structural schema"}
        if "serialization" in schema:
            return {REFUSED: "a serialiser makes the written form differ from the model"}
        if lost := _lost(schema):
            return {REFUSED: f"{lost} of a {schema['type']} is {PYTHON}"}
        return super().generate_inner(schema)


def _decorated(cls: type[BaseModel], schema: core_schema.ModelSchema) -> str | None:
    """Name of the first method or setting by which `cls` checks, changes or adds to what is read or written."""
    decorators = cls.__pydantic_decorators__
    kinds = ("validators", "field_validators", "root_validators", "model_validators", "field_serializers", "model_serializers")
    names = [name for kind in kinds for name in getattr(decorators, kind)]
    names += [*decorators.computed_fields, *(["__init__"] if schema.get("custom_init") else [])]
    names += [schema["post_init"]] if "post_init" in schema else []
    return next(iter([*names, *(name for name in CONVERSIONS if cls.model_config.get(name))]), None)


def _lost(schema: Any) -> str | None:
    """The first thing that a simple type checks or changes and its JSON schema does not say."""
    said = (*ABOUT, *SAID.get(schema["type"], schema))
    set_to = ((key, value) for key, value in schema.items() if value is not None and value is not False)
    return next((key for key, value in set_to if key not in said and (key, value) != ("tz_constraint", "aware")), None)


def _rule(rule: Any) -> dict[str, str]:
    found = {"rule": rule.rule, "message": rule.message}
    # metadata has no properties in a CRD, so the API server would not accept a path into it.
    if rule.field and not rule.field.startswith("metadata"):
        found["fieldPath"] = f".{rule.field}"
    return found


def _convert(node: dict[str, Any], definitions: dict[str, Any], path: str, inside: tuple[str, ...]) -> dict[str, Any]:
    """The structural form of `node`. `inside` names the definitions around it, to find recursion."""
    node, inside = _inlined(node, definitions, path, inside)
    node = _without_null(node, path)
    if "$ref" in node:
        return _convert(node, definitions, path, inside)
    _refuse_unknown(node, path)
    converted: dict[str, Any] = {"description": _folded(node["description"])} if node.get("description") else {}
    if node.get("x-kubernetes-int-or-string") or "anyOf" in node:
        return converted | _int_or_string(node, path)
    if "type" not in node:
        raise SchemaError(f"{path}: {_untyped(node)}")
    converted |= {key: node[key] for key in KEPT if key in node} | _bounds(node, path) | _constant(node)
    if "items" in node:
        converted["items"] = _convert(node["items"], definitions, f"{path}[]", inside)
    converted |= _map(node, definitions, path, inside)
    if "properties" in node:
        converted["properties"] = {
            name: _property(name, child, node, definitions, path, inside) for name, child in node["properties"].items()
        }
    if required := node.get("required"):
        converted["required"] = required
    return converted


def _inlined(
    node: dict[str, Any], definitions: dict[str, Any], path: str, inside: tuple[str, ...]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """`node` with its reference replaced by what it refers to; what stands beside the reference wins."""
    node = dict(node)
    while reference := node.pop("$ref", None):
        name = reference.removeprefix("#/$defs/")
        if name in inside:
            raise SchemaError(f"{path}: {name} contains itself; a structural schema is finite")
        node, inside = {**definitions[name], **node}, (*inside, name)
    return node, inside


def _without_null(node: dict[str, Any], path: str) -> dict[str, Any]:
    """`T | None = None` as T that may be left out; null is never written."""
    branches = node.get("anyOf")
    if not branches or {"type": "null"} not in branches:
        return node
    rest = [branch for branch in branches if branch != {"type": "null"}]
    if node.get("default") is not None or "default" not in node:
        raise SchemaError(f"{path}: a field of type T | None must have the default None")
    beside = {key: value for key, value in node.items() if key not in ("anyOf", "default")}
    return {**(rest[0] if len(rest) == 1 else {"anyOf": rest}), **beside}


def _refuse_unknown(node: dict[str, Any], path: str) -> None:
    if REFUSED in node:
        raise SchemaError(f"{path}: {node[REFUSED]}")
    if unknown := sorted(set(node) - set(KEPT) - set(TRANSLATED)):
        raise SchemaError(f"{path}: a structural schema has no {unknown[0]}; write a CEL rule or another type")
    if node.get("format", FORMATS[0]) not in FORMATS:
        raise SchemaError(f"{path}: the API server does not check the format {node['format']}; give a pattern")
    if node.get("type") == "null":
        raise SchemaError(f"{path}: null is never written; leave the field out")


def _int_or_string(node: dict[str, Any], path: str) -> dict[str, Any]:
    """`int | str`, the one union that Kubernetes has. Bounds hold for whichever of the two it is."""
    branches = node.get("anyOf", [])
    if not node.get("x-kubernetes-int-or-string") or {branch.get("type") for branch in branches} != {"integer", "string"}:
        raise SchemaError(f"{path}: unions must be T | None, or a Quantity; model other choices as optional objects")
    bounds: dict[str, Any] = {}
    for branch in branches:
        _refuse_unknown(branch, path)
        bounds |= {key: branch[key] for key in KEPT if key in branch and key != "type"} | _bounds(branch, path)
    return {"x-kubernetes-int-or-string": True, **bounds}


def _bounds(node: dict[str, Any], path: str) -> dict[str, Any]:
    """OpenAPI 3.0 has the bound in `minimum` and a flag beside it that excludes the bound itself."""
    found: dict[str, Any] = {}
    for exclusive, plain in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive not in node:
            continue
        if plain in node:
            raise SchemaError(f"{path}: {plain} and {exclusive} together; keep one of them")
        found |= {plain: node[exclusive], exclusive: True}
    return found


def _constant(node: dict[str, Any]) -> dict[str, Any]:
    return {"enum": [node["const"]]} if "const" in node else {}


def _untyped(node: dict[str, Any]) -> str:
    if "enum" in node:
        return "the values of an enum must be of one type"
    return "a field that may be anything must be an OpenObject"


def _map(node: dict[str, Any], definitions: dict[str, Any], path: str, inside: tuple[str, ...]) -> dict[str, Any]:
    """The values of a map. An open object has none; then everything below is kept as it is."""
    values = node.get("additionalProperties")
    is_open = node.get("x-kubernetes-preserve-unknown-fields", False)
    if is_open != (values is True):
        raise SchemaError(f"{path}: an open object must be an OpenObject, and an OpenObject open")
    if values is None or is_open:
        return {}
    if "properties" in node:
        raise SchemaError(f"{path}: fields and free keys do not go together")
    return {"additionalProperties": _convert(values, definitions, f"{path}[*]", inside)}


def _property(
    name: str, child: dict[str, Any], parent: dict[str, Any], definitions: dict[str, Any], path: str, inside: tuple[str, ...]
) -> dict[str, Any]:
    """One field of an object, with its default."""
    where = f"{path}.{name}"
    converted = _convert(child, definitions, where, inside)
    if "description" not in converted:
        raise SchemaError(f"{where}: the field has no docstring")
    if name in parent.get("required", ()) or child.get("default", ...) is None:
        return converted
    return converted | {"default": _checked_default(child, converted, where)}


def _checked_default(node: dict[str, Any], converted: dict[str, Any], path: str) -> Any:
    default = node.get("default", ...)
    if default in (..., inf, -inf):
        raise SchemaError(f"{path}: the default cannot be written in JSON")
    if isinstance(default, dict) and REFUSED in default:
        raise SchemaError(f"{path}: the default of an object must be the object without arguments; put defaults on its fields")
    if isinstance(default, dict | list) and default:
        raise SchemaError(f"{path}: a default list or map must be empty")
    # pydantic does not look at defaults. Draft 4 has excluded bounds as OpenAPI has them, but patterns are RE2's, not Python's.
    schema = {key: value for key, value in converted.items() if key != "pattern"}
    if wrong := next(Draft4Validator(schema).iter_errors(default), None):
        raise SchemaError(f"{path}: the default {wrong.message}")
    return default


def _folded(text: str) -> str:
    return " ".join(text.split())


def field_paths(schema: dict[str, Any], path: str = "") -> Iterable[str]:
    """Every path of fields that `schema` has, such as `.spec.model.source`; lists are not entered."""
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from field_paths(child, f"{path}.{name}")
