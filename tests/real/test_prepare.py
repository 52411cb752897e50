"""`python -m raysmith_workloads.prepare` as the operator starts it: real files, real Ray Data, and what is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from hub_mirror import hub_mirror
from objects import finetune
from raysmith.api import LLMFineTune, layout
from raysmith.api.common import to_wire
from raysmith.api.record import Failure, Prepared
from raysmith_workloads.prepare.shards import ShardReader
from raysmith_workloads.prepare.tokenizer import train_tokenizer
from raysmith_workloads.report import read_progress

pytestmark = pytest.mark.real

Workload = Callable[..., subprocess.CompletedProcess[str]]
Started = Callable[..., AbstractContextManager[subprocess.Popen[bytes]]]
GOOD = {"messages": [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "It is good."}]}
ONLY_USER = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('No system role') }}{% endif %}"
    "{% if m['content'] == 'Wait.' %}{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}{% endif %}"
    "{{ m['content'] + eos_token }}{% endfor %}"
)
"""Knows no system role, and is busy for days with a message `Wait.`."""


def rows(number: int) -> list[dict[str, str]]:
    return [{"prompt": f"What is row {n}?", "completion": f"It is row number {n}."} for n in range(number)]


def lines(documents: list[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(document).encode() + b"\n" for document in documents]


class Preparing:
    """One object's preparation below a folder of its own."""

    def __init__(self, folder: Path, start: Workload) -> None:
        self.folder = folder
        self.storage = folder / "store"
        self._start = start

    def object_file(self, source: str, **spec: Any) -> Path:
        data = {"train": [{"name": "rows", "source": source}], "maxLength": 256, **spec.pop("data", {})}
        document = finetune(name="run", data=data, output={"storage": f"file://{self.storage}"}, **spec)
        document["metadata"]["uid"] = "0123456789abcdef"
        document["status"] = {"attempt": 2, **spec.get("status", {})}
        path = self.folder / "object.json"
        path.write_text(json.dumps(to_wire(LLMFineTune.model_validate(document))))
        return path

    def run(
        self, source: str, *arguments: str, environment: dict[str, str] | None = None, **spec: Any
    ) -> subprocess.CompletedProcess[str]:
        return self._start("prepare", "--object", self.object_file(source, **spec), *arguments, **(environment or {}))

    def write(self, name: str, content: bytes | list[bytes]) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else b"".join(content))
        return f"file://{path}"

    def manifest(self) -> Prepared:
        return Prepared.model_validate_json((self.storage / "default/run-01234567" / layout.PREPARED).read_bytes())

    def prepared(self) -> Path:
        return Path(layout.prepared_folder(str(self.storage), self.manifest().digest))

    def failure(self) -> Failure:
        return Failure.model_validate_json((self.storage / "default/run-01234567/attempts/2" / layout.FAILURE).read_bytes())

    def said(self) -> str:
        """What the preparation has said last, so that people can watch it."""
        progress = read_progress(self.storage / "default/run-01234567/attempts/2")
        return (progress and progress.message) or ""

    def left(self) -> set[str]:
        """Names of the files in storage, but for what an attempt says about itself and about whose it is."""
        said = {layout.PROGRESS, layout.FAILURE, layout.OBJECT}
        return {
            str(path.relative_to(self.storage)) for path in self.storage.rglob("*") if path.is_file() and path.name not in said
        }


@pytest.fixture
def preparing(tmp_path: Path, run_workload: Workload) -> Preparing:
    return Preparing(tmp_path, run_workload)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder as far as preparing looks at it: a tokenizer whose template knows no system role."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = train_tokenizer(["What is it? It is row number 0123456789. " * 50], 256)
    tokenizer.chat_template = ONLY_USER
    tokenizer.save_pretrained(folder)
    return folder


def test_data_becomes_shards_questions_and_a_manifest_and_a_second_run_finds_them(preparing: Preparing) -> None:
    source = preparing.write("rows.jsonl", lines([*rows(3000), rows(1)[0]]))
    result = preparing.run(source, data={"validation": {"fraction": 0.1}})
    assert (result.returncode, result.stderr) == (0, "")
    manifest, folder = preparing.manifest(), preparing.prepared()
    assert (folder / layout.MANIFEST).read_text() == (preparing.storage / "default/run-01234567/prepared.json").read_text()
    assert manifest.train.rows + manifest.validation.rows == 3001
    assert 200 < manifest.validation.rows < 400
    assert manifest.train.duplicate_rows + manifest.validation.duplicate_rows == 1
    assert len(manifest.notes) == 1
    for split, counts in (("train", manifest.train), ("validation", manifest.validation)):
        reader = ShardReader(folder, split)
        assert (len(reader), sum(reader.lengths())) == (counts.sequences, counts.tokens)
        assert max(reader.lengths()) <= 256
    assert [path.name for path in preparing.storage.iterdir() if path.name.startswith(".")] == [".prepared"]
    assert [path for path in (preparing.storage / ".prepared").iterdir() if path != folder] == []

    questions = [json.loads(line) for line in (folder / layout.QUESTIONS).read_text().splitlines()]
    assert len(questions) == manifest.questions == 200
    assert all(
        question["messages"][-1]["content"].replace("What is row", "It is row number").replace("?", ".") == question["expected"]
        for question in questions
    )

    written = (folder / layout.MANIFEST).stat().st_mtime_ns
    assert (
        preparing.run(source, data={"validation": {"fraction": 0.1}}, environment={"RAY_ADDRESS": "127.0.0.1:1"}).returncode
        == 0
    )
    assert (folder / layout.MANIFEST).stat().st_mtime_ns == written


def test_what_is_held_back_occurs_nowhere_in_training(preparing: Preparing) -> None:
    result = preparing.run("builtin://dates-in-words", data={"validation": {"fraction": 0.05}})
    assert (result.returncode, result.stderr) == (0, "")
    from transformers import AutoTokenizer

    folder = preparing.prepared()
    tokenizer = AutoTokenizer.from_pretrained(folder / layout.TOKENIZER)
    reader = ShardReader(folder, "train")
    text = "".join(tokenizer.decode(reader[index].input_ids) for index in range(len(reader)))
    assert text.count("<|assistant|>") == preparing.manifest().train.rows
    for line in (folder / layout.QUESTIONS).read_text().splitlines():
        question = json.loads(line)
        assert question["messages"][-1]["content"] not in text
        assert f"<|assistant|>{question['expected']}<|end|>" not in text


def test_rows_keep_their_order_and_their_lines_over_many_tasks(preparing: Preparing) -> None:
    padding = "x " * 200
    documents: list[dict[str, Any]] = [{"prompt": f"{n} {padding}", "completion": f"{n}"} for n in range(40_000)]
    documents[39_999] = documents[20_000] = documents[5] = {"prompt": "q"}
    report = json.loads(preparing.run(preparing.write("rows.jsonl", lines(documents)), "--check").stdout)
    assert [fault["place"].rpartition(":")[2] for fault in report["faults"]] == ["6", "20001", "40000"]
    assert report["counts"] == {"NoAnswer": 3}


BAD_ROWS = {
    "invalid JSON in row 731": (
        "rows.jsonl",
        [*lines([GOOD] * 730), b'{"messages": [}\n', *lines([GOOD] * 20)],
        (
            "{folder}/rows.jsonl:731: the line is not valid JSON (Expecting value, at character 15). "
            "Correct the row or take it out, then start again."
        ),
    ),
    "a row without an answer": (
        "rows.jsonl",
        lines([GOOD, {"messages": [{"role": "user", "content": "What is it?"}]}]),
        (
            "{folder}/rows.jsonl:2: the row has no answer (its last message is not by assistant). "
            "Correct the row or take it out, then start again."
        ),
    ),
    "bytes that are not UTF-8": (
        "rows.jsonl",
        [*lines([GOOD]), b'{"messages": "\xe9"}\n'],
        "{folder}/rows.jsonl:2: byte 15 of the line is not UTF-8 (0xe9). Correct the row or take it out, then start again.",
    ),
    "many faults": (
        "rows.jsonl",
        [*lines([GOOD]), *lines([{"messages": 7}] * 2), *[b"{\n"] * 40],
        (
            "42 of 43 rows cannot be learned from. {folder}/rows.jsonl:2: messages must be a list and is a number. "
            "{folder}/rows.jsonl:3: messages must be a list and is a number. "
            "{folder}/rows.jsonl:4: the line is not valid JSON (Expecting property name enclosed in double quotes, at "
            "character 2). And 39 more (40 InvalidJson, 2 WrongType in all). Correct them or take them out, then start again."
        ),
    ),
    "an empty file": ("rows.jsonl", b"", "{folder}/rows.jsonl is empty; put rows into it or take it out of the data."),
    "unknown columns": (
        "rows.jsonl",
        lines([{"question": "q", "answer": "a"}]),
        (
            "{folder}/rows.jsonl:1: the columns are question, answer, and a row must have messages, or prompt and completion, "
            "or text; rename the columns of rows."
        ),
    ),
    "texts where answers are learned": (
        "rows.txt",
        b"Only prose.\n",
        (
            "rows has Text rows, and objective SFT learns answers; use objective Pretrain, or rows with messages or prompt and "
            "completion."
        ),
    ),
}


@pytest.mark.parametrize(("name", "content", "sentence"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_bad_data_is_refused_in_a_sentence_and_leaves_nothing(
    preparing: Preparing, name: str, content: bytes | list[bytes], sentence: str
) -> None:
    result = preparing.run(preparing.write(name, content))
    message = sentence.format(folder=preparing.folder)
    assert (result.returncode, result.stderr) == (2, f"error: {message}\n")
    failure = preparing.failure()
    assert (failure.reason, failure.message, failure.retryable) == ("DataRefused", message, False)
    assert preparing.left() == set()


def test_a_missing_file_is_refused(preparing: Preparing) -> None:
    result = preparing.run("file:///no/such/rows.jsonl")
    message = (
        "file:///no/such/rows.jsonl is not there: /no/such/rows.jsonl is no file or folder. Check the address of the data."
    )
    assert (result.returncode, result.stderr) == (2, f"error: {message}\n")
    assert (preparing.failure().reason, preparing.left()) == ("DataNotFound", set())


def test_answers_that_are_all_cut_away_are_refused(preparing: Preparing) -> None:
    source = preparing.write("rows.jsonl", lines([{"prompt": "word " * 200, "completion": "late"}] * 3))
    result = preparing.run(source, data={"maxLength": 16})
    assert (result.returncode, result.stderr) == (
        2,
        (
            "error: Nothing is left to learn: in all 3 training rows the answer begins beyond data.maxLength (16 tokens). "
            "Raise data.maxLength.\n"
        ),
    )
    assert preparing.left() == set()


def test_a_template_that_cannot_write_a_row_is_refused_in_its_own_words(preparing: Preparing, model: Path) -> None:
    bad = {"messages": [{"role": "system", "content": "Be brief."}, *GOOD["messages"]]}
    result = preparing.run(preparing.write("rows.jsonl", lines([GOOD, bad])), model={"source": f"file://{model}"})
    assert (result.returncode, result.stderr) == (
        2,
        (
            f"error: {preparing.folder}/rows.jsonl:2: the model's chat template cannot write this conversation "
            "(No system role). Change the row, or start from a model whose chat template can write it.\n"
        ),
    )
    assert (preparing.failure().reason, preparing.left()) == ("TemplateRefused", set())


def test_a_storage_that_may_not_be_written_is_refused(preparing: Preparing) -> None:
    preparing.storage = Path("/sys/raysmith")  # not even root writes there
    result = preparing.run("builtin://dates-us")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: /sys/raysmith")
    assert "may not be written; give this user write permission there, or choose another place." in result.stderr
    assert "Traceback" not in result.stderr


def test_a_full_disk_is_refused_and_nothing_half_is_left(preparing: Preparing, ray_address: str) -> None:
    """A limit of 1 MiB on files stands for the full disk, so that no test needs to fill one: the shard needs more."""
    command = [
        sys.executable,
        "-m",
        "raysmith_workloads.prepare",
        "--object",
        str(preparing.object_file("builtin://dates-in-words")),
    ]
    result = subprocess.run(
        ["bash", "-c", 'ulimit -f 1024 && exec "$@"', "bash", *command], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: No room left to write {preparing.storage}/.prepared/")
    assert result.stderr.endswith("; free some space there, then start again.\n")
    assert (preparing.failure().reason, preparing.failure().retryable) == ("StorageFull", True)
    assert preparing.left() == set()


def test_a_preparation_that_is_stopped_leaves_nothing_half(
    preparing: Preparing, model: Path, tmp_path: Path, start_workload: Started
) -> None:
    """The last row is never done, so that the signal comes in the middle of the work on every machine."""
    contents = [*(rows(number) for number in (2, 3)), [{"prompt": "Wait.", "completion": "For ever."}]]
    sources = [preparing.write(f"{number}.jsonl", lines(content)) for number, content in enumerate(contents)]
    train = [{"name": f"part-{number}", "source": source} for number, source in enumerate(sources)]
    path = preparing.object_file("", data={"train": train}, model={"source": f"file://{model}"})
    output = tmp_path / "output"
    with start_workload("prepare", output, "--object", path) as process:
        while "rows read" not in preparing.said():
            assert process.poll() is None, output.read_text()
            time.sleep(0.05)
        assert list(preparing.storage.glob(".prepared/.*.tmp/tokenizer/tokenizer.json")) != []
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 130, output.read_text()
    assert output.read_text().splitlines()[-1].startswith("error: Interrupted")
    assert (preparing.failure().reason, preparing.failure().retryable) == ("Interrupted", True)
    assert preparing.left() == set()


def test_data_and_tokenizer_come_from_the_hub(preparing: Preparing, model: Path, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    preparing.write("hub/datasets/owner/rows/data/train.jsonl", lines(rows(50)))
    preparing.write("hub/datasets/owner/rows/README.md", b"# Rows\n")
    (hub / "models/owner").mkdir(parents=True)
    os.symlink(model, hub / "models/owner/model")
    with hub_mirror(hub, token="secret-of-the-test") as endpoint:
        environment = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "secret-of-the-test"}
        source: dict[str, Any] = {"model": {"source": "hf://owner/model"}}
        result = preparing.run("hf://datasets/owner/rows@main", environment=environment, **source)
        refused = preparing.run(
            "hf://datasets/owner/rows@main",
            environment=environment | {"HF_TOKEN": "wrong", "HF_HOME": str(tmp_path / "other")},
            **source,
        )
    assert (result.returncode, result.stderr) == (0, "")
    assert preparing.manifest().train.rows == 50
    assert preparing.manifest().notes == ["rows: the files README.md are not read."]
    assert refused.returncode == 2
    assert refused.stderr == (
        "error: hf://datasets/owner/rows@main was not found on the hub; check the name, or give a token that may read it "
        "(HF_TOKEN, secretRef).\n"
    )


def test_checking_reads_everything_and_writes_nothing(preparing: Preparing) -> None:
    source = preparing.write("rows.jsonl", lines([row | {"id": "7"} for row in rows(500)]))
    result = preparing.run(source, "--check", data={"validation": {"fraction": 0.1}})
    assert (result.returncode, result.stderr) == (0, "")
    report = json.loads(result.stdout)
    assert sum(report["rows"].values()) == 500
    assert (report["faults"], report["problems"], report["notes"]) == ([], [], ["rows: the columns id are not read."])

    preparing.write("rows.jsonl", [*lines(rows(500)), b"{\n"])
    result = preparing.run(source, "--check")
    report = json.loads(result.stdout)
    assert (result.returncode, report["faults"][0]["place"]) == (2, f"{preparing.folder}/rows.jsonl:501")
    assert [problem["field"] for problem in report["problems"]] == ["spec.data"]
    assert result.stderr.startswith(f"error: {preparing.folder}/rows.jsonl:501: the line is not valid JSON")
    assert not preparing.storage.exists()
