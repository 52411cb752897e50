"""kind itself is the judge of kind-config.yaml: its parser and its rules, from its own Go module (tests/tools/kind-check)."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support import go_tool

CONFIG = Path(__file__).parents[2] / "kind-config.yaml"


def judged(file: Path) -> dict[str, Any]:
    output = subprocess.run([go_tool("kind-check"), file], check=True, capture_output=True, text=True).stdout
    (verdict,) = json.loads(output)
    return dict(verdict)


def test_kind_accepts_our_configuration() -> None:
    assert judged(CONFIG) == {"error": "", "name": "raysmith", "roles": ["control-plane"]}


REFUSED = {
    "a misspelt field": ("nodes:", "node:", "field node not found"),
    "an unknown role": ("role: control-plane", "role: worker-plane", "not a valid node role"),
    "no control plane": ("role: control-plane", "role: worker", "must have at least one control-plane node"),
    "another kind's version": ("kind.x-k8s.io/v1alpha4", "kind.x-k8s.io/v9", "unknown apiVersion"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_judge_is_strict(name: str, tmp_path: Path) -> None:
    before, after, expected = REFUSED[name]
    assert before in CONFIG.read_text()
    changed = tmp_path / "kind-config.yaml"
    changed.write_text(CONFIG.read_text().replace(before, after))
    assert expected in judged(changed)["error"]
