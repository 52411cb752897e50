"""The folder in which local runs live: volumes, runs, services. Everything is found again by looking at it.

<data-dir>/
    volumes/<claim>/        what `pvc://<claim>` is on this machine; below the storage path lies the tree of raysmith.api.layout
    services/<port>/        <name>.json, ready.json and serve.log of the services that were last kept at that port
    storages.json           `file://` storages outside of this folder that runs were written to
    last-run.json           what the last `raysmith run` did, with seconds for each stage
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from raysmith.api import LLMFineTune, layout
from raysmith.errors import RaysmithError


class Runs(Protocol):
    """A folder in which runs lie."""

    root: Path

    def runs(self) -> Iterator[Path]:
        """Every run's folder, in no particular order. Raises RaysmithError if `root` is not such a folder."""


class MountedStorage:
    """A cluster's storage, such as a `pvc://` address, where it is mounted on this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def runs(self) -> Iterator[Path]:
        """Every run's folder, of all namespaces. Raises RaysmithError if there is no such folder."""
        if not self.root.is_dir():
            raise RaysmithError(f"{self.root} is no folder; name the one at which the cluster's storage is mounted.")
        yield from _folders_with_object(self.root)


class DataDir:
    """Names and addresses below one data folder. Nothing is made before something is written."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.volumes = self.root / "volumes"
        self.last_run = self.root / "last-run.json"
        self._storages = self.root / "storages.json"

    def services(self, port: int) -> Path:
        """Folder of the services that are kept at `port`."""
        return self.root / "services" / str(port)

    def path(self, uri: str) -> Path:
        """The path behind a `pvc://` or an absolute `file://` address. Raises RaysmithError if it climbs out of its claim."""
        scheme, _, rest = uri.partition("://")
        if scheme == "file":
            return Path(rest)
        rest = rest.strip("/")  # as the workloads, to which pvc:///a is pvc://a
        claim = self.volumes / rest.partition("/")[0]
        path = Path(os.path.normpath(self.volumes / rest))
        if not path.is_relative_to(claim) or claim == self.volumes:
            raise RaysmithError(f"{uri} leaves its volume; name a path inside it, without '..'.")
        return path

    def run_folder(self, obj: LLMFineTune) -> Path:
        """Folder of the run of `obj`, which has its uid."""
        return self.path(layout.run_folder(obj.spec.output.storage, obj.metadata))

    def remember_storage(self, uri: str) -> None:
        """Note a `file://` storage, so that `runs` finds it again. `pvc://` storages are found by themselves."""
        known = self._known_storages()
        if uri.startswith("file://") and uri not in known:
            write_json(self._storages, [*known, uri])

    def runs(self) -> Iterator[Path]:
        """Every run's folder, in no particular order. Raises RaysmithError if the data folder is a file, or damaged."""
        if self.root.exists() and not self.root.is_dir():
            raise RaysmithError(f"{self.root} is a file, and --data-dir names a folder; name another path.")
        for storage in (self.volumes, *(self.path(uri) for uri in self._known_storages())):
            yield from _folders_with_object(storage)

    def _known_storages(self) -> list[str]:
        if not self._storages.exists():
            return []
        try:
            return TypeAdapter(list[str]).validate_json(self._storages.read_bytes())
        except ValidationError as error:
            raise RaysmithError(
                f"{self._storages} is damaged; delete it: runs at file:// are then no longer listed."
            ) from error


def runs_in(data_dir: Path, storage: Path | None) -> Runs:
    """The runs of a cluster's storage, if one is named, and otherwise those of this machine."""
    return MountedStorage(storage) if storage else DataDir(data_dir)


def _folders_with_object(root: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        if layout.OBJECT in files:
            names.clear()
            yield Path(folder)
        names[:] = sorted(name for name in names if not name.startswith("."))


def write_json(path: Path, data: object) -> None:
    """Write `data` to `path`, whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
