"""`raysmith validate --data` as a user gives it: every row is read, and the model's own chat template is tried on it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from raysmith_workloads.prepare.tokenizer import train_tokenizer

pytestmark = pytest.mark.real

NO_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('No system role') }}{% endif %}"
    "{{ m['content'] + eos_token }}{% endfor %}"
)
RUN = """\
apiVersion: raysmith.io/v1alpha1
kind: LLMFineTune
metadata: {{name: {name}}}
spec:
  model: {model}
  data:
    train: [{{name: rows, source: "file://{rows}"}}]
    maxLength: 32
  method: {{full: {{}}}}
---
"""
TINY = '{source: "builtin://tiny"}'


def conversation(*contents: str, system: str | None = None) -> str:
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": role, "content": text} for role, text in zip(("user", "assistant"), contents, strict=False)]
    return json.dumps({"messages": messages}) + "\n"


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The folder and the end of one command about four runs, each with other rows or another model."""
    folder = tmp_path_factory.mktemp("validate")
    good = conversation("What is it?", "It is good.")
    (folder / "good.jsonl").write_text(good * 2 + conversation("What is it?", "It is long. " * 40))
    (folder / "bad.jsonl").write_text(good * 2 + conversation("What is it?") + "{\n")
    (folder / "system.jsonl").write_text(good + conversation("What is it?", "It is good.", system="Be brief."))
    tokenizer = train_tokenizer(["What is it? It is good. Be brief. " * 50], 64)
    tokenizer.chat_template = NO_SYSTEM
    tokenizer.save_pretrained(folder / "model")
    runs: list[dict[str, Any]] = [
        {"name": "good", "model": TINY, "rows": "good.jsonl"},
        {"name": "bad", "model": '{source: "hf://owner/name"}', "rows": "bad.jsonl"},
        {"name": "system", "model": '{source: "file://model"}', "rows": "system.jsonl"},
        {"name": "later", "model": "{fineTune: {name: good}}", "rows": "system.jsonl"},
    ]
    (folder / "all.yaml").write_text("".join(RUN.format(**run) for run in runs))
    command = [sys.executable, "-m", "raysmith.cli", "validate", "all.yaml", "--data"]
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(folder / "hub"), "COLUMNS": "300"}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")} | nowhere
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300)
    return folder, done


def test_rows_that_cannot_be_learned_from_are_told_with_their_file_and_line(
    validated: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = validated
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        (
            f"error: all.yaml:16: spec.data: 2 of 4 rows cannot be learned from. {folder}/bad.jsonl:3: the row has no answer "
            f"(its last message is not by assistant). {folder}/bad.jsonl:4: the line is not valid JSON (Expecting property "
            "name enclosed in double quotes, at character 2). Correct them or take them out, then start again."
        ),
        (
            f"error: all.yaml:26: spec.data: {folder}/system.jsonl:2: the model's chat template cannot write this conversation "
            "(No system role). Change the row, or start from a model whose chat template can write it."
        ),
    ]


def test_what_was_not_tried_is_said_and_what_would_be_cut(
    validated: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    _, done = validated
    untried = "The rows were read, but the model's chat template was not tried on them:"
    for note in (
        "good: Cut at data.maxLength (32 tokens): 1 of 3 training rows.",
        f"later: {untried} LLMFineTune good, which the run goes on from, has no result here yet.",
        f"bad: {untried} hf://owner/name could not be downloaded: the hub does not answer. Try again.",
    ):
        assert f"· {note}" in done.stdout


def test_nothing_is_left_behind(validated: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = validated
    assert not (folder / "raysmith-data").exists()
