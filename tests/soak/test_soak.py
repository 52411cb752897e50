"""What takes long or is done again and again: `make soak`, outside CI. SOAK_ROUNDS says how often (10)."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api_server import ApiServer, wait_for
from installation import HACK
from objects import finetune
from slow_runs import SLOW, lose, pods, progress, status, wait_for_checkpoint
from tenants import Tenant

pytestmark = [pytest.mark.cluster, pytest.mark.real, pytest.mark.e2e, pytest.mark.soak, pytest.mark.timeout(7200)]

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "10"))
OPERATOR = "app.kubernetes.io/component=operator"
CABLE = "raysmith-node-2"
LONG: dict[str, Any] = SLOW | {"training": SLOW["training"] | {"steps": 1500}}


def finished(api: Tenant, name: str = "run") -> dict[str, Any]:
    wait_for(lambda: api.condition("LLMFineTune", name, "Finished").get("status") == "True", f"the end of {name}", 3600)
    return dict((api.get("LLMFineTune", name) or {})["status"])


def memory(operator: ApiServer) -> int:
    """Resident KiB of the operator's processes on this machine."""
    command = ["pgrep", "--full", "raysmith.operator_main"]
    pids = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return max(int(Path("/proc", pid, "status").read_text().split("VmRSS:")[1].split()[0]) for pid in pids)


def test_a_run_that_loses_its_pods_again_and_again_ends_with_all_of_its_steps(tenant: Tenant) -> None:
    moments = random.Random(7)  # noqa: S311 - moments, no secrets
    tenant.create(finetune(**LONG, faultTolerance={"workerFailures": 100, "attempts": 1}))
    wait_for_checkpoint(tenant)
    for _ in range(ROUNDS):
        time.sleep(moments.uniform(5, 40))
        there = pods(tenant, moments.choice(["worker", "worker", "head"]))
        if there:
            lose(tenant, there[0])
    done = finished(tenant)
    assert done["phase"] == "Succeeded", done
    assert done["progress"]["step"] == LONG["training"]["steps"]
    assert not any(attempt["counted"] for attempt in done["attempts"])


def test_an_operator_that_is_killed_all_the_time_loses_no_object_and_does_nothing_twice(
    operator: ApiServer, tenant: Tenant
) -> None:
    rows = tenant.store / "rows.jsonl"
    rows.write_text("no json\n")
    os.chown(rows, 1000, 1000)
    refused = {"data": {"train": [{"name": "rows", "source": "pvc://raysmith-store/rows.jsonl"}]}}
    moments = random.Random(11)  # noqa: S311
    for number in range(ROUNDS):
        tenant.create(finetune(name=f"run-{number}", **refused))
        time.sleep(moments.uniform(0, 15))
        operator.kubectl("delete", "pod", f"--selector={OPERATOR}", "--grace-period=0", "--force")
    for number in range(ROUNDS):
        done = finished(tenant, f"run-{number}")
        assert [attempt["reason"] for attempt in done["attempts"]] == ["DataRefused"]


def test_objects_that_come_and_go_leave_no_memory_behind(operator: ApiServer, tenant: Tenant) -> None:
    def come_and_go(round_: int) -> None:
        names = [f"r{round_}-{number}" for number in range(100)]
        for name in names:
            tenant.create(finetune(name=name, suspend=True, data={"train": [{"name": "rows", "source": "builtin://dates-us"}]}))
        accepted = lambda: all(tenant.condition("LLMFineTune", name, "Accepted") for name in names[-5:])  # noqa: E731
        wait_for(accepted, "the last ones to be accepted", 120)
        tenant.kubectl("delete", "llmfinetunes", "--all", "--wait=true")

    for round_ in range(2):
        come_and_go(round_)
    before = memory(operator)
    for round_ in range(2, 2 + ROUNDS):
        come_and_go(round_)
    assert memory(operator) < before + 30 * 1024


@pytest.fixture
def second_node(kubeconfig: Path) -> Iterator[None]:
    """A second node with a network of its own, connected by a cable that can be pulled."""
    if os.environ.get("KUBECONFIG"):
        pytest.skip("only a cluster that hack/cluster has started has a cable to pull")
    cluster = [sys.executable, str(HACK / "cluster")]
    subprocess.run([*cluster, "up", "--nodes", "2"], check=True)
    subprocess.run([*cluster, "images"], check=True)
    yield
    plug("up")


def plug(state: str) -> None:
    subprocess.run(["ip", "link", "set", CABLE, state], check=True)


@pytest.mark.usefixtures("second_node")
def test_a_node_that_is_cut_off_costs_the_run_only_time(tenant: Tenant) -> None:
    there = {"workers": {"spec": {"nodeSelector": {"kubernetes.io/hostname": "node-2"}}}}
    tenant.create(finetune(**LONG, podTemplate=there, faultTolerance={"workerFailures": 10, "attempts": 1}))
    wait_for_checkpoint(tenant)
    plug("down")
    time.sleep(120)
    reached = progress(tenant, 1)
    plug("up")
    done = finished(tenant)
    assert done["phase"] == "Succeeded", done
    assert reached is not None
    assert done["progress"]["step"] == LONG["training"]["steps"]
    assert not any(attempt["counted"] for attempt in status(tenant)["attempts"])
