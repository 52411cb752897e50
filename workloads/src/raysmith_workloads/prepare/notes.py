"""What a person should know about the data, and when there is nothing to learn from it."""

from collections.abc import Iterator

from raysmith.api.finetune import Validation
from raysmith_workloads.errors import Refused
from raysmith_workloads.prepare.collect import Collected


def notes(collected: Collected, max_length: int) -> Iterator[str]:
    """Sentences on what was cut, left out or found twice."""
    for side, split in (("training", collected.train), ("validation", collected.validation)):
        if split.truncated_rows:
            yield f"Cut at data.maxLength ({max_length:,} tokens): {split.truncated_rows:,} of {split.rows:,} {side} rows."
        if split.duplicate_rows:
            yield f"Found more than once, word for word: {split.duplicate_rows:,} of {split.rows:,} {side} rows."
    if collected.unlearnable:
        yield f"Left out, because their answers lie beyond data.maxLength: {collected.unlearnable:,} rows."
    if collected.leaked:
        yield f"Left out of training, because they are validation rows too: {collected.leaked:,} rows."


def unread(name: str, columns: list[str], files: list[str]) -> Iterator[str]:
    """Sentences on what a source holds and nobody asked for."""
    if columns:
        yield f"{name}: the columns {', '.join(columns)} are not read."
    if files:
        more = f" and {len(files) - 3:,} more" if len(files) > 3 else ""
        yield f"{name}: the files {', '.join(files[:3])}{more} are not read."


def check_enough(collected: Collected, validation: Validation | None, max_length: int, *, encoded: bool) -> None:
    """Raises Refused (`DataRefused`) if there is nothing to learn or, where that was asked for, nothing to measure on.

    `encoded` says whether the rows were tokenised, so that learned tokens can be missed.
    """
    if collected.train.rows == 0:
        raise Refused("DataRefused", f"No row is left to train on.{_because(collected)} Give more rows.")
    if encoded and collected.train.supervised_tokens == 0:
        raise Refused(
            "DataRefused",
            f"Nothing is left to learn: in all {collected.train.rows:,} training rows the answer begins beyond data.maxLength "
            f"({max_length:,} tokens). Raise data.maxLength.",
        )
    if validation is None:
        return
    if collected.validation.rows == 0:
        raise Refused(
            "DataRefused",
            f"data.validation.fraction {validation.fraction:g} of {collected.train.rows:,} rows holds no row back to measure "
            "on; give more rows or a larger fraction."
            if validation.fraction
            else "The data.validation.datasets have no rows to measure on.",
        )
    if encoded and collected.validation.supervised_tokens == 0:
        raise Refused(
            "DataRefused",
            f"Nothing is left to measure on: in all validation rows the answer begins beyond data.maxLength ({max_length:,} "
            "tokens). Raise data.maxLength.",
        )


def _because(collected: Collected) -> str:
    if collected.leaked:
        return f" All {collected.leaked:,} training rows are validation rows too."
    return f" All {collected.validation.rows:,} rows are held back for validation."
