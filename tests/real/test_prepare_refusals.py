"""Data that cannot be learned from, and places that cannot be written: a sentence each, and nothing is left."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from preparing import GOOD, Preparing, lines, rows

pytestmark = pytest.mark.real

Workload = Callable[..., subprocess.CompletedProcess[str]]
CORRECT = "Correct the row or take it out, then start again."
UNANSWERED = {"messages": [{"role": "user", "content": "What is it?"}]}
WITH_SYSTEM = {"messages": [{"role": "system", "content": "Be brief."}, *GOOD["messages"]]}
LATE = {"prompt": "word " * 200, "completion": "late"}


class Bad(NamedTuple):
    """One file of rows, and what is said about it."""

    rows: bytes | list[bytes]
    sentence: str
    name: str = "rows.jsonl"
    reason: str = "DataRefused"
    max_length: int = 256
    own_template: bool = False
    """Whether the rows are for a model that has a chat template."""


BAD = {
    "invalid JSON in row 731": Bad(
        [*lines([GOOD] * 730), b'{"messages": [}\n', *lines([GOOD] * 20)],
        "{folder}/rows.jsonl:731: the line is not valid JSON (Expecting value, at character 15). " + CORRECT,
    ),
    "a row without an answer": Bad(
        lines([GOOD, UNANSWERED]),
        "{folder}/rows.jsonl:2: the row has no answer (its last message is not by assistant). " + CORRECT,
    ),
    "bytes that are not UTF-8": Bad(
        [*lines([GOOD]), b'{"messages": "\xe9"}\n'],
        "{folder}/rows.jsonl:2: byte 15 of the line is not UTF-8 (0xe9). " + CORRECT,
    ),
    "many faults": Bad(
        [*lines([GOOD]), *lines([{"messages": 7}] * 2), *[b"{\n"] * 40],
        (
            "42 of 43 rows cannot be learned from. {folder}/rows.jsonl:2: messages must be a list and is a number. "
            "{folder}/rows.jsonl:3: messages must be a list and is a number. "
            "{folder}/rows.jsonl:4: the line is not valid JSON (Expecting property name enclosed in double quotes, at "
            "character 2). And 39 more (40 InvalidJson, 2 WrongType in all). Correct them or take them out, then start again."
        ),
    ),
    "an empty file": Bad(b"", "{folder}/rows.jsonl is empty; put rows into it or take it out of the data."),
    "unknown columns": Bad(
        lines([{"question": "q", "answer": "a"}]),
        (
            "{folder}/rows.jsonl:1: the columns are question, answer, and a row must have messages, or prompt and completion, "
            "or text; rename the columns of rows."
        ),
    ),
    "texts where answers are learned": Bad(
        b"Only prose.\n",
        (
            "rows has Text rows, and objective SFT learns answers; use objective Pretrain, or rows with messages or prompt and "
            "completion."
        ),
        name="rows.txt",
    ),
    "answers that are all cut away": Bad(
        lines([LATE] * 3),
        (
            "Nothing is left to learn: in all 3 training rows the answer begins beyond data.maxLength (16 tokens). "
            "Raise data.maxLength."
        ),
        max_length=16,
    ),
    "a row that the model's template cannot write": Bad(
        lines([GOOD, WITH_SYSTEM]),
        (
            "{folder}/rows.jsonl:2: the model's chat template cannot write this conversation (No system role). "
            "Change the row, or start from a model whose chat template can write it."
        ),
        reason="TemplateRefused",
        own_template=True,
    ),
}

EACH = """
import contextlib, io, json, sys
from raysmith_workloads.prepare.__main__ import main
for path in sys.argv[1:]:
    sys.argv = ["prepare", "--object", path]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = main()
    print(json.dumps([code, said.getvalue()]))
"""
"""Prepares one object after the other, because joining Ray takes longer than all of them."""


class Ended(NamedTuple):
    """How a preparation ended."""

    preparing: Preparing
    code: int
    errors: str


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path, run_workload: Workload) -> dict[str, Ended]:
    """Every one of BAD, prepared."""
    preparations = [Preparing(tmp_path_factory.mktemp("bad"), run_workload) for _ in BAD]
    objects = []
    for preparing, bad in zip(preparations, BAD.values(), strict=True):
        own = {"model": {"source": f"file://{tokenizer}"}} if bad.own_template else {}
        objects.append(preparing.object_file(preparing.write(bad.name, bad.rows), data={"maxLength": bad.max_length}, **own))
    done = subprocess.run([sys.executable, "-c", EACH, *map(str, objects)], capture_output=True, text=True, check=True)
    told = [Ended(preparing, *json.loads(line)) for preparing, line in zip(preparations, done.stdout.splitlines(), strict=True)]
    return dict(zip(BAD, told, strict=True))


@pytest.mark.parametrize("case", BAD)
def test_bad_data_is_refused_in_a_sentence_and_leaves_nothing(case: str, ended: dict[str, Ended]) -> None:
    preparing, code, errors = ended[case]
    message = BAD[case].sentence.format(folder=preparing.folder)
    assert (code, errors) == (2, f"error: {message}\n")
    failure = preparing.failure()
    assert (failure.reason, failure.message, failure.retryable) == (BAD[case].reason, message, False)
    assert preparing.left() == set()


def test_a_missing_file_is_refused(preparing: Preparing) -> None:
    result = preparing.run("file:///no/such/rows.jsonl")
    message = (
        "file:///no/such/rows.jsonl is not there: /no/such/rows.jsonl is no file or folder. Check the address of the data."
    )
    assert (result.returncode, result.stderr) == (2, f"error: {message}\n")
    assert (preparing.failure().reason, preparing.left()) == ("DataNotFound", set())


def test_a_storage_that_may_not_be_written_is_refused(preparing: Preparing) -> None:
    preparing.storage = Path("/sys/raysmith")  # not even root writes there
    result = preparing.run("builtin://dates-us")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: /sys/raysmith")
    assert "may not be written; give this user write permission there, or choose another place." in result.stderr
    assert "Traceback" not in result.stderr


def test_a_full_disk_is_refused_and_nothing_half_is_left(preparing: Preparing, tokenizer: Path, ray_address: str) -> None:
    """A limit of 200 KiB on files stands for the full disk, so that no test needs to fill one: the shard needs more."""
    path = preparing.object_file(preparing.write("rows.jsonl", lines(rows(5000))), model={"source": f"file://{tokenizer}"})
    command = [sys.executable, "-m", "raysmith_workloads.prepare", "--object", str(path)]
    result = subprocess.run(
        ["bash", "-c", 'ulimit -f 200 && exec "$@"', "bash", *command], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: No room left to write {preparing.storage}/.prepared/")
    assert result.stderr.endswith("; free some space there, then start again.\n")
    assert (preparing.failure().reason, preparing.failure().retryable) == ("StorageFull", True)
    assert preparing.left() == set()
