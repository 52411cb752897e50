"""What a container leaves for the kubelet: JSON that fits, whatever happened."""

import json
from pathlib import Path

import pytest

from raysmith.api.record import DataSplit, Prepared
from raysmith_workloads.errors import Refused
from raysmith_workloads.termination import LIMIT_BYTES, VARIABLE, fitting, reason_told, tell_prepared


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "termination-log"))
    return tmp_path / "termination-log"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Refused("DataRefused", "Row 7 has no answer."), ("DataRefused", "Row 7 has no answer.", False)),
        (Refused("StorageFull", "No room.", retryable=True), ("StorageFull", "No room.", True)),
        (KeyError("x"), ("PreparationFailed", "KeyError: 'x'. The whole story is in the process's output.", True)),
    ],
)
def test_a_failure_is_told_with_its_reason(error: Exception, expected: tuple[str, str, bool], words: Path) -> None:
    with pytest.raises(type(error)), reason_told("PreparationFailed"):
        raise error
    told = json.loads(words.read_bytes())
    assert (told["reason"], told["message"], told["retryable"]) == expected


def test_a_preparation_that_ends_well_tells_what_it_has_made(words: Path) -> None:
    split = DataSplit(rows=10, sequences=4, tokens=1000, supervised_tokens=200, truncated_rows=1, duplicate_rows=2)
    notes = [f"note {number}" for number in range(9)]
    tell_prepared(Prepared(digest="d", data_digest="d", train=split, validation=DataSplit(), max_length=8, notes=notes))
    assert json.loads(words.read_bytes()) == {
        "rows": 10,
        "sequences": 4,
        "tokens": 1000,
        "supervisedTokens": 200,
        "truncatedRows": 1,
        "duplicateRows": 2,
        "notes": notes[:5],
    }


@pytest.mark.parametrize("letter", ["a", "é", "\U0001f600", '"', "\x00"])
@pytest.mark.parametrize("length", [0, 1000, 4000, 4096, 100_000])
def test_whatever_is_told_fits_and_is_json(letter: str, length: int) -> None:
    failure = json.loads(short := fitting({"reason": "R", "message": letter * length, "retryable": True}))
    assert len(short) <= LIMIT_BYTES
    assert failure["message"].rstrip("…") == letter * len(failure["message"].rstrip("…"))
    summary = json.loads(short := fitting({"rows": 1, "notes": ["first", *[letter * length] * 4]}))
    assert len(short) <= LIMIT_BYTES
    assert summary["notes"][0] == "first"


def test_without_a_file_to_tell_it_to_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(Refused), reason_told("PreparationFailed"):
        raise Refused("DataRefused", "No.")


def test_a_file_that_cannot_be_written_hides_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/nowhere/termination-log")
    with pytest.raises(Refused, match="No rows"), reason_told("PreparationFailed"):
        raise Refused("DataRefused", "No rows.")
