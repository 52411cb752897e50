"""Which object needs which, and the order that follows. Pure."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from raysmith.api import LLMFineTune, LLMService
from raysmith.cli.load import Loaded


class Reference(NamedTuple):
    """A field that names an LLMFineTune."""

    field: str
    namespace: str
    name: str


def references(obj: LLMFineTune | LLMService) -> list[Reference]:
    """Every LLMFineTune that `obj` names; references never leave the namespace."""
    return [Reference(field, obj.metadata.namespace, name) for field, name in _named(obj)]


def _named(obj: LLMFineTune | LLMService) -> Iterator[tuple[str, str]]:
    followed = obj.spec.model.fine_tune
    if followed is not None and followed.name is not None:
        yield "spec.model.fineTune.name", followed.name
    if isinstance(obj, LLMService):
        for i, adapter in enumerate(obj.spec.adapters):
            if adapter.fine_tune is not None:
                yield f"spec.adapters[{i}].fineTune.name", adapter.fine_tune.name


def reference_problems(objects: Sequence[Loaded], finished: Container[tuple[str, str]]) -> list[str]:
    """A sentence for each reference that leads nowhere or in a circle.

    `finished` holds (namespace, name) of the runs that are done already and may be referred to without their file.
    """
    here = {(loaded.obj.metadata.namespace, loaded.obj.metadata.name) for loaded in _finetunes(objects)}
    unknown = [
        loaded.sentence(
            reference.field,
            f"LLMFineTune {reference.name} is not among the given files, and no finished run of that name lies in the "
            "data folder; add its file to the command, or correct the name.",
        )
        for loaded in objects
        for reference in references(loaded.obj)
        if reference[1:] not in here and reference[1:] not in finished
    ]
    return [*unknown, *_circle(objects)]


def in_order(objects: Sequence[Loaded]) -> list[Loaded]:
    """The LLMFineTunes, each after the one it goes on from, otherwise as they stand in the files."""
    by_name = {loaded.key[1:]: loaded for loaded in _finetunes(objects)}
    sorter = TopologicalSorter(_graph(by_name))
    return [by_name[key] for key in sorter.static_order()]


def _circle(objects: Iterable[Loaded]) -> list[str]:
    by_name = {loaded.key[1:]: loaded for loaded in _finetunes(objects)}
    try:
        TopologicalSorter(_graph(by_name)).prepare()
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        way = " -> ".join(name for _, name in circle)
        message = f"these LLMFineTunes go on from one another in a circle ({way}); let one of them start from a source."
        return [by_name[circle[0]].sentence("spec.model.fineTune.name", message)]
    return []


def _graph(by_name: Mapping[tuple[str, str], Loaded]) -> dict[tuple[str, str], list[tuple[str, str]]]:
    return {key: [r[1:] for r in references(loaded.obj) if r[1:] in by_name] for key, loaded in by_name.items()}


def _finetunes(objects: Iterable[Loaded]) -> Iterator[Loaded]:
    return (loaded for loaded in objects if isinstance(loaded.obj, LLMFineTune))
