"""A run that believes to be in a pod: what its processes print stays beside the artefact. There is no token, so no status."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_runs import make_run, random_sequences
from raysmith.api import layout
from tiny_models import make_llama

pytestmark = pytest.mark.real

Workload = Callable[..., subprocess.CompletedProcess[str]]
ROWS = "".join(
    json.dumps({"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": f"{n}!"}]}) + "\n"
    for n in range(40)
)


def test_driver_worker_and_preparation_leave_their_logs_and_last_words(tmp_path: Path, run_workload: Workload) -> None:
    (tmp_path / "rows.jsonl").write_text(ROWS)
    run = make_run(
        *(tmp_path / "storage", make_llama(tmp_path / "llama"), random_sequences(8, vocabulary=1024)),
        model={"source": f"file://{tmp_path / 'llama'}"},
        data={"train": [{"name": "rows", "source": f"file://{tmp_path / 'rows.jsonl'}"}], "maxLength": 64},
        training={"steps": 4, "globalBatchSize": 4},
        workers={"resources": {"requests": {"cpu": "1"}}},
    )
    words = tmp_path / "termination-log"
    settings = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "RAYSMITH_TERMINATION_LOG": str(words), "HF_TOKEN": "hf_very_secret"}
    # Workers have the environment of their Ray, so this run starts one of its own.
    for module, ray in (("prepare", {}), ("finetune", {"RAY_ADDRESS": ""})):
        done = run_workload(module, "--object", run.object_file, **settings, **ray)
        assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(words.read_bytes())["rows"] == 40

    logs = {path.name: path.read_text() for path in (run.folder / "logs").iterdir()}
    assert "step 4 of 4" in logs["1-worker-0.log"]
    assert run.record().message in logs["1-finetune.log"]
    assert "hf_very_secret" not in "".join(logs.values())
    assert set(logs) <= {"1-prepare.log", "1-finetune.log", "1-worker-0.log"}
    assert (run.folder / layout.OBJECT).exists()
