"""What lies on this machine: whether it is there, what it contains, and the credentials for what lies elsewhere."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from raysmith.api import LLMService, to_wire
from raysmith.cli.data_dir import DataDir
from raysmith.cli.load import Loaded
from raysmith.cli.local_uid import contents_digest, is_local, local_sources, source_files

HUB_TOKEN = "HF_TOKEN"  # noqa: S105 - the variable's name, not its value


class SourceDigests:
    """Digest of the contents behind an address, computed once for each command."""

    def __init__(self, data: DataDir) -> None:
        self._data = data
        self._known: dict[str, str] = {}

    def __call__(self, uri: str) -> str:
        """SHA-256 of what is behind a `file://` or `pvc://` address. Raises OSError."""
        if uri not in self._known:
            self._known[uri] = contents_digest(self._data.path(uri))
        return self._known[uri]


def source_problems(objects: Sequence[Loaded], data: DataDir) -> list[str]:
    """A sentence for each source that is not there and each credential that is missing, before anything has started."""
    return [sentence for loaded in objects for sentence in (*_missing(loaded, data), *_credentials(loaded))]


def _missing(loaded: Loaded, data: DataDir) -> Iterator[str]:
    for name, uri in _local(loaded):
        path = data.path(uri)
        if not source_files(path):
            what = "is an empty folder" if path.is_dir() else "does not exist"
            yield loaded.sentence(name, f"{uri} is {path} on this machine, which {what}; correct the address or put it there.")


def _local(loaded: Loaded) -> list[tuple[str, str]]:
    if not isinstance(loaded.obj, LLMService):
        return list(local_sources(loaded.obj))
    spec = loaded.obj.spec
    named = [("spec.model.source", spec.model.source)]
    named += [(f"spec.adapters[{i}].source", adapter.source) for i, adapter in enumerate(spec.adapters)]
    return [(name, uri) for name, uri in named if uri is not None and is_local(uri)]


def _credentials(loaded: Loaded) -> Iterator[str]:
    """Locally there are no Secrets; what a `secretRef` names comes from the environment."""
    if os.environ.get(HUB_TOKEN):
        return
    for name, owner in _with_secret(to_wire(loaded.obj)["spec"], "spec"):
        if str(owner.get("source", "")).startswith("hf://"):
            message = f"a local run takes the key for {owner['source']} from the environment; set {HUB_TOKEN} and run it again."
            yield loaded.sentence(f"{name}.secretRef", message)


def _with_secret(value: Any, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        if "secretRef" in value:
            yield name, value
        for key, item in value.items():
            yield from _with_secret(item, f"{name}.{key}")
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from _with_secret(item, f"{name}[{i}]")
