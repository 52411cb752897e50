"""How a field of an object is written: `spec.data.train[0].source`, `metadata.labels[app.kubernetes.io/name]`."""

import json
import re
from collections.abc import Iterable

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_LAST = re.compile(r"(\[[^\]]*\]|\.?[^.\[\]]+)$")


def below(path: str, part: str | int) -> str:
    """The path of the field or item `part` of what stands at `path`; `""` is the whole object."""
    if isinstance(part, int) or not _PLAIN.fullmatch(part):
        return f"{path}[{printable(str(part))}]"
    return f"{path}.{part}" if path else part


def joined(parts: Iterable[str | int]) -> str:
    """The path through all `parts`."""
    path = ""
    for part in parts:
        path = below(path, part)
    return path


def printable(text: str) -> str:
    """`text` with what would break a line, or do something to a terminal, as it is written in JSON."""
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in text)


def above(path: str) -> str:
    """The path of what `path` stands in. Always shorter, even where a name holds brackets and has no end that can be told."""
    shorter = _LAST.sub("", path)
    return shorter if shorter != path else path[:-1]
