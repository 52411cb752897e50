"""Checkpoints: whole or not at all, the newest whole one counts, an older attempt writes nothing more."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from full_disk import full_disk
from raysmith.api import layout
from raysmith_workloads.errors import Refused
from raysmith_workloads.finetune import checkpoint
from raysmith_workloads.finetune.attempts import claim
from raysmith_workloads.finetune.checkpoint import Commit, Position

Damage = Callable[[Path], object]


def save(run: Path, attempt: int, step: int) -> Path:
    folder = run / layout.checkpoint_folder(attempt, step)
    checkpoint.make_folder(folder)
    names = (checkpoint.MODEL, checkpoint.OPTIMIZER, checkpoint.random_file(0))
    files = {name: checkpoint.write_tensors(folder, name, {"a": torch.full((8,), float(step))}) for name in names}
    checkpoint.commit(run, folder, Commit(attempt, 1, Position(step=step, samples=4 * step, losses=(2.0, 1.5)), files))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with one attempt and checkpoints of steps 60 and 120."""
    claim(tmp_path, 1)
    save(tmp_path, 1, 60)
    save(tmp_path, 1, 120)
    return tmp_path


def find(run: Path, attempt: int = 1) -> tuple[int | None, list[str]]:
    said: list[str] = []
    found = checkpoint.find(run, attempt, said.append)
    return (found.commit.position.step if found else None), said


def test_the_newest_checkpoint_is_found_without_a_word(run: Path) -> None:
    assert find(run) == (120, [])


def test_a_checkpoint_gives_back_what_was_saved(run: Path) -> None:
    found = checkpoint.find(run, 1, print)
    assert found is not None
    assert found.commit.position == Position(step=120, samples=480, losses=(2.0, 1.5))
    torch.testing.assert_close(checkpoint.read_tensors(found, checkpoint.MODEL), {"a": torch.full((8,), 120.0)})


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def drop_digests(path: Path) -> None:
    record = json.loads(path.read_text())
    del record["files"]
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("file", "damage", "reason"),
    [
        pytest.param("model.safetensors", flip_a_bit, "model.safetensors is not what was written", id="a flipped bit"),
        pytest.param("optimizer.safetensors", truncate, "optimizer.safetensors is not what was written", id="a cut file"),
        pytest.param("random-0.safetensors", Path.unlink, "random-0.safetensors is missing", id="a missing file"),
        pytest.param("model.safetensors", lambda path: path.write_bytes(b""), "model.safetensors is not", id="an empty file"),
        pytest.param("commit.json", Path.unlink, "it was never finished", id="no commit"),
        pytest.param("commit.json", truncate, "commit.json cannot be read", id="half a commit"),
        pytest.param("commit.json", lambda path: path.write_bytes(b""), "commit.json cannot be read", id="an empty commit"),
        pytest.param("commit.json", drop_digests, "commit.json cannot be read", id="a commit without digests"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_and_named(run: Path, file: str, damage: Damage, reason: str) -> None:
    damage(run / layout.checkpoint_folder(1, 120) / file)
    step, [said] = find(run)
    assert step == 60
    assert said.startswith(f"checkpoint of step 120 is damaged ({reason}")
    assert said.endswith("going on from step 60.")


def test_without_any_whole_checkpoint_training_starts_from_the_beginning(run: Path) -> None:
    for step in (60, 120):
        truncate(run / layout.checkpoint_folder(1, step) / "model.safetensors")
    found, [said] = find(run)
    assert found is None
    assert said.endswith("starting from the beginning.")


def test_a_later_attempt_goes_on_from_an_earlier_ones_checkpoint(run: Path) -> None:
    claim(run, 2)
    assert find(run, 2) == (120, [])


def test_a_later_attempt_that_had_to_go_back_is_newer_all_the_same(run: Path) -> None:
    claim(run, 2)
    save(run, 2, 90)
    assert find(run, 2) == (90, [])


def test_checkpoints_of_attempts_that_never_claimed_do_not_count(run: Path) -> None:
    save(run, 7, 500)
    assert find(run, 1) == (120, [])


def test_an_older_attempt_cannot_commit(run: Path) -> None:
    claim(run, 2)
    with pytest.raises(Refused, match="Attempt 2 has taken over; attempt 1 writes nothing more") as refused:
        save(run, 1, 180)
    assert refused.value.reason == "Superseded"
    assert find(run, 2)[0] == 120


def test_a_commit_is_made_once(run: Path) -> None:
    with pytest.raises(FileExistsError):
        checkpoint.commit(run, run / layout.checkpoint_folder(1, 120), Commit(1, 1, Position(step=120)))


def test_a_broken_try_is_replaced(run: Path) -> None:
    (run / layout.checkpoint_folder(1, 120) / "commit.json").unlink()
    save(run, 1, 120)
    assert find(run) == (120, [])


def test_only_the_newest_are_kept_over_all_attempts(run: Path) -> None:
    claim(run, 2)
    save(run, 2, 180)
    checkpoint.keep_newest(run, 2, 2)
    assert sorted(path.name for path in run.glob("attempts/*/checkpoints/*")) == ["step-00000120", "step-00000180"]


def test_a_damaged_newest_one_does_not_push_out_the_one_that_training_went_on_from(run: Path) -> None:
    truncate(run / layout.checkpoint_folder(1, 120) / "model.safetensors")
    claim(run, 2)
    save(run, 2, 90)
    checkpoint.keep_newest(run, 2, 1)
    assert find(run, 2) == (90, [])


def test_an_attempt_is_claimed_once(run: Path) -> None:
    with pytest.raises(Refused, match="has been claimed already; start the next one") as refused:
        claim(run, 1)
    assert refused.value.reason == "Superseded"


def test_the_next_attempt_is_taken_if_none_is_named(run: Path) -> None:
    assert claim(run, None).number == 2


def test_a_full_disk_leaves_the_earlier_checkpoint_whole(run: Path) -> None:
    folder = run / layout.checkpoint_folder(1, 180)
    checkpoint.make_folder(folder)
    with full_disk(room=65536), pytest.raises(Refused, match=r"No room left to write .*free some space") as refused:
        checkpoint.write_tensors(folder, checkpoint.MODEL, {"a": torch.zeros(1_000_000)})
    assert refused.value.reason == "StorageFull"
    assert refused.value.retryable
    step, [said] = find(run)
    assert step == 120
    assert "step 180 is damaged (it was never finished)" in said


@pytest.mark.parametrize(("number", "reason"), [(28, "StorageFull"), (13, "StorageDenied")])
def test_what_safetensors_says_of_the_system_becomes_a_sentence(
    number: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import SafetensorError

    def save_file(*_args: object) -> None:
        raise SafetensorError(f"Error while serializing: I/O error: ... (os error {number})")

    monkeypatch.setattr(checkpoint, "save_file", save_file)
    with pytest.raises(Refused, match=r"model\.safetensors") as refused:
        checkpoint.write_tensors(tmp_path, checkpoint.MODEL, {"a": torch.zeros(2)})
    assert refused.value.reason == reason
