"""From applying a run to its first step, and from losing a part of it to training again, on a real Kubernetes.

    python -m benchmarks.losses

Uses the cluster of $KUBECONFIG, or the one that `make cluster-up` has started, and installs the chart into it. One run with one
worker: it starts, loses its worker's pod, loses its head's pod, is suspended, and goes on again.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

from api_server import ApiServer, wait_for
from benchmarks.real_cluster import installed_cluster
from objects import finetune
from slow_runs import SLOW, lose, pods, progress, status
from tenants import Tenant, forget, namespace

ENDLESS: dict[str, Any] = SLOW | {"training": SLOW["training"] | {"steps": 100_000}}
PATIENCE = 600


class Clock:
    """Notes when things were first true, in seconds since the clock was started."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.rows: list[tuple[str, float]] = []

    def until(self, what: str, look: Callable[[], Any]) -> None:
        """Wait until `look` is true, and note the seconds since the last note."""
        wait_for(look, what, PATIENCE)
        now = time.perf_counter()
        self.rows.append((what, now - self.start))
        self.start = now


def training(api: Tenant, attempt: int, after: float) -> bool:
    """Whether a step was done that began after `after`, in seconds since 1970."""
    seen = progress(api, attempt)
    return bool(seen and seen.stage == "Training" and seen.step and seen.updated_time.timestamp() > after)


def measure(system: ApiServer) -> list[tuple[str, list[tuple[str, float]]]]:
    """Parts of the table."""
    api = namespace(system, f"losses-{int(time.time())}")
    try:
        return [("start", _start(api)), *_losses(api)]
    finally:
        forget(system, api)


def _start(api: Tenant) -> list[tuple[str, float]]:
    clock = Clock()
    api.create(finetune(**ENDLESS))
    clock.until("until the pod that prepares the data is made", lambda: api.list("Pod", "raysmith.io/step=prepare"))
    clock.until("until the data is prepared", lambda: api.condition("LLMFineTune", "run", "Prepared").get("status") == "True")
    clock.until("until the pods of the Ray cluster are ready", lambda: _ready(api))
    clock.until("until the run's process reports", lambda: progress(api, 1))
    clock.until("until the first step is done", lambda: training(api, 1, 0))
    return [*clock.rows, ("**from apply to the first step**", sum(seconds for _, seconds in clock.rows))]


def _ready(api: Tenant) -> bool:
    return any((found.get("status") or {}).get("state") == "ready" for found in api.list("RayCluster"))


def _losses(api: Tenant) -> list[tuple[str, list[tuple[str, float]]]]:
    parts = []
    for role, attempt in (("worker", 1), ("head", 2)):
        time.sleep(20)  # some steps and a checkpoint later
        clock = Clock()
        lose(api, pods(api, role)[0])
        clock.until("until its pod's place is taken, or the attempt ended", lambda role=role: _replaced(api, role))  # type: ignore[misc]
        noticed = time.time()
        clock.until("until a step is done again", lambda: training(api, attempt, noticed))  # noqa: B023 - used at once
        parts.append((f"{role} lost", [*clock.rows, ("**in all**", sum(seconds for _, seconds in clock.rows))]))
    clock = Clock()
    api.patch("LLMFineTune", "run", {"spec": {"suspend": True}})
    clock.until("until the checkpoint is made", lambda: status(api).get("phase") == "Suspended")
    clock.until("until no pod is left", lambda: not api.list("Pod", "ray.io/is-ray-node=yes"))
    parts.append(("suspended", clock.rows))
    resumed = time.time()
    clock = Clock()
    api.patch("LLMFineTune", "run", {"spec": {"suspend": False}})
    clock.until("**until a step is done again**", lambda: training(api, 3, resumed))
    return [*parts, ("resumed", clock.rows)]


def _replaced(api: Tenant, role: str) -> bool:
    """Whether what the lost pod did has ended: its worker is being started anew, or its attempt is over."""
    seen = progress(api, 1)
    return len(status(api).get("attempts") or []) > 1 if role == "head" else bool(seen and seen.stage != "Training")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    print("| what happens | what is waited for | seconds |\n|---|---|--:|")
    for part, rows in measure(installed_cluster()):
        for what, seconds in rows:
            print(f"| {part} | {what} | {seconds:.1f} |")


if __name__ == "__main__":
    main()
