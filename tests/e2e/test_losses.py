"""What clusters do to a run: a worker is killed, the head is lost, somebody suspends it. The run goes on from a checkpoint."""

import json
from typing import Any

import pytest

from api_server import wait_for
from objects import finetune
from slow_runs import SLOW, lose, pods, status, wait_for_checkpoint
from tenants import Tenant

pytestmark = [pytest.mark.cluster, pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(1200)]


def succeeded(api: Tenant) -> dict[str, Any]:
    wait_for(lambda: api.condition("LLMFineTune", "run", "Finished").get("status") == "True", "the end of the run", 600)
    assert status(api)["phase"] == "Succeeded", status(api)
    (record,) = api.store.glob(f"models/{api.namespace}/run-*/run.json")
    return dict(json.loads(record.read_text()))


def test_of_two_workers_one_that_is_killed_costs_no_attempt(tenant: Tenant) -> None:
    tenant.create(finetune(**SLOW, workers={"replicas": 2}))
    wait_for_checkpoint(tenant)
    lose(tenant, pods(tenant, "worker")[1])
    record = succeeded(tenant)
    assert [attempt["number"] for attempt in record["attempts"]] == [1]
    assert record["training"]["steps"] == 400
    assert record["training"]["workers"] == 2


def test_a_head_that_is_lost_costs_an_attempt_that_does_not_count(tenant: Tenant) -> None:
    tenant.create(finetune(**SLOW, faultTolerance={"attempts": 1}))
    wait_for_checkpoint(tenant)
    lose(tenant, *pods(tenant, "head"))
    wait_for_checkpoint(tenant, attempt=2)
    record = succeeded(tenant)
    assert record["attempts"][1]["resumedFromStep"] > 0
    first = status(tenant)["attempts"][0]
    assert (first["reason"], first["counted"]) == ("HeadLost", False)


def test_a_suspended_run_makes_a_checkpoint_gives_its_pods_back_and_goes_on_from_there(tenant: Tenant) -> None:
    slower = {"training": SLOW["training"] | {"steps": 1000}, "checkpoints": {"intervalSteps": 100000}}
    tenant.create(finetune(**SLOW | slower))
    wait_for(lambda: (status(tenant).get("progress") or {}).get("step", 0) > 0, "the first step", 300)
    tenant.patch("LLMFineTune", "run", {"spec": {"suspend": True}})
    wait_for(lambda: status(tenant)["phase"] == "Suspended", "it to be suspended", 120)
    wait_for(lambda: not tenant.list("Pod", "ray.io/is-ray-node=yes"), "the pods to go", 120)
    tenant.patch("LLMFineTune", "run", {"spec": {"suspend": False}})
    record = succeeded(tenant)
    assert record["attempts"][1]["resumedFromStep"] > 0
    assert [attempt["reason"] for attempt in status(tenant)["attempts"]] == ["Suspended", "Succeeded"]
