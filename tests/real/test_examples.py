"""The shipped examples, run as the README says: what they promise, they keep."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.real

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where both examples have run, the adapters on the quickstart's finished runs."""
    folder = tmp_path_factory.mktemp("examples")
    run(folder, EXAMPLES / "quickstart")
    run(folder, EXAMPLES / "quickstart" / "finetune.yaml", EXAMPLES / "adapters")
    return folder


def run(folder: Path, *files: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "raysmith.cli", "run", *map(str, files), "--no-wait", "--port", str(port)]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "COLUMNS": "160"}, capture_output=True, text=True, check=False, timeout=880
    )
    assert done.returncode == 0, done.stdout + done.stderr


def record(folder: Path, name: str) -> dict[str, Any]:
    (file,) = folder.glob(f"raysmith-data/volumes/raysmith-store/models/default/{name}-????????/run.json")
    loaded: dict[str, Any] = json.loads(file.read_text())
    return loaded


@pytest.mark.parametrize("name", ["dates", "dates-us", "dates-german"])
@pytest.mark.timeout(1800)
def test_a_skill_is_learned_and_passes_its_gate(folder: Path, name: str) -> None:
    found = record(folder, name)
    assert found["promoted"] is True
    assert found["baseMetrics"]["exactMatch"] <= 0.1
    assert found["tunedMetrics"]["exactMatch"] >= 0.9


@pytest.mark.parametrize("name", ["dates-us", "dates-german"])
def test_the_adapters_go_on_from_the_quickstarts_run_which_was_not_made_again(folder: Path, name: str) -> None:
    base = record(folder, "dates")
    assert record(folder, name)["base"]["artifact"]["digest"] == base["artifact"]["digest"]
    assert [attempt["number"] for attempt in base["attempts"]] == [1]


def test_the_service_with_both_adapters_answered(folder: Path) -> None:
    last = json.loads((folder / "raysmith-data" / "last-run.json").read_text())
    assert [service["name"] for service in last["services"]] == ["dates"]
    log = "".join(path.read_text() for path in folder.glob("raysmith-data/services/*/serve.log"))
    assert "ready: dates at" in log  # said when every model of the service has answered, the adapters too
