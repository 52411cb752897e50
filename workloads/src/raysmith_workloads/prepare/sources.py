"""Addresses to files: a file, a folder with all below it, a glob, a data set on the hub, or one that comes with Raysmith."""

from pathlib import Path
from typing import Final, NamedTuple

from raysmith.api.builtin import SCHEME, data_set_problem
from raysmith.api.finetune import Dataset
from raysmith_workloads.errors import Refused
from raysmith_workloads.storage import fetch_dataset, local_path

KINDS: Final = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".csv": "csv",
    ".txt": "txt",
}
"""How a file is read, by the end of its name."""

_ENDINGS: Final = ".jsonl, .ndjson, .json, .parquet, .csv or .txt"


class SourceFile(NamedTuple):
    """A file of rows."""

    path: str
    """Path on this machine; the name of a data set that comes with Raysmith."""
    label: str
    """How messages call it: the path, or an address where there is no path that a person could open."""
    kind: str
    """A value of KINDS, or `builtin`."""


class SourceFiles(NamedTuple):
    """The files of one source, in the order in which they are read."""

    files: list[SourceFile]
    unread: list[str]
    """Names of files in the folder that are of other kinds."""


def source_files(dataset: Dataset) -> SourceFiles:
    """Every file that `dataset.source` names. Raises Refused (`DataNotFound`, `DataRefused`)."""
    scheme, _, name = dataset.source.partition("://")
    if scheme == "builtin":
        return _builtin(name)
    if scheme == "hf":
        folder, path = fetch_dataset(dataset.source)
        root = dataset.source.rpartition("@")[0] or dataset.source
        label = root.removesuffix(path).rstrip("/")
        return _below(folder, path, f"{label}/", dataset.source)
    local = local_path(dataset.source)
    return _below(local.parent, local.name, _label_of_parent(dataset.source, local), dataset.source)


def _builtin(name: str) -> SourceFiles:
    uri = f"{SCHEME}{name}"
    if problem := data_set_problem(uri):
        raise Refused("DataNotFound", problem)
    return SourceFiles([SourceFile(name, uri, "builtin")], [])


def _label_of_parent(uri: str, path: Path) -> str:
    if uri.startswith("file://"):
        return "" if path.parent == Path() else f"{str(path.parent).rstrip('/')}/"
    return f"{uri.rstrip('/').rpartition('/')[0]}/"


def _below(folder: Path, name: str, label: str, uri: str) -> SourceFiles:
    path = folder / name
    if path.is_file():
        return SourceFiles([_named(path, folder, label)], [])
    if path.is_dir():
        return _all(path, folder, label, uri)
    found = _matches(folder, name)
    if not found:
        raise Refused("DataNotFound", f"{uri} is not there: {path} is no file or folder. Check the address of the data.")
    return SourceFiles([_named(match, folder, label) for match in found], [])


def _matches(folder: Path, name: str) -> list[Path]:
    if not set(name) & set("*?["):
        return []
    try:
        return sorted(match for match in folder.glob(name) if match.is_file())
    except ValueError:  # a pattern that is none
        return []


def _named(path: Path, folder: Path, label: str) -> SourceFile:
    """A file that was asked for by name, so it must be of a kind that can be read."""
    name = f"{label}{path.relative_to(folder)}"
    if path.suffix.lower() not in KINDS:
        raise Refused("DataRefused", f"{name} is of no kind that can be read; its name must end in {_ENDINGS}.")
    if name.startswith("pvc://"):
        local_path(name)  # a link inside a volume must not lead out of it
    return SourceFile(str(path), name, KINDS[path.suffix.lower()])


def _all(path: Path, folder: Path, label: str, uri: str) -> SourceFiles:
    """Everything below a folder; other files (a README, a licence) lie beside data often and are only mentioned."""
    below = [file for file in sorted(path.rglob("*")) if file.is_file() and not _hidden(file.relative_to(path))]
    files = [_named(file, folder, label) for file in below if file.suffix.lower() in KINDS]
    if not files:
        raise Refused("DataNotFound", f"{uri} holds no data; the files' names must end in {_ENDINGS}.")
    return SourceFiles(files, [str(file.relative_to(path)) for file in below if file.suffix.lower() not in KINDS])


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
