"""The shipped examples, run as the README says: what they promise, they keep."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytestmark = pytest.mark.real

EXAMPLES = Path(__file__).parents[2] / "examples"


class Story(NamedTuple):
    """Where both examples have run, the adapters on the quickstart's finished runs, and what each command wrote down."""

    folder: Path
    quickstart: dict[str, Any]
    adapters: dict[str, Any]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("examples")
    quickstart = run(folder, EXAMPLES / "quickstart")
    return Story(folder, quickstart, run(folder, EXAMPLES / "quickstart" / "finetune.yaml", EXAMPLES / "adapters"))


def run(folder: Path, *files: Path) -> dict[str, Any]:
    """Run them to their end; what the command wrote down."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "raysmith.cli", "run", *map(str, files), "--no-wait", "--port", str(port)]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "COLUMNS": "160"}, capture_output=True, text=True, check=False, timeout=880
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary: dict[str, Any] = json.loads((folder / "raysmith-data" / "last-run.json").read_text())
    return summary


def record(story: Story, name: str) -> dict[str, Any]:
    (file,) = story.folder.glob(f"raysmith-data/volumes/raysmith-store/models/default/{name}-????????/run.json")
    loaded: dict[str, Any] = json.loads(file.read_text())
    return loaded


@pytest.mark.parametrize("name", ["dates", "dates-us", "dates-german"])
@pytest.mark.timeout(1800)
def test_a_skill_is_learned_and_passes_its_gate(story: Story, name: str) -> None:
    found = record(story, name)
    assert found["promoted"] is True
    assert found["baseMetrics"]["exactMatch"] <= 0.1
    assert found["tunedMetrics"]["exactMatch"] >= 0.9


@pytest.mark.parametrize("name", ["dates-us", "dates-german"])
def test_the_adapters_go_on_from_the_quickstarts_run_which_was_not_made_again(story: Story, name: str) -> None:
    base = record(story, "dates")
    assert record(story, name)["base"]["artifact"]["digest"] == base["artifact"]["digest"]
    assert [attempt["number"] for attempt in base["attempts"]] == [1]


@pytest.mark.parametrize(
    ("command", "base", "tuned"),
    [("quickstart", "base", "tuned"), ("adapters", "dates", "dates:us"), ("adapters", "dates", "dates:german")],
)
def test_the_tuned_model_answers_right_through_the_service_and_its_base_does_not(
    story: Story, command: str, base: str, tuned: str
) -> None:
    summary = story.quickstart if command == "quickstart" else story.adapters
    (rows,) = [pair["rows"] for pair in summary["sideBySide"] if (pair["base"], pair["tuned"]) == (base, tuned)]
    right = {who: sum(row[who].strip() == row["expected"] for row in rows) for who in ("base", "tuned")}
    assert len(rows) == 5
    assert right["tuned"] >= 4, rows  # the gate asks for 9 of 10
    assert right["base"] <= 1, rows


def test_the_service_with_both_adapters_answered(story: Story) -> None:
    assert [service["name"] for service in story.adapters["services"]] == ["dates"]
    log = "".join(path.read_text() for path in story.folder.glob("raysmith-data/services/*/serve.log"))
    assert "ready: dates at" in log  # said when every model of the service has answered, the adapters too
