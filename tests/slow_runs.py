"""A run in a cluster that is slow enough to have things happen to it, and what is seen of it."""

from pathlib import Path
from typing import Any, Final

from api_server import wait_for
from raysmith.api import layout
from raysmith.api.finetune import Progress
from raysmith_workloads.report import read_progress
from tenants import Tenant

SLOW: Final[dict[str, Any]] = {
    "objective": "Pretrain",
    "data": {"train": [{"name": "docs", "source": "builtin://python-docs"}], "maxLength": 128},
    "training": {"steps": 200, "globalBatchSize": 4, "learningRate": 1e-3},
    "checkpoints": {"intervalSteps": 10},
}


def status(api: Tenant) -> dict[str, Any]:
    """The run's status."""
    return dict((api.get("LLMFineTune", "run") or {}).get("status") or {})


def pods(api: Tenant, role: str) -> list[str]:
    """Names of the pods of the Ray cluster that are `head` or `worker`."""
    return [str(found["metadata"]["name"]) for found in api.list("Pod", f"ray.io/node-type={role}")]


def lose(api: Tenant, pod: str) -> None:
    """The pod is gone at once, as with its machine."""
    api.kubectl("delete", "pod", pod, "--grace-period=0", "--force")


def progress(api: Tenant, attempt: int) -> Progress | None:
    """What the attempt last reported, straight from its folder."""
    folders = list(api.store.glob(f"models/{api.namespace}/run-*/{layout.attempt_folder(attempt)}"))
    return read_progress(folders[0]) if folders else None


def wait_for_checkpoint(api: Tenant, attempt: int = 1) -> Path:
    """Wait until the attempt has made a checkpoint; its folder."""

    def look() -> list[Path]:
        return list(api.store.glob(f"models/{api.namespace}/run-*/attempts/{attempt}/checkpoints/step-*/{layout.COMMIT}"))

    return wait_for(look, f"a checkpoint of attempt {attempt}: {status(api)}", 300)[0].parents[2]
