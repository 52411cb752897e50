"""`raysmith diff`: which fields differ, what each change does, and how the manifests change with it."""

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from raysmith import admission
from raysmith.api import LLMService, to_wire
from raysmith.cli.load import Loaded, load
from raysmith.cli.rendering import manifests
from raysmith.render import Manifest, to_yaml
from raysmith.render.refusals import cluster_refusals

COLOURS = {"+": "green", "-": "red", "@": "cyan"}


class Change(NamedTuple):
    """One field that differs; None where it is not set."""

    field: str
    old: object
    new: object


def diff(old: Path, new: Path, console: Console) -> int:
    """Print what turns the objects in `old` into those in `new`; 0 if nothing does, 1 otherwise. Raises RaysmithError."""
    before, after = load([old]), load([new])
    lines = list(difference(before, after))
    for line in lines:
        console.print(Text(line, style=COLOURS.get(line[:1], "")), soft_wrap=True)
    return 1 if lines else 0


def difference(before: Sequence[Loaded], after: Sequence[Loaded]) -> Iterator[str]:
    """Lines: object by object its changed fields and what they do, then the unified diff of its manifests."""
    old, new = {loaded.key: loaded for loaded in before}, {loaded.key: loaded for loaded in after}
    for key in sorted({*old, *new}):
        head = f"{key[0]} {key[1]}/{key[2]}"
        if key not in new:
            yield f"{head}: goes away"
        elif key not in old:
            yield f"{head}: is new"
        else:
            yield from _object_lines(head, old[key], new[key], before, after)
            continue
        yield from _manifest_lines(_made(old.get(key), before), _made(new.get(key), after))


def changes(old: Any, new: Any, field: str = "") -> Iterator[Change]:
    """The fields that differ between two pieces of JSON data, the deepest that do. Lists differ item by item."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from changes(old.get(key), new.get(key), f"{field}.{key}" if field else key)
    elif isinstance(old, list) and isinstance(new, list):
        for i in range(max(len(old), len(new))):
            yield from changes(_item(old, i), _item(new, i), f"{field}[{i}]")
    elif old != new:
        yield Change(field, old, new)


def _object_lines(head: str, old: Loaded, new: Loaded, before: Sequence[Loaded], after: Sequence[Loaded]) -> Iterator[str]:
    was, will = to_wire(old.obj), to_wire(new.obj)
    found = list(changes(was, will))
    if not found:
        return
    made = _made(old, before), _made(new, after)
    yield f"{head}: {_effect(old, new, *made)}"
    for change in found:
        yield f"    {change.field}: {_value(change.old)} -> {_value(change.new)}"
    if refused := [*cluster_refusals(old.obj), *cluster_refusals(new.obj)]:
        yield f"    no manifests are compared: {refused[0].message}"
    yield from _manifest_lines(*made)


def _effect(old: Loaded, new: Loaded, was: Sequence[Manifest], will: Sequence[Manifest]) -> str:
    """What the API server and the operator do with the change."""
    if refused := admission.problems(new.document.data, old.document.data):
        return f"the change is refused ({' '.join(problem.message for problem in refused)})"
    if isinstance(new.obj, LLMService):
        if not (was and will):
            return "changes on this machine"
        if _names(was) == _names(will):
            return "changes in place; no pod is replaced"
        return "a new revision is started beside the old one, which answers until the new one does"
    return "changes in place; the run goes on"


def _names(manifests: Sequence[Manifest]) -> list[tuple[str, str]]:
    return [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]


def _made(loaded: Loaded | None, objects: Sequence[Loaded]) -> list[Manifest]:
    """The manifests of `loaded`; none for an object that no cluster could run, because it names files of this machine."""
    return manifests(loaded, objects) if loaded and not cluster_refusals(loaded.obj) else []


def _manifest_lines(old: Sequence[Manifest], new: Sequence[Manifest]) -> list[str]:
    was, will = (to_yaml(made).splitlines() if made else [] for made in (old, new))
    return list(difflib.unified_diff(was, will, "old manifests", "new manifests", lineterm=""))


def _item(items: list[Any], index: int) -> Any:
    return items[index] if index < len(items) else None


def _value(value: object) -> str:
    return "not set" if value is None else str(value)
