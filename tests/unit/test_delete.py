"""Deleting a run's folder, and never anything else."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from objects import finetune
from raysmith.api import LLMFineTune, layout
from raysmith.api.common import to_wire
from raysmith_workloads.delete import delete
from raysmith_workloads.errors import Refused
from raysmith_workloads.objects import keep_object

UID = "6a1f0c52-0000-4000-8000-000000000000"


def run_object(storage: Path, **metadata: Any) -> LLMFineTune:
    document = finetune(output={"storage": f"file://{storage}"})
    document["metadata"] |= {"uid": UID, **metadata}
    return LLMFineTune.model_validate(document)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a finished run, with a link in it that leads out."""
    made = tmp_path / "storage" / "default" / f"run-{UID[:8]}"
    keep_object(run_object(tmp_path / "storage"), made)
    (made / "attempts" / "1").mkdir(parents=True)
    (made / "attempts" / "1" / "claim.json").write_text("{}")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("kept")
    (made / "link").symlink_to(tmp_path / "elsewhere")
    (made / "attempts" / "link").symlink_to(tmp_path / "elsewhere")
    return made


def everything_else(root: Path, folder: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if not path.is_relative_to(folder))


def test_the_folder_goes_and_nothing_else(tmp_path: Path, folder: Path) -> None:
    (folder.parent / "run-another").mkdir()
    (tmp_path / "storage" / ".prepared" / "d").mkdir(parents=True)
    others = everything_else(tmp_path, folder)
    delete(run_object(tmp_path / "storage"))
    assert not folder.exists()
    assert everything_else(tmp_path, folder) == others


def test_what_is_not_there_is_deleted_already(tmp_path: Path) -> None:
    delete(run_object(tmp_path / "storage"))


def test_a_deletion_that_was_cut_off_can_be_made_again(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            delete(run_object(tmp_path / "storage"))
    assert (folder / layout.OBJECT).exists()
    delete(run_object(tmp_path / "storage"))
    assert not folder.exists()


@pytest.mark.parametrize("owner", [{"uid": "6a1f0c52-another"}, {"name": "another"}, {"namespace": "another"}, {"uid": None}])
def test_a_folder_of_another_object_is_left_alone(tmp_path: Path, folder: Path, owner: dict[str, Any]) -> None:
    content = (folder / layout.OBJECT).read_text()
    document = json.loads(content)
    document["metadata"] |= owner
    (folder / layout.OBJECT).write_text(json.dumps(document))
    refused(tmp_path, "left alone")
    assert (folder / "attempts" / "1" / "claim.json").exists()


@pytest.mark.parametrize("content", ["", "{}", "[]"])
def test_a_folder_that_says_not_whose_it_is_is_left_alone(tmp_path: Path, folder: Path, content: str) -> None:
    (folder / layout.OBJECT).write_text(content)
    refused(tmp_path, "may be anybody's")
    (folder / layout.OBJECT).unlink()
    refused(tmp_path, "may be anybody's")
    assert (folder / "attempts" / "1" / "claim.json").exists()


@pytest.mark.parametrize("above", [0, 1])
def test_a_link_in_the_place_of_the_folder_or_above_it_is_not_followed(tmp_path: Path, folder: Path, above: int) -> None:
    linked = (folder, folder.parent)[above]
    moved = linked.rename(tmp_path / "moved")
    linked.symlink_to(moved)
    refused(tmp_path, "a link to")
    assert (folder / "attempts" / "1" / "claim.json").exists()


def refused(tmp_path: Path, words: str) -> None:
    with pytest.raises(Refused, match=words):
        delete(run_object(tmp_path / "storage"))


def test_the_command_says_what_it_did_and_why_it_did_not(tmp_path: Path, folder: Path) -> None:
    given, words = tmp_path / "given.json", tmp_path / "words"
    for metadata, code, said in (
        ({"uid": "6a1f0c52-another"}, 2, "it is left alone."),
        ({}, 0, f"{folder} is deleted."),
        ({}, 0, "nothing is deleted."),
    ):
        given.write_text(json.dumps(to_wire(run_object(tmp_path / "storage", **metadata))))
        done = subprocess.run(
            [sys.executable, "-m", "raysmith_workloads.delete", "--object", str(given)],
            env={**os.environ, "RAYSMITH_TERMINATION_LOG": str(words)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code
        assert (done.stdout + done.stderr).rstrip().endswith(said)
    assert json.loads(words.read_bytes())["reason"] == "FolderRefused"
