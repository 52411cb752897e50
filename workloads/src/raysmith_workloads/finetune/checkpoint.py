"""The state of training on disk. A checkpoint exists once its `commit.json` does, and counts only if every file has its digest.

attempts/<n>/checkpoints/step-<8 digits>/
    model.safetensors            the trained weights
    optimizer.safetensors        AdamW's moments and step counts
    random-<rank>.safetensors    the random state of each worker
    commit.json                  written last, created exclusively
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from raysmith.api import layout
from raysmith_workloads.errors import Refused
from raysmith_workloads.finetune.attempts import attempt_numbers, newest_claim
from raysmith_workloads.finetune.digest import file_digest
from raysmith_workloads.report import sync_folder
from raysmith_workloads.storage import storage_errors

MODEL = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"


@dataclass(frozen=True)
class Position:
    """Where training is, as `commit.json` keeps it."""

    step: int = 0
    """Optimiser steps done."""
    samples: int = 0
    """Sequences learned from: the position in the data."""
    tokens: int = 0
    """Tokens learned from."""
    seconds: float = 0.0
    """Seconds in the training loop."""
    losses: tuple[float, ...] = ()
    """Losses of the last steps."""


@dataclass(frozen=True)
class Commit:
    """`commit.json`."""

    attempt: int
    """Number of the attempt that made it."""
    world_size: int
    """Workers that made it."""
    position: Position
    """Where training was."""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file, in hexadecimal."""


class Checkpoint(NamedTuple):
    """A checkpoint that is whole."""

    folder: Path
    commit: Commit


def random_file(rank: int) -> str:
    """Name of the file with the random state of worker `rank`."""
    return f"random-{rank}.safetensors"


def write_tensors(folder: Path, name: str, tensors: Mapping[str, torch.Tensor]) -> str:
    """Write one file of a checkpoint and return its SHA-256. Raises Refused when there is no room or no permission."""
    path = folder / name
    with system_errors(path):
        save_file({key: tensor.detach().contiguous().cpu() for key, tensor in tensors.items()}, path)
        with path.open("rb") as file:
            os.fsync(file.fileno())
    return file_digest(path)


def make_folder(folder: Path) -> None:
    """An empty `folder` for a checkpoint. What an earlier, broken try left there is removed. Raises Refused."""
    with storage_errors(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)


def commit(run: Path, folder: Path, record: Commit) -> None:
    """Make the checkpoint in `folder` exist. Raises Refused if a newer attempt has been claimed, or the storage is full."""
    newest = newest_claim(run)
    if newest > record.attempt:
        raise Refused("Superseded", f"Attempt {newest} has taken over; attempt {record.attempt} writes nothing more.")
    with storage_errors(folder):
        sync_folder(folder)
        with (folder / layout.COMMIT).open("x", encoding="utf-8") as file:
            json.dump(asdict(record), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(folder)
        sync_folder(folder.parent)


def keep_newest(run: Path, attempt: int, count: int) -> None:
    """Remove all checkpoints up to `attempt` but the `count` newest. Older attempts can write nothing, so theirs go too."""
    folders = [folder for folder in _folders(run, attempt) if (folder / layout.COMMIT).exists()]
    for folder in folders[count:]:
        (folder / layout.COMMIT).unlink(missing_ok=True)  # first, so that no half-removed checkpoint counts
        shutil.rmtree(folder, ignore_errors=True)


def find(run: Path, attempt: int, say: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint of this and earlier attempts; `say` hears about those that are passed over."""
    damage: list[str] = []
    found: Checkpoint | None = None
    for folder in _folders(run, attempt):
        try:
            found = Checkpoint(folder, _verified(folder))
            break
        except _Damaged as error:
            damage.append(f"checkpoint of step {int(folder.name.removeprefix('step-'))} is damaged ({error})")
    if damage:
        onward = f"going on from step {found.commit.position.step}" if found else "starting from the beginning"
        say(f"{'; '.join(damage)}; {onward}.")
    return found


def read_tensors(checkpoint: Checkpoint, name: str) -> dict[str, torch.Tensor]:
    """The tensors of one file of a whole checkpoint."""
    tensors: dict[str, torch.Tensor] = load_file(checkpoint.folder / name)
    return tensors


@contextmanager
def system_errors(path: Path) -> Iterator[None]:
    """Around writes of tensors: no room or no permission becomes Refused.

    safetensors tells of the system's errors in words only: `... (os error 28)`.
    """
    with storage_errors(path):
        try:
            yield
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            code = int(number[1])
            raise OSError(code, os.strerror(code), str(path)) from error


class _Damaged(Exception):  # noqa: N818
    """Why a checkpoint does not count."""


def _folders(run: Path, attempt: int) -> Iterator[Path]:
    """Folders of checkpoints, newest first: by attempt, because a later one may have gone back behind a damaged one."""
    for number in sorted((n for n in attempt_numbers(run) if n <= attempt), reverse=True):
        folder = run / layout.attempt_folder(number) / "checkpoints"
        yield from sorted((path for path in folder.glob("step-*") if re.fullmatch(r"step-\d{8}", path.name)), reverse=True)


def _verified(folder: Path) -> Commit:
    record = _read_commit(folder)
    for name, digest in record.files.items():
        path = folder / name
        if not path.is_file():
            raise _Damaged(f"{name} is missing")
        if file_digest(path) != digest:
            raise _Damaged(f"{name} is not what was written")
    return record


def _read_commit(folder: Path) -> Commit:
    path = folder / layout.COMMIT
    if not path.exists():
        raise _Damaged("it was never finished")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        position = Position(**{**fields["position"], "losses": tuple(fields["position"]["losses"])})
        return Commit(fields["attempt"], fields["world_size"], position, dict(fields["files"]))
    except (ValueError, KeyError, TypeError) as error:
        raise _Damaged(f"{layout.COMMIT} cannot be read") from error
