"""YAML as kubectl reads it: the scalar rules of go-yaml v2, and the way to JSON of sigs.k8s.io/yaml.

PyYAML scans and parses; what a scalar means is decided here, because PyYAML follows YAML 1.1 where go-yaml mixes it with
1.2: `2e-4` is a number, `0o14` and `012` are twelve, `1_000` is a thousand, `12:30` and `2026-01-01` are text, `y` is
true. Where kubectl is silent and the author was probably wrong (a key that is there twice, a local tag), this is strict.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import yaml
from typing_extensions import override

from raysmith.fieldpath import below

PLAIN: Final = "plain"
STRING: Final = "tag:yaml.org,2002:str"
MOST_VALUES: Final = 1_000_000
_OPEN: Final = ("while scanning a quoted", "while parsing a flow", "while scanning a simple key")

_BOOLEANS: Final = {word: True for base in ("y", "yes", "true", "on") for word in (base, base.title(), base.upper())} | {
    word: False for base in ("n", "no", "false", "off") for word in (base, base.title(), base.upper())
}
_NULLS: Final = frozenset(["", "~", "null", "Null", "NULL"])
_NOT_IN_JSON: Final = frozenset(
    sign + word for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF") if sign or word
) | frozenset([".nan", ".NaN", ".NAN"])
_INTEGER: Final = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
# go-yaml takes underscores out of numbers, but not where the point comes first; there, Go's own rule holds, which is Python's.
_POINT_FIRST: Final = re.compile(r"\.[0-9](_?[0-9])*([eE][-+]?[0-9](_?[0-9])*)?")


class KubeYamlError(Exception):
    """The text is no YAML that can become JSON. The message is a clause without its end; `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


@dataclass
class Tree:
    """One YAML document as JSON data."""

    data: Any = None
    lines: dict[str, int] = field(default_factory=dict)
    """Line, from 1, of each field by its path."""


def parse(text: str) -> Tree:
    """The one document in `text`; its data is None where there is none. Raises KubeYamlError."""
    try:
        node = _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        # What is never closed or ended is to be looked for where it begins; all else where it is found.
        is_open = (error.context or "").startswith(_OPEN)
        mark = error.context_mark if is_open else error.problem_mark or error.context_mark
        raise KubeYamlError(mark.line + 1 if mark else 1, _explained(error)) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise KubeYamlError(line, f"it holds the control character U+{error.character:04X}") from error
    except RecursionError as error:
        raise KubeYamlError(1, "its values are nested too deeply") from error
    tree = Tree()
    if node is not None:
        tree.data = _Builder(tree.lines).value(node, "", node.start_mark.line + 1)
    return tree


def scalar(text: str) -> str | int | float | bool | None:
    """What an unquoted scalar means. Raises ValueError for what JSON does not have."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text in _NOT_IN_JSON:
        raise ValueError(f"{text} is not a number that an object can hold")
    if text[0] in "+-0123456789":
        number = _number(text.replace("_", ""))
    else:
        number = float(text) if _POINT_FIRST.fullmatch(text) else None
    return text if number is None or number in (float("inf"), float("-inf")) else as_json(number)


def as_json(number: float) -> int | float:
    """The number as it comes out of JSON on the other side: whole numbers of 64 bits are integers, all others doubles."""
    if isinstance(number, float) and number.is_integer() and abs(number) < 1e21:
        number = int(Decimal(repr(number)))
    return number if isinstance(number, int) and -(2**63) <= number < 2**63 else float(number)


def _number(text: str) -> int | float | None:
    if match := _INTEGER.fullmatch(text):
        sign, hexadecimal, binary, octal, decimal = match.groups()
        digits, base = next((d, b) for d, b in ((hexadecimal, 16), (binary, 2), (octal, 8), (decimal, 10)) if d is not None)
        digits = digits.lstrip("0")[:65]  # as many as 64 bits have, and one: Python reads no number of thousands
        value = int(f"{sign}{digits or 0}", base)
        if -(2**63) <= value < (2**63 if sign else 2**64):
            return value
    return float(text) if _FLOAT.fullmatch(text) else None


class _Loader(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser, yaml.composer.Composer, yaml.resolver.BaseResolver):
    """Text to nodes. A scalar without quotes and tag gets the tag PLAIN."""

    def __init__(self, stream: str) -> None:
        yaml.reader.Reader.__init__(self, stream)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)
        yaml.composer.Composer.__init__(self)
        yaml.resolver.BaseResolver.__init__(self)

    @override
    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return PLAIN if implicit[0] else STRING
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]

    @override
    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if (tag := getattr(event, "tag", None)) and tag != STRING:
            raise yaml.MarkedYAMLError(problem=f"the tag {tag} is not part of an object", problem_mark=event.start_mark)
        return super().compose_node(parent, index)


@dataclass
class _Builder:
    """Nodes to JSON data, noting the line of every field."""

    lines: dict[str, int]
    count: int = 0
    around: list[yaml.Node] = field(default_factory=list)

    def value(self, node: yaml.Node, path: str, line: int) -> Any:
        """The data of `node`, which stands at `path`."""
        self.lines[path] = line
        self.count += 1
        if self.count > MOST_VALUES:
            raise KubeYamlError(line, f"its aliases expand to more than {MOST_VALUES} values")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if node in self.around:
            raise KubeYamlError(line, "an anchor contains itself")
        self.around.append(node)
        data = self._list(node, path) if isinstance(node, yaml.SequenceNode) else self._object(node, path)
        self.around.pop()
        return data

    def _list(self, node: yaml.SequenceNode, path: str) -> list[Any]:
        return [self.value(item, below(path, i), item.start_mark.line + 1) for i, item in enumerate(node.value)]

    def _object(self, node: yaml.Node, path: str) -> dict[str, Any]:
        """Entries in order. As in go-yaml, a merged entry replaces one that stands before the `<<`."""
        found: dict[str, Any] = {}
        own: set[str] = set()
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == PLAIN and key_node.value == "<<":
                for merged in self._merged(value_node, line):
                    found |= self.value(merged, path, self.lines[path])
                continue
            key = self._key(key_node)
            if key in own:
                raise KubeYamlError(line, f"{below(path, key)} is there twice; keep one of them")
            own.add(key)
            found[key] = self.value(value_node, below(path, key), line)
        return found

    def _merged(self, node: yaml.Node, line: int) -> Iterator[yaml.Node]:
        """What `<<` merges, the last first: of several, the first wins."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not all(isinstance(merged, yaml.MappingNode) for merged in nodes):
            raise KubeYamlError(line, "'<<' merges objects only")
        yield from reversed(nodes)

    def _key(self, node: yaml.Node) -> str:
        line = node.start_mark.line + 1
        key = self._scalar(node) if isinstance(node, yaml.ScalarNode) else None
        if isinstance(key, bool):
            return "true" if key else "false"
        is_whole = isinstance(key, int) and _INTEGER.fullmatch(node.value.replace("_", ""))
        if not (isinstance(key, str) or is_whole):
            raise KubeYamlError(line, "a field's name must be text; put it in quotes")
        return str(key)

    def _scalar(self, node: yaml.ScalarNode) -> str | int | float | bool | None:
        line = node.start_mark.line + 1
        try:
            # "\ud83d\ude00" is one character, and half of it is none.
            text = node.value.encode("utf-16", "surrogatepass").decode("utf-16")
            return scalar(text) if node.tag == PLAIN else str(text)
        except UnicodeDecodeError as error:
            raise KubeYamlError(line, "a \\u escape is half a surrogate pair") from error
        except ValueError as error:
            raise KubeYamlError(line, str(error)) from error


_EXPLAINED: Final = {
    "'\\t'": "there is a tab; YAML wants spaces",
    "mapping values are not allowed": (
        "a ':' is where no field can begin; check the indentation, and put text that has ': ' in it in quotes"
    ),
    "could not find expected ':'": "the name of a field has no ':' after it",
    "scanning a quoted scalar": "a quote is opened and never closed",
    "while parsing a flow": "a bracket is opened and never closed",
    "expected '<document start>'": "the line does not belong to the object above it; check its column, or put '---' before it",
    "expected a single document": "the line does not belong to the object above it; put '---' before it",
    "but found '<scalar>'": "something follows where a value has ended; put all of it in quotes",
    "expected <block end>": "the line begins in another column than the fields or items that it belongs to",
    "unknown escape character": "a backslash in double quotes begins an escape; write two of them, or use single quotes",
}
"""Better words than PyYAML's where people often go wrong, by a part of PyYAML's; the first that fits."""


def _explained(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or str(error)
    said = f"{error.context}, {problem}" if error.context else problem
    return next((words for part, words in _EXPLAINED.items() if part in said), said)
