"""The uid of a local run: equal spec, equal data, equal base give the same uid, and so the same run."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from raysmith.api import LLMFineTune, to_wire
from raysmith.api.common import Artifact

MUTABLE = ("suspend", "ttlSecondsAfterFinished")
"""Fields of the spec that may change while the run stays the same."""


def local_uid(obj: LLMFineTune, base: Artifact | None, digest: Callable[[str], str]) -> str:
    """SHA-256, as 64 hex digits, over name, spec, contents of `file://` and `pvc://` sources, and the base's digest.

    `digest` gives the digest of a source's contents. A source counts by its contents alone, so that a moved file is no
    change. `base` is what `spec.model.fineTune` resolved to.
    """
    spec = {field: value for field, value in to_wire(obj)["spec"].items() if field not in MUTABLE}
    identity = {
        "kind": obj.kind,
        "namespace": obj.metadata.namespace,
        "name": obj.metadata.name,
        "spec": _by_contents(spec, digest),
        "base": base.digest if base else None,
    }
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def local_sources(obj: LLMFineTune) -> Iterator[tuple[str, str]]:
    """Field and address of every source of `obj` that lies on this machine."""
    data = obj.spec.data
    fields = [("spec.model.source", obj.spec.model.source)]
    fields += [(f"spec.data.train[{i}].source", dataset.source) for i, dataset in enumerate(data.train)]
    held_back = (data.validation.datasets if data.validation else None) or []
    fields += [(f"spec.data.validation.datasets[{i}].source", dataset.source) for i, dataset in enumerate(held_back)]
    for field, source in fields:
        if source is not None and is_local(source):
            yield field, source


def is_local(uri: str) -> bool:
    """Whether `uri` is a path on this machine."""
    return uri.startswith(("file://", "pvc://"))


def source_files(path: Path) -> list[Path]:
    """The files of a source: `path` itself, everything below it, or what its name matches as a glob, as the workloads look.

    Empty if there is nothing.
    """
    if path.is_file():
        return [path]
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    if not set(path.name) & set("*?["):
        return []
    try:
        return sorted(file for file in path.parent.glob(path.name) if file.is_file())
    except ValueError:  # a pattern that is none
        return []


def contents_digest(path: Path) -> str:
    """SHA-256 over names and contents of the files of a source. Raises OSError."""
    whole = hashlib.sha256()
    for file in source_files(path):
        with file.open("rb") as opened:
            contents = hashlib.file_digest(opened, "sha256").hexdigest()
        name = file.relative_to(path) if path.is_dir() else file.name
        whole.update(f"{name}\0{contents}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def _by_contents(value: Any, digest: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {
            key: digest(item) if key == "source" and isinstance(item, str) and is_local(item) else _by_contents(item, digest)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_by_contents(item, digest) for item in value]
    return value
