"""`python -m raysmith_workloads.prepare` as the operator starts it: real files, real Ray Data, and what is left behind."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from hub_mirror import hub_mirror
from preparing import Preparing, lines, rows
from raysmith.api import layout
from raysmith_workloads.prepare.plan import CHUNK_BYTES
from raysmith_workloads.prepare.shards import ShardReader

pytestmark = pytest.mark.real

Workload = Callable[..., subprocess.CompletedProcess[str]]
Started = Callable[..., AbstractContextManager[subprocess.Popen[bytes]]]
HELD_BACK = {"validation": {"fraction": 0.1}}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, run_workload: Workload) -> Preparing:
    """3,001 rows, one of them twice, of which a tenth is held back."""
    preparing = Preparing(tmp_path_factory.mktemp("prepared"), run_workload)
    source = preparing.write("rows.jsonl", lines([*rows(3000), rows(1)[0]]))
    result = preparing.run(source, data=HELD_BACK)
    assert (result.returncode, result.stderr) == (0, "")
    return preparing


def test_data_becomes_shards_questions_and_a_manifest(prepared: Preparing) -> None:
    manifest, folder = prepared.manifest(), prepared.prepared()
    assert (folder / layout.MANIFEST).read_text() == (prepared.storage / "default/run-01234567/prepared.json").read_text()
    assert manifest.train.rows + manifest.validation.rows == 3001
    assert 200 < manifest.validation.rows < 400
    assert manifest.train.duplicate_rows + manifest.validation.duplicate_rows == 1
    assert len(manifest.notes) == 1
    for split, counts in (("train", manifest.train), ("validation", manifest.validation)):
        reader = ShardReader(folder, split)
        assert (len(reader), sum(reader.lengths())) == (counts.sequences, counts.tokens)
        assert max(reader.lengths()) <= 256
    assert [path.name for path in prepared.storage.iterdir() if path.name.startswith(".")] == [".prepared"]
    assert [path for path in (prepared.storage / ".prepared").iterdir() if path != folder] == []

    questions = [json.loads(line) for line in (folder / layout.QUESTIONS).read_text().splitlines()]
    assert len(questions) == manifest.questions == 200
    assert all(
        question["messages"][-1]["content"].replace("What is row", "It is row number").replace("?", ".") == question["expected"]
        for question in questions
    )


def test_a_second_run_finds_what_the_first_has_made_and_needs_no_ray(prepared: Preparing) -> None:
    manifest = prepared.prepared() / layout.MANIFEST
    written = manifest.stat().st_mtime_ns
    again = prepared.run(f"file://{prepared.folder}/rows.jsonl", data=HELD_BACK, environment={"RAY_ADDRESS": "127.0.0.1:1"})
    assert (again.returncode, again.stderr) == (0, "")
    assert manifest.stat().st_mtime_ns == written


def test_what_is_held_back_occurs_nowhere_in_training(prepared: Preparing) -> None:
    from transformers import AutoTokenizer

    folder = prepared.prepared()
    tokenizer = AutoTokenizer.from_pretrained(folder / layout.TOKENIZER)
    reader = ShardReader(folder, "train")
    text = "".join(tokenizer.decode(reader[index].input_ids) for index in range(len(reader)))
    assert text.count("<|assistant|>") == prepared.manifest().train.rows
    for line in (folder / layout.QUESTIONS).read_text().splitlines():
        question = json.loads(line)
        assert question["messages"][-1]["content"] not in text
        assert f"<|assistant|>{question['expected']}<|end|>" not in text


def test_rows_keep_their_order_and_their_lines_over_many_tasks(preparing: Preparing) -> None:
    """Each task reads a chunk, and these are three; most of them is a column that is not read."""
    padding = "x" * 8000
    number = 5 * CHUNK_BYTES // 2 // len(padding)
    documents: list[dict[str, Any]] = [{"prompt": f"{n}", "completion": f"{n}", "note": padding} for n in range(number)]
    for place in (5, number // 2, number - 1):
        documents[place] = {"prompt": "q", "note": padding}
    report = json.loads(preparing.run(preparing.write("rows.jsonl", lines(documents)), "--check").stdout)
    assert [fault["place"].rpartition(":")[2] for fault in report["faults"]] == ["6", f"{number // 2 + 1}", f"{number}"]
    assert report["counts"] == {"NoAnswer": 3}


def test_a_preparation_that_is_stopped_leaves_nothing_half(
    preparing: Preparing, tokenizer: Path, tmp_path: Path, start_workload: Started
) -> None:
    """The last row is never done, so that the signal comes in the middle of the work on every machine."""
    contents = [*(rows(number) for number in (2, 3)), [{"prompt": "Wait.", "completion": "For ever."}]]
    sources = [preparing.write(f"{number}.jsonl", lines(content)) for number, content in enumerate(contents)]
    train = [{"name": f"part-{number}", "source": source} for number, source in enumerate(sources)]
    path = preparing.object_file("", data={"train": train}, model={"source": f"file://{tokenizer}"})
    output = tmp_path / "output"
    with start_workload("prepare", output, "--object", path) as process:
        while "rows read" not in preparing.said():
            assert process.poll() is None
            time.sleep(0.05)
        assert list(preparing.storage.glob(".prepared/.*.tmp/tokenizer/tokenizer.json")) != []
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 130
    assert output.read_text().splitlines()[-1].startswith("error: Interrupted")
    assert (preparing.failure().reason, preparing.failure().retryable) == ("Interrupted", True)
    assert preparing.left() == set()


def test_data_and_tokenizer_come_from_the_hub(preparing: Preparing, tokenizer: Path, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    preparing.write("hub/datasets/owner/rows/data/train.jsonl", lines(rows(50)))
    preparing.write("hub/datasets/owner/rows/README.md", b"# Rows\n")
    (hub / "models/owner").mkdir(parents=True)
    os.symlink(tokenizer, hub / "models/owner/model")
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
