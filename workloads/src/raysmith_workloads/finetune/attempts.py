"""Attempts of a run: numbered folders, each claimed once. The newest owns the run; older ones may write nothing more."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from raysmith.api import layout
from raysmith.api.common import to_wire
from raysmith.api.record import AttemptRecord, Claim, Failure
from raysmith_workloads.errors import Refused
from raysmith_workloads.storage import storage_errors


def attempt_numbers(run: Path) -> list[int]:
    """Numbers of all attempts that have been claimed, in order."""
    return sorted(int(path.parent.name) for path in run.glob(f"attempts/[0-9]*/{layout.CLAIM}"))


def newest_claim(run: Path) -> int:
    """Number of the newest attempt; 0 without any."""
    return max(attempt_numbers(run), default=0)


def claim(run: Path, number: int | None) -> Claim:
    """Claim attempt `number`, or the next one if None.

    Raises Refused if that attempt, or a newer one, has been claimed before, or if the storage cannot be written.
    """
    newest = newest_claim(run)
    record = Claim(number=number or newest + 1, start_time=datetime.now(UTC))
    if record.number <= newest:
        raise _taken(run, newest)
    path = run / layout.attempt_folder(record.number) / layout.CLAIM
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x", encoding="utf-8") as file:
                json.dump(to_wire(record), file)
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError as error:
            raise _taken(run, record.number) from error
    return record


def attempt_records(run: Path, resumed_from: dict[int, int]) -> list[AttemptRecord]:
    """Every attempt with its end. `resumed_from` maps attempts to the step that they went on from."""
    return [_attempt_record(run, number, resumed_from.get(number, 0)) for number in attempt_numbers(run)]


def _attempt_record(run: Path, number: int, resumed_from_step: int) -> AttemptRecord:
    folder = run / layout.attempt_folder(number)
    try:
        start_time = Claim.model_validate_json((folder / layout.CLAIM).read_bytes()).start_time
    except ValidationError:  # the machine went down while the claim was written; the name alone is the claim
        start_time = datetime.fromtimestamp((folder / layout.CLAIM).stat().st_mtime, UTC)
    failure = folder / layout.FAILURE
    return AttemptRecord(
        number=number,
        start_time=start_time,
        resumed_from_step=resumed_from_step,
        failure=Failure.model_validate_json(failure.read_bytes()) if failure.exists() else None,
    )


def _taken(run: Path, number: int) -> Refused:
    return Refused("Superseded", f"Attempt {number} of {run.name} has been claimed already; start the next one instead.")
