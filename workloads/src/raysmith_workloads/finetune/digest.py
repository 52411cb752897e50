"""What a file or a model is, as a digest: equal digests, equal content."""

import hashlib
from collections.abc import Iterable
from pathlib import Path


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_digest(files: Iterable[Path], root: Path | None = None) -> str:
    """SHA-256 over the sorted (name, SHA-256 of the content) of `files`, with its prefix. Names are those below `root`."""
    lines = sorted(f"{path.relative_to(root or path.parent).as_posix()} {file_digest(path)}\n" for path in files)
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def weights_digest(folder: Path) -> str:
    """`tree_digest` over the weights of the model in `folder`: its *.safetensors files."""
    return tree_digest(folder.glob("*.safetensors"))


def folder_digest(folder: Path) -> str:
    """`tree_digest` over every file in `folder`: what the same artefact has wherever it lies."""
    return tree_digest((path for path in folder.rglob("*") if path.is_file()), folder)
