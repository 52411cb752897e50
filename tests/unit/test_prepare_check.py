"""What `prepare --check` says of an object: its problems with their fields, and what could not be tried. Without Ray."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from objects import finetune
from raysmith.api import LLMFineTune
from raysmith_workloads.prepare import check as checking
from raysmith_workloads.prepare.check import check
from raysmith_workloads.prepare.stream import Part, Settings, process
from raysmith_workloads.prepare.tokenizer import train_tokenizer

ROW = {"prompt": "What is it?", "completion": "It is good."}


def stream_without_ray(parts: list[Part], settings: Settings) -> Iterator[pa.Table]:
    for part in parts:
        yield from process(part, settings)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with rows.jsonl, text.jsonl and a model's tokenizer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checking, "stream", stream_without_ray)
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(ROW)}\n" * 3)
    (tmp_path / "text.jsonl").write_text('{"text": "What is it? It is good."}\n')
    train_tokenizer(["What is it? It is good. " * 50], 64).save_pretrained(tmp_path / "model")
    return tmp_path


def report(rows: str = "rows.jsonl", max_length: int = 64, **spec: Any) -> dict[str, Any]:
    data = {"train": [{"name": "rows", "source": f"file://{rows}"}], "maxLength": max_length}
    model = {"source": f"file://{Path.cwd()}/model"}
    return check(LLMFineTune.model_validate(finetune(data=data, **({"model": model} | spec))))


def problems(**spec: Any) -> list[tuple[str, str]]:
    return [(problem["field"], problem["message"]) for problem in report(**spec)["problems"]]


def test_rows_that_the_model_can_learn_from_are_no_problem_whatever_model_it_is(folder: Path) -> None:
    for said in (report(), report(model={"source": "builtin://tiny"})):
        assert (said["rows"], said["problems"]) == ({"train": 3, "validation": 0}, [])
        assert said["notes"] == ["Found more than once, word for word: 2 of 3 training rows."]
    said = report(rows="text.jsonl", objective="Pretrain")
    assert (said["problems"], said["notes"]) == ([], [])


@pytest.mark.parametrize(
    ("objective", "rows", "what"), [("SFT", "rows.jsonl", "chat template"), ("Pretrain", "text.jsonl", "tokenizer")]
)
def test_what_cannot_be_tried_before_another_run_is_said(folder: Path, objective: str, rows: str, what: str) -> None:
    said = report(rows=rows, objective=objective, model={"fineTune": {"name": "base"}}, max_length=8)
    assert said["problems"] == []
    assert said["notes"][0] == (
        f"The rows were read, but the model's {what} was not tried on them: LLMFineTune base, which the run goes on from, has "
        "no result here yet."
    )


def test_answers_that_would_all_be_cut_away_are_a_problem_of_the_data(folder: Path) -> None:
    (folder / "rows.jsonl").write_text(json.dumps({"prompt": "What is it? " * 50, "completion": "late"}) + "\n")
    assert problems(max_length=16) == [
        (
            "spec.data",
            (
                "Nothing is left to learn: in all 1 training rows the answer begins beyond data.maxLength (16 tokens). "
                "Raise data.maxLength."
            ),
        )
    ]


def test_a_model_that_cannot_read_so_much_is_a_problem_of_the_length(folder: Path) -> None:
    (folder / "model" / "config.json").write_text('{"max_position_embeddings": 32}')
    assert problems() == [
        (
            "spec.data.maxLength",
            f"spec.data.maxLength is 64, but file://{folder}/model was made for 32 positions; set maxLength to 32 or less.",
        )
    ]


def test_a_model_without_a_tokenizer_is_a_problem_of_the_model_and_hides_none_of_the_rows(folder: Path) -> None:
    (folder / "model" / "tokenizer.json").unlink()
    (folder / "rows.jsonl").write_text(f"{json.dumps(ROW)}\n{{\n")
    (model, _), (data, message) = problems()
    assert (model, data) == ("spec.model", "spec.data")
    assert message.startswith("rows.jsonl:2: the line is not valid JSON")
