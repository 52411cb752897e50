"""Preparations in a folder of their own, with `python -m raysmith_workloads.prepare` as a process."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from objects import finetune
from raysmith.api import LLMFineTune, layout
from raysmith.api.common import to_wire
from raysmith.api.record import Failure, Prepared
from raysmith_workloads.prepare.tokenizer import train_tokenizer
from raysmith_workloads.report import read_progress

Workload = Callable[..., subprocess.CompletedProcess[str]]
GOOD = {"messages": [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "It is good."}]}
ONLY_USER = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('No system role') }}{% endif %}"
    "{% if m['content'] == 'Wait.' %}{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}{% endif %}"
    "{{ m['content'] + eos_token }}{% endfor %}"
)
"""Knows no system role, and is busy for days with a message `Wait.`."""


def rows(number: int) -> list[dict[str, str]]:
    return [{"prompt": f"What is row {n}?", "completion": f"It is row number {n}."} for n in range(number)]


def lines(documents: list[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(document).encode() + b"\n" for document in documents]


def make_tokenizer(folder: Path) -> Path:
    """A model's folder as far as preparing looks at it: a tokenizer with the template ONLY_USER."""
    tokenizer = train_tokenizer(["What is it? It is row number 0123456789. " * 50], 256)
    tokenizer.chat_template = ONLY_USER
    tokenizer.save_pretrained(folder)
    return folder


class Preparing:
    """One object's preparation below a folder of its own."""

    def __init__(self, folder: Path, start: Workload) -> None:
        self.folder = folder
        self.storage = folder / "store"
        self._start = start

    def object_file(self, source: str, **spec: Any) -> Path:
        data = {"train": [{"name": "rows", "source": source}], "maxLength": 256, **spec.pop("data", {})}
        document = finetune(name="run", data=data, output={"storage": f"file://{self.storage}"}, **spec)
        document["metadata"]["uid"] = "0123456789abcdef"
        document["status"] = {"attempt": 2, **spec.get("status", {})}
        path = self.folder / "object.json"
        path.write_text(json.dumps(to_wire(LLMFineTune.model_validate(document))))
        return path

    def run(
        self, source: str, *arguments: str, environment: dict[str, str] | None = None, **spec: Any
    ) -> subprocess.CompletedProcess[str]:
        return self._start("prepare", "--object", self.object_file(source, **spec), *arguments, **(environment or {}))

    def write(self, name: str, content: bytes | list[bytes]) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else b"".join(content))
        return f"file://{path}"

    def manifest(self) -> Prepared:
        return Prepared.model_validate_json((self.storage / "default/run-01234567" / layout.PREPARED).read_bytes())

    def prepared(self) -> Path:
        return Path(layout.prepared_folder(str(self.storage), self.manifest().digest))

    def failure(self) -> Failure:
        return Failure.model_validate_json((self.storage / "default/run-01234567/attempts/2" / layout.FAILURE).read_bytes())

    def said(self) -> str:
        """What the preparation has said last, so that people can watch it."""
        progress = read_progress(self.storage / "default/run-01234567/attempts/2")
        return (progress and progress.message) or ""

    def left(self) -> set[str]:
        """Names of the files in storage, but for what an attempt says about itself and about whose it is."""
        said = {layout.PROGRESS, layout.FAILURE, layout.OBJECT}
        return {
            str(path.relative_to(self.storage)) for path in self.storage.rglob("*") if path.is_file() and path.name not in said
        }
