"""What is wrong with a value, as a sentence to a person: the field, what it must be, what it is, what to do."""

import json
import math
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, Final

from raysmith.api.patterns import SENTENCES as PATTERN_SENTENCES
from raysmith.fieldpath import below, printable

TYPES: Final = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
}
LONGEST_QUOTE: Final = 60

Schema = dict[str, Any]
Sentence = Callable[[str, Any, Any, Schema], str]


def _missing(field: str, _value: Any, _flag: bool, schema: Schema) -> str:
    description = schema.get("description", "")
    return f"{field} is missing. Add it: {description[:1].lower()}{description[1:]}" if description else f"{field} is missing."


def _unknown(field: str, name: str, fields: Schema, _schema: Schema) -> str:
    if close := closest(name, fields):
        return f"{field} is an unknown field; did you mean {close}?"
    where = field.removesuffix(below("", name)).removesuffix(".") or "the object"
    if not fields:
        return f"{field} is an unknown field; {where} has no fields."
    return f"{field} is an unknown field; the fields of {where} are {listed(_written(fields), 'and')}."


def _written(fields: Schema) -> list[str]:
    """The fields that people write; the others are the API server's."""
    return [name for name, child in fields.items() if child.get("description")]


def _duplicate(field: str, value: Any, first: int, schema: Schema) -> str:
    key = schema["x-kubernetes-list-map-keys"][0]
    return f"{field} is {quoted(value)}, as in item {first} of the list; each item needs a {key} of its own."


def _type(field: str, value: Any, wanted: str, schema: Schema) -> str:
    names = [TYPES[name] for name in ([wanted] if isinstance(wanted, str) else wanted)]
    return f"{field} must be {' or '.join(names)}, not {described(value)}{_remedy(value, wanted, schema)}."


def _remedy(value: Any, wanted: str, schema: Schema) -> str:
    is_scalar = not isinstance(value, dict | list | None)
    if "string" in wanted and is_scalar:
        return "; put it in quotes"
    if wanted in ("integer", "number", "boolean") and isinstance(value, str) and (meant := _read(value)) is not None:
        return _remedy_of_text(meant, wanted)
    if wanted == "array":
        return "; start each of its items with '- '"
    if wanted == "object" and schema.get("properties"):
        return f"; its fields are {listed(_written(schema['properties']), 'and')}"
    return ""


def _remedy_of_text(meant: bool | float, wanted: str) -> str:
    """What to do with a text that reads as `meant`."""
    if isinstance(meant, bool) or wanted == "boolean":
        return "; take the quotes away" if isinstance(meant, bool) and wanted == "boolean" else ""
    if not math.isfinite(meant):
        return "; a number so large cannot be held"
    return "; take the quotes away" if wanted == "number" or meant == int(meant) else ""


def _read(text: str) -> bool | float | None:
    """The number or switch that `text` reads as, if any."""
    try:
        value = json.loads(text, parse_constant=str)
    except ValueError:
        return None
    return value if isinstance(value, bool | int | float) else None


def _enum(field: str, value: Any, words: list[str], _schema: Schema) -> str:
    close = closest(value, words) if isinstance(value, str) else None
    return f"{field} must be {listed(words, 'or')}, not {quoted(value)}{f'; did you mean {close}?' if close else '.'}"


def _pattern(field: str, value: str, pattern: str, _schema: Schema) -> str:
    return f"{field} {PATTERN_SENTENCES[pattern]}, not {quoted(value)}."


def _minimum(field: str, value: float, bound: float, schema: Schema) -> str:
    more = f"more than {bound}" if schema.get("exclusiveMinimum") else f"{bound} or more"
    return f"{field} must be {more}, not {value}."


def _maximum(field: str, value: float, bound: float, schema: Schema) -> str:
    less = f"less than {bound}" if schema.get("exclusiveMaximum") else f"{bound} or less"
    return f"{field} must be {less}, not {value}."


def _at_least(unit: str) -> Sentence:
    def sentence(field: str, value: Any, bound: int, _schema: Schema) -> str:
        if not value:
            return f"{field} must not be empty."
        return f"{field} must have at least {bound} {unit}, and has {len(value)}."

    return sentence


def _at_most(unit: str) -> Sentence:
    def sentence(field: str, value: Any, bound: int, _schema: Schema) -> str:
        return f"{field} may have at most {bound} {unit}, and has {len(value)}."

    return sentence


def _most_bytes(field: str, value: dict[str, Any], most: int, _schema: Schema) -> str:
    return f"{field} may have at most {most} bytes in all, and has {size_in_bytes(value)}."


def size_in_bytes(entries: dict[str, Any]) -> int:
    """Bytes of the names and texts of a map, as the API server counts them."""
    return sum(len(f"{name}{text}".encode()) for name, text in entries.items())


# For each keyword of a schema: (field, value, what the keyword says, the field's schema) -> sentence.
SENTENCES: Final[dict[str, Sentence]] = {
    "required": _missing,
    "unknown": _unknown,
    "x-kubernetes-list-map-keys": _duplicate,
    "type": _type,
    "enum": _enum,
    "pattern": _pattern,
    "minimum": _minimum,
    "maximum": _maximum,
    "minLength": _at_least("characters"),
    "maxLength": _at_most("characters"),
    "minItems": _at_least("items"),
    "maxItems": _at_most("items"),
    "minProperties": _at_least("entries"),
    "maxProperties": _at_most("entries"),
    "x-most-bytes": _most_bytes,
}


def closest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that `name` was probably meant to be."""
    by_lower = {other.lower(): other for other in names}
    close = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.7)
    return by_lower[close[0]] if close else None


def listed(names: Iterable[str], word: str) -> str:
    """`a, b and c`."""
    *most, last = [*names] or [""]
    return f"{', '.join(most)} {word} {last}" if most else last


def quoted(value: Any) -> str:
    """The value as JSON, cut if it is long."""
    text = printable(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= LONGEST_QUOTE else f"{text[: LONGEST_QUOTE - 4]}...{text[-1]}"


def described(value: Any) -> str:
    """The value with its type."""
    match value:
        case None:
            return "empty (null)"
        case bool():
            return f"the boolean {quoted(value)}"
        case str():
            return f"the string {quoted(value)}"
        case int() | float():
            return f"the number {quoted(value)}"
        case list():
            return "a list"
        case _:
            return "an object"
