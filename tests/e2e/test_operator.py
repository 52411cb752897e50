"""The operator's pod is killed while it creates, updates and deletes: nothing is lost, and nothing is done twice."""

import os
from pathlib import Path

import pytest

from api_server import ApiServer, wait_for
from objects import finetune
from tenants import Tenant

pytestmark = [pytest.mark.cluster, pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(900)]

RUNS = [f"run-{number}" for number in range(4)]
NO_JSON = {"data": {"train": [{"name": "rows", "source": "pvc://raysmith-store/rows.jsonl"}]}}


def kill(operator: ApiServer) -> None:
    operator.kubectl("delete", "pod", "--selector=app.kubernetes.io/component=operator", "--grace-period=0", "--force")


def folders(api: Tenant) -> list[Path]:
    return sorted(api.store.glob(f"models/{api.namespace}/run-*"))


def test_an_operator_that_is_killed_again_and_again_finishes_what_it_began(operator: ApiServer, tenant: Tenant) -> None:
    rows = tenant.store / "rows.jsonl"
    rows.write_text("no json\n")
    os.chown(rows, 1000, 1000)
    for name in RUNS:
        tenant.create(finetune(name=name, output={"deletionPolicy": "Delete"}, **NO_JSON))
    kill(operator)  # it creates
    wait_for(lambda: len(tenant.list("Job", "raysmith.io/step=prepare")) == len(RUNS), "a preparation for each", 120)
    tenant.patch("LLMFineTune", RUNS[0], {"spec": {"suspend": True}})
    kill(operator)  # it updates
    for name in RUNS[1:]:
        refused = lambda name=name: tenant.condition("LLMFineTune", name, "Finished").get("reason") == "DataRefused"  # noqa: E731
        wait_for(refused, f"{name} to be refused", 180)
        assert len((tenant.get("LLMFineTune", name) or {})["status"]["attempts"]) == 1
    assert len(tenant.list("Job", "raysmith.io/step=prepare")) <= len(RUNS), "nothing is prepared twice"
    for name in RUNS:
        tenant.delete("LLMFineTune", name)
    kill(operator)  # it deletes
    wait_for(lambda: not tenant.list("LLMFineTune"), "the objects to go", 240)
    wait_for(lambda: not tenant.list("Job"), "their Jobs to go", 60)
    assert folders(tenant) == [], "deletionPolicy: Delete leaves no folder"
