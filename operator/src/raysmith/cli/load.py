"""Files and folders to admitted objects, or every problem in them at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysmith import admission, manifest
from raysmith.api import LLMFineTune, LLMService
from raysmith.config import Settings
from raysmith.errors import RaysmithError
from raysmith.render import refusals


@dataclass(frozen=True)
class Loaded:
    """An object and where it stands."""

    document: manifest.Document
    obj: LLMFineTune | LLMService

    @property
    def key(self) -> tuple[str, str, str]:
        """Kind, namespace and name: what an object is told apart by."""
        return self.obj.kind, self.obj.metadata.namespace, self.obj.metadata.name

    def sentence(self, field: str, message: str) -> str:
        """`file:line: message`, with the field before a message that does not name it."""
        named = field in message
        return f"{self.document.place(field)}: " + ("" if named else f"{field}: ") + message


def load(paths: Sequence[Path]) -> list[Loaded]:
    """Every object in `paths`, defaults filled in. Raises RaysmithError with all problems, one a line."""
    objects, sentences = look_at(manifest.read(paths))
    if sentences:
        raise RaysmithError("\n".join(sentences))
    return objects


def look_at(documents: Iterable[manifest.Document]) -> tuple[list[Loaded], list[str]]:
    """The objects that are accepted, and a sentence with its place for everything that is not."""
    objects: list[Loaded] = []
    sentences: list[str] = []
    for document in documents:
        try:
            obj = admission.admit(document.data)
        except admission.Rejected as rejected:
            sentences += [f"{document.place(problem.field)}: {problem.message}" for problem in rejected.problems]
            continue
        objects.append(Loaded(document, _with_absolute_paths(obj, document.path.absolute().parent)))
    for loaded in objects:
        found = refusals(loaded.obj, Settings(), finetunes_beside(loaded, objects))
        sentences += [loaded.sentence(refusal.field, refusal.message) for refusal in found]
    return objects, [*sentences, *_twice(objects)]


def finetunes_beside(loaded: Loaded, objects: Iterable[Loaded]) -> dict[str, LLMFineTune]:
    """The LLMFineTunes of the object's namespace among `objects`, by name."""
    found = [other.obj for other in objects if isinstance(other.obj, LLMFineTune)]
    return {obj.metadata.name: obj for obj in found if obj.metadata.namespace == loaded.obj.metadata.namespace}


def _twice(objects: Iterable[Loaded]) -> list[str]:
    first: dict[tuple[str, str, str], Loaded] = {}
    sentences = []
    for loaded in objects:
        known = first.setdefault(loaded.key, loaded)
        if known is not loaded:
            there = known.document.place("metadata.name")
            message = f"this {loaded.obj.kind} already stands at {there}; give one of them another name."
            sentences.append(loaded.sentence("metadata.name", message))
    return sentences


def _with_absolute_paths(obj: LLMFineTune | LLMService, folder: Path) -> LLMFineTune | LLMService:
    wire = obj.model_dump(mode="json", by_alias=True, exclude_none=True)
    wire["spec"] = _absolute(wire["spec"], folder)
    return type(obj).model_validate(wire)


def _absolute(value: Any, folder: Path) -> Any:
    """`value` with every relative `file://` address made absolute; an object file means paths from its own folder."""
    if isinstance(value, dict):
        return {key: item if key == "podTemplate" else _absolute(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_absolute(item, folder) for item in value]
    if isinstance(value, str) and value.startswith("file://") and not value.startswith("file:///"):
        return f"file://{folder / value.removeprefix('file://')}"
    return value
