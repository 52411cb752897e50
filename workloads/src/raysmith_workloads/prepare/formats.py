"""How the rows of a source are laid out: as the object says, or found out from the columns of the first row."""

from typing import NamedTuple

from raysmith.api.finetune import DataFormat, Dataset, Objective
from raysmith_workloads.errors import Refused
from raysmith_workloads.prepare.faults import Fault, Faults
from raysmith_workloads.prepare.plan import Chunk
from raysmith_workloads.prepare.read import read_chunk
from raysmith_workloads.prepare.rows import COLUMNS, detect_format, fits


class SourceFormat(NamedTuple):
    """The format of a source's rows, and the columns of its first row that it has no use for."""

    format: DataFormat
    unread: list[str]


def source_format(dataset: Dataset, first: Chunk, objective: Objective) -> SourceFormat:
    """The format of the rows of `dataset`, whose first chunk is `first`. Raises Refused (`DataRefused`).

    A first chunk without a single readable row is refused here, with its faults.
    """
    line, columns = _first_columns(first)
    form = dataset.format or detect_format(columns)
    if form is None:
        raise Refused(
            "DataRefused",
            f"{first.label}:{line}: the columns are {_listed(columns)}, and a row must have messages, or prompt and "
            f"completion, or text; rename the columns of {dataset.name}.",
        )
    if not fits(form, objective):
        raise Refused("DataRefused", f"{dataset.name} has {form} rows, {_MISFITS[objective]}")
    return SourceFormat(form, [column for column in columns if column not in COLUMNS[form]])


_MISFITS = {
    Objective.PRETRAIN: "and objective Pretrain learns texts; use objective SFT, or rows with the column text.",
    Objective.SFT: "and objective SFT learns answers; use objective Pretrain, or rows with messages or prompt and completion.",
    Objective.DPO: "which objective DPO does not learn from.",
}


def _first_columns(chunk: Chunk) -> tuple[int, list[str]]:
    faults, rows = Faults(), 0
    for rows, row in enumerate(read_chunk(chunk), 1):  # noqa: B007 - counted for the refusal below
        if not isinstance(row, Fault):
            return row.line, list(row.values)
        faults.add(row)
    raise faults.refusal(rows)


def _listed(columns: list[str]) -> str:
    return ", ".join(columns[:8]) + (", ..." if len(columns) > 8 else "") or "none"
