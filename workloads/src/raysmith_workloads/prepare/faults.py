"""What can be wrong with rows, and the one sentence that a run is refused with.

Every fault has its place, `file:line`, so that an editor opens it. The first NAMED faults are kept, the others counted.
"""

from collections import Counter
from enum import StrEnum
from typing import Final, NamedTuple

from raysmith_workloads.errors import Refused

KEPT: Final = 20
"""Faults that are kept with their place."""

NAMED: Final = 3
"""Faults that the sentence names."""


class FaultKind(StrEnum):
    """Kinds of faults, for counting."""

    INVALID_JSON = "InvalidJson"
    INVALID_CSV = "InvalidCsv"
    INVALID_PARQUET = "InvalidParquet"
    NOT_UTF8 = "NotUtf8"
    WRONG_TYPE = "WrongType"
    MISSING_COLUMN = "MissingColumn"
    NO_ANSWER = "NoAnswer"
    EMPTY_TEXT = "EmptyText"
    UNKNOWN_ROLE = "UnknownRole"
    ROLES_OUT_OF_ORDER = "RolesOutOfOrder"
    NOT_BUILT = "NotBuilt"
    TEMPLATE = "TemplateCannotRender"


class RowFault(Exception):  # noqa: N818 - a finding about a row, caught where rows are read
    """A row cannot be learned from; the message is the part of the sentence after the place."""

    def __init__(self, kind: FaultKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class Fault(NamedTuple):
    """A row that cannot be learned from."""

    place: str
    """`file:line`."""
    kind: FaultKind
    message: str


class Faults:
    """The first faults in the order of the data, and how many there are of each kind."""

    def __init__(self) -> None:
        self.first: list[Fault] = []
        self.counts: Counter[FaultKind] = Counter()

    def add(self, fault: Fault) -> None:
        """Count one more."""
        self.counts[fault.kind] += 1
        if len(self.first) < KEPT:
            self.first.append(fault)

    def refusal(self, rows: int) -> Refused:
        """Why the run is refused. `rows` is how many rows there are in all."""
        reason = "TemplateRefused" if set(self.counts) == {FaultKind.TEMPLATE} else "DataRefused"
        named = " ".join(f"{fault.place}: {fault.message}." for fault in self.first[:NAMED])
        number = self.counts.total()
        if number == 1:
            return Refused(reason, f"{named} {_REMEDY[reason][0]}")
        more = f" And {number - NAMED:,} more ({_listed(self.counts)} in all)." if number > NAMED else ""
        return Refused(reason, f"{number:,} of {rows:,} rows cannot be learned from. {named}{more} {_REMEDY[reason][1]}")


_REMEDY: Final = {
    "DataRefused": ("Correct the row or take it out, then start again.", "Correct them or take them out, then start again."),
    "TemplateRefused": (
        "Change the row, or start from a model whose chat template can write it.",
        "Change the rows, or start from a model whose chat template can write them.",
    ),
}


def _listed(counts: Counter[FaultKind]) -> str:
    return ", ".join(f"{number:,} {kind}" for kind, number in counts.most_common())
