"""Defaults, as the API server fills them in when it decodes an object."""

from typing import Any


def with_defaults(value: Any, schema: dict[str, Any]) -> Any:
    """A copy of `value` with the defaults of `schema`. A null is as good as a field that is left out."""
    if isinstance(value, list) and "items" in schema:
        return [with_defaults(item, schema["items"]) for item in value]
    if not isinstance(value, dict):
        return value
    if "additionalProperties" in schema:
        values = schema["additionalProperties"]
        return {key: with_defaults(child, values) for key, child in value.items() if child is not None}
    fields = schema.get("properties", {})
    given = {key: child for key, child in value.items() if child is not None or key not in fields}
    missing = {key: field["default"] for key, field in fields.items() if "default" in field and key not in given}
    return {key: with_defaults(child, fields.get(key, {})) for key, child in {**given, **missing}.items()}
