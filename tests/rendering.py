"""What the tests render: every golden case and every example, each with the objects that lie beside it."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from raysmith import admission, manifest
from raysmith.api import LLMFineTune, LLMService, to_wire
from raysmith.config import Settings
from raysmith.render import render, render_notes, to_yaml

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"
EXAMPLES = ROOT / "examples"


@dataclass(frozen=True)
class Case:
    """One file of objects, and the file with what it must be rendered to."""

    source: Path
    expected: Path

    @property
    def name(self) -> str:
        """How reports call it."""
        return str(self.source.relative_to(ROOT))

    @property
    def beside(self) -> list[Path]:
        """The files whose objects this one may refer to: in a folder below examples/, all of that folder."""
        folder = self.source.parent
        return sorted(folder.glob("*.yaml")) if EXAMPLES in folder.parents else [self.source]


def cases() -> list[Case]:
    golden = [Case(path, path.with_name("expected.yaml")) for path in sorted(GOLDEN.glob("*/input.yaml"))]
    examples = [Case(path, GOLDEN / path.relative_to(ROOT)) for path in sorted(EXAMPLES.rglob("*.yaml"))]
    return golden + examples


def objects(*paths: Path) -> list[LLMFineTune | LLMService]:
    return [_observed(admission.admit(document.data), document.data) for document in manifest.read(paths)]


def _observed(obj: LLMFineTune | LLMService, document: dict[str, Any]) -> LLMFineTune | LLMService:
    """The admitted object with what only a cluster writes: the API server takes neither uid nor status from a file."""
    server = {"metadata": document["metadata"], "status": document.get("status")}
    return type(obj).model_validate(to_wire(obj) | server)


@cache
def rendered(case: Case) -> str:
    finetunes = {obj.metadata.name: obj for obj in objects(*case.beside) if isinstance(obj, LLMFineTune)}
    made = objects(case.source)
    return "".join(to_yaml(render(obj, Settings(), finetunes), render_notes(obj, finetunes)) for obj in made)
