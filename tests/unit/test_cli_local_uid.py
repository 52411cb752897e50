"""When two local runs are the same run."""

from pathlib import Path
from typing import Any

import pytest

from raysmith.api import LLMFineTune
from raysmith.api.common import Artifact
from raysmith.cli.local_uid import contents_digest, local_uid


def finetune(name: str = "a", **spec: Any) -> LLMFineTune:
    whole = {
        "model": {"source": "builtin://tiny"},
        "data": {"train": [{"name": "rows", "source": "file:///data/rows.jsonl"}]},
        "method": {"full": {}},
    }
    return LLMFineTune.model_validate({"metadata": {"name": name}, "spec": whole | spec})


def base(digit: str) -> Artifact:
    return Artifact(uri="pvc://store/x", digest="sha256:" + digit * 64)


def uid(obj: LLMFineTune, artifact: Artifact | None = None, contents: str = "same") -> str:
    return local_uid(obj, artifact, lambda _: contents)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(uid(finetune(training={"learningRate": 1e-3})), id="another learning rate"),
        pytest.param(uid(finetune(), contents="changed"), id="a changed data file"),
        pytest.param(uid(finetune(), base("1")), id="another base"),
        pytest.param(uid(finetune(name="b")), id="another name"),
    ],
)
def test_it_is_another_run_with(other: str) -> None:
    assert other != uid(finetune())


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(uid(finetune(suspend=True)), id="suspend set"),
        pytest.param(uid(finetune(ttlSecondsAfterFinished=60)), id="a time to live"),
        pytest.param(uid(finetune(objective="SFT")), id="a default written out"),
        pytest.param(
            uid(finetune(data={"train": [{"name": "rows", "source": "file:///elsewhere/moved.jsonl"}]})), id="its data moved"
        ),
    ],
)
def test_it_is_the_same_run_with(same: str) -> None:
    assert same == uid(finetune())


def test_two_results_of_the_same_base_run_are_two_bases() -> None:
    assert uid(finetune(), base("1")) != uid(finetune(), base("2"))


def test_the_digest_of_a_folder_changes_with_contents_and_names_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("1")
    one = contents_digest(tmp_path)
    (tmp_path / "a.jsonl").write_text("2")
    two = contents_digest(tmp_path)
    (tmp_path / "a.jsonl").rename(tmp_path / "b.jsonl")
    assert len({one, two, contents_digest(tmp_path)}) == 3


def test_a_glob_counts_the_files_that_it_matches(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("1")
    before = contents_digest(tmp_path / "*.jsonl")
    (tmp_path / "notes.txt").write_text("not data")
    assert contents_digest(tmp_path / "*.jsonl") == before
    (tmp_path / "b.jsonl").write_text("2")
    assert contents_digest(tmp_path / "*.jsonl") != before
