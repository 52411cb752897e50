"""hack/cluster without the rights that a node needs: a sentence, and nothing has happened."""

import os
import sys
from importlib import import_module
from pathlib import Path

import pytest

main = import_module("hack.cluster.main")  # no plain import: mypy takes the folder programs/ beside it for programs.py


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of a cluster with a node, which somebody else has started."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(main.programs, "require", lambda *_: None)
    (tmp_path / "state" / "credentials").mkdir(parents=True)
    (tmp_path / "state" / "machine.json").write_text("{}")
    return tmp_path / "state"


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["up"], r"A node needs root, .*: use sudo\. Or start the control plane alone: --control-plane-only\."),
        (["up", "--nodes", "2"], r"A node needs root, .*"),
        (["down"], r"Ending a node needs root, .*: use sudo\."),
        (["images"], r"Building images needs root, .*: use sudo\."),
    ],
    ids=["up", "up with two nodes", "down", "images"],
)
def test_it_says_so_and_does_nothing(command: list[str], sentence: str, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(state.rglob("*"))
    monkeypatch.setattr(sys, "argv", ["cluster", "--state", str(state), *command])
    with pytest.raises(SystemExit, match=f"^{sentence}$"):  # Python prints such a text without a traceback, and exits with 1
        main.main()
    assert sorted(state.rglob("*")) == before
