"""`raysmith status` and `raysmith logs`: what the folders of the runs tell, while they go and after everything has ended."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from raysmith.cli import records, services, tables
from raysmith.cli.data_dir import Runs
from raysmith.cli.display import Display
from raysmith.cli.follow import doing, numbers
from raysmith.cli.records import Run
from raysmith.errors import RaysmithError

POLL_SECONDS = 0.5


def show_all(data: Runs, display: Display) -> None:
    """A line for each run. Raises RaysmithError with a sentence for each that cannot be read, after the others are shown."""
    runs, damaged = list[Run](), list[str]()
    for folder in data.runs():
        try:
            runs.append(records.read_run(folder))
        except RaysmithError as error:
            damaged.append(str(error))
    if not runs and not damaged:
        raise RaysmithError(f"no run lies in {data.root}; start one with `raysmith run`, or name another folder.")
    display.show(tables.runs_table(sorted(runs, key=records.started)))
    if damaged:
        raise RaysmithError("\n".join(damaged))


def show_one(data: Runs, name: str, display: Display) -> None:
    """Everything about the newest run of `name`."""
    run = newest(data, name)
    display.title(run.obj.kind, run.obj.metadata.name, str(records.short(run.folder)))
    display.line(f"  phase       {run.phase}")
    if run.record is None and (progress := run.progress):
        display.line(f"  progress    {', '.join(filter(None, (doing(progress.stage), numbers(progress))))}")
        silent = (datetime.now(UTC) - progress.updated_time).total_seconds()
        display.line(f"  last heard  {records.duration(silent)} ago")
    if run.prepared:
        train = run.prepared.train
        display.line(f"  data        {train.rows:,} rows, {train.sequences:,} sequences, {train.tokens:,} tokens to train on")
    display.show(tables.attempts_table(run))
    if run.record:
        display.show(tables.metrics_table(run.record))
        display.line(f"  gate        {run.record.message}")
        display.line(f"  artefact    {records.short(run.folder / run.record.artifact_kind)}  {run.record.artifact.digest}")
    for line in records.pages(run.folder):
        display.line(f"  {line}")


def newest(data: Runs, name: str) -> Run:
    """The newest run of the LLMFineTune `name`. Raises RaysmithError if there is none."""
    runs = records.runs_of(data, name)
    if not runs:
        known = ", ".join(sorted({folder.name[:-9] for folder in data.runs()})) or "none"
        raise RaysmithError(f"no run of {name} lies in {data.root} (there are: {known}); correct the name or the folder.")
    return runs[-1]


def logs(data: Runs, name: str, *, follow: bool) -> Iterator[str]:
    """What the processes of the newest run of `name`, or of the service `name`, printed; with `follow`, until it ends."""
    service = _service_log(data, name)
    if service is not None and not records.runs_of(data, name):
        yield from _text([service], {})
        return
    run = newest(data, name)
    seen: dict[Path, int] = {}
    while True:
        goes_on = follow and records.read_run(run.folder).working  # asked before reading, so that the last words are read, too
        yield from _text(_log_files(run.folder), seen)
        if not goes_on:
            return
        time.sleep(POLL_SECONDS)


def _log_files(folder: Path) -> list[Path]:
    """`<attempt>-<process>.log`, in the order in which they were begun: prepare, finetune, the workers."""

    def begun(file: Path) -> tuple[int, bool, bool, str]:
        number, _, process = file.stem.partition("-")
        return int(number), process != "prepare", process != "finetune", process

    return sorted((folder / "logs").glob("*-*.log"), key=begun)


def _service_log(data: Runs, name: str) -> Path | None:
    named = (file for file in data.root.glob("services/*/*.json") if file.stem == name)
    objects = sorted(named, key=lambda file: file.stat().st_mtime)
    log = objects[-1].parent / services.LOG if objects else None
    return log if log and log.exists() else None


def _text(files: Sequence[Path], seen: dict[Path, int]) -> Iterator[str]:
    """What was added to `files` since `seen` (bytes already read of each), under a head with the file's name."""
    for file in files:
        with file.open("rb") as opened:
            opened.seek(seen.get(file, 0))
            added = opened.read()
        if file not in seen:
            yield f"==> {file.name} <==\n"
        seen[file] = seen.get(file, 0) + len(added)
        yield added.decode("utf-8", errors="replace")
