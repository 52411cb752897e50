"""One run's folder, read: the object, its attempts, its record. Works while the run goes and long after it has ended."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import ValidationError

from raysmith.api import LLMFineTune, layout
from raysmith.api.common import Artifact
from raysmith.api.finetune import Progress
from raysmith.api.record import Claim, Failure, Prepared, RunRecord
from raysmith.api.schema import Model
from raysmith.cli.data_dir import Runs
from raysmith.cli.errors import RunFailed
from raysmith.errors import RaysmithError

LOCK = ".lock"
M = TypeVar("M", bound=Model)


class Attempt(NamedTuple):
    """What one attempt left behind."""

    number: int
    claim: Claim | None
    progress: Progress | None
    failure: Failure | None


class Run(NamedTuple):
    """A run as its folder tells it."""

    folder: Path
    obj: LLMFineTune
    attempts: list[Attempt]
    record: RunRecord | None
    prepared: Prepared | None
    working: bool

    @property
    def progress(self) -> Progress | None:
        """Where the newest attempt is."""
        return self.attempts[-1].progress if self.attempts else None

    @property
    def phase(self) -> str:
        """One word for people, as `status.phase` of the object in a cluster."""
        if self.record is not None:
            return "Succeeded" if self.record.promoted else "GateFailed"
        if self.working:
            return self.progress.stage if self.progress else "Starting"
        failure = self.attempts[-1].failure if self.attempts else None
        return failure.reason if failure else "Stopped"


def read_run(folder: Path) -> Run:
    """The run in `folder`. Raises RaysmithError for a file that is not what Raysmith wrote."""
    obj = read(folder / layout.OBJECT, LLMFineTune)
    if obj is None:
        raise RaysmithError(f"{folder} has no {layout.OBJECT}; it is not the folder of a run.")
    attempts = [_attempt(folder, number) for number in attempt_numbers(folder)]
    record = read(folder / layout.RUN, RunRecord)
    working = _works(folder, attempts, record)
    return Run(folder, obj, attempts, record, read(folder / layout.PREPARED, Prepared), working)


def runs_of(data: Runs, name: str | None = None) -> list[Run]:
    """The runs that lie there, of one name or all, the oldest first."""
    found = [read_run(folder) for folder in data.runs() if name is None or folder.name[:-9] == name]
    return sorted(found, key=started)


def started(run: Run) -> float:
    """When the run started, in seconds since 1970; when its object was written if it has no attempt yet."""
    claims = [attempt.claim for attempt in run.attempts if attempt.claim]
    return claims[0].start_time.timestamp() if claims else (run.folder / layout.OBJECT).stat().st_mtime


def artifact_of(obj: LLMFineTune, record: RunRecord) -> Artifact:
    """What a reference to the finished run of `obj` resolves to: the address of its folder and the artefact's digest."""
    return Artifact(uri=layout.run_folder(obj.spec.output.storage, obj.metadata), digest=record.artifact.digest)


def finished_record(folder: Path) -> RunRecord | None:
    """The record of a finished run in `folder`, or None. Raises RunFailed if the record is there and its model is not."""
    record = read(folder / layout.RUN, RunRecord)
    if record is not None and not (folder / record.artifact_kind).is_dir():
        raise RunFailed(
            f"{folder} has the record of a finished run but not its {record.artifact_kind}/ folder; put that back, or "
            "delete the whole folder and train again."
        )
    return record


def attempt_numbers(folder: Path) -> list[int]:
    """Numbers of the attempts so far, in order."""
    attempts = folder / "attempts"
    return sorted(int(path.name) for path in attempts.iterdir() if path.name.isdigit()) if attempts.is_dir() else []


def newest_checkpoint(folder: Path) -> int:
    """Step of the newest complete checkpoint, 0 if there is none."""
    commits = folder.glob(f"attempts/*/checkpoints/step-*/{layout.COMMIT}")
    return max((int(commit.parent.name.removeprefix("step-")) for commit in commits), default=0)


def read(path: Path, model: type[M]) -> M | None:
    """The model in the JSON file at `path`, or None if there is no such file. Raises RaysmithError if it is damaged."""
    try:
        return model.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RaysmithError(
            f"{path} is damaged ({where}: {first['msg']}); delete it and give the same command again."
        ) from error


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Own the run in `folder`, among all command lines on this machine. Raises RunFailed if another one does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunFailed(
                f"another `raysmith run` is working in {folder}; wait until it has ended, or use another --data-dir."
            ) from error
        yield


def is_locked(folder: Path) -> bool:
    """Whether a command line is working on the run in `folder`."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def read_json(path: Path) -> object:
    """The JSON in the file at `path`. Raises RaysmithError if it is none, OSError if it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RaysmithError(f"{path} is damaged ({error}); delete it and give the same command again.") from error


def pages(folder: Path) -> Iterator[str]:
    """A line for each thing to look at that the run has left in `folder`."""
    for title, file in (("loss curve", layout.LOSS_CURVE), ("report", layout.REPORT)):
        if (folder / file).exists():
            yield f"{title:<10}  {short(folder / file)}"


def short(path: Path) -> Path:
    """`path` from the current folder, where it lies below that."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def duration(seconds: float) -> str:
    """Seconds as people say them: `4.2 s`, `80 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _works(folder: Path, attempts: list[Attempt], record: RunRecord | None) -> bool:
    """Whether somebody works on the run: a command line holds its lock; a cluster's run goes on until it says otherwise."""
    if (folder / LOCK).exists():
        return is_locked(folder)
    return record is None and bool(attempts) and attempts[-1].failure is None


def _attempt(folder: Path, number: int) -> Attempt:
    place = folder / layout.attempt_folder(number)
    return Attempt(
        number,
        read(place / layout.CLAIM, Claim),
        read(place / layout.PROGRESS, Progress),
        read(place / layout.FAILURE, Failure),
    )
