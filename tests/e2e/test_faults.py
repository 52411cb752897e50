"""Each fault provoked for real, all side by side in namespaces of their own: the object says what is wrong and what to do."""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from api_server import ApiServer, wait_for
from objects import finetune, service
from tenants import Tenant, forget, namespace

pytestmark = [pytest.mark.cluster, pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(1200)]


class Fault(NamedTuple):
    """What is applied, and what its condition must come to say."""

    document: dict[str, Any]
    condition: str
    reason: str
    words: str
    prepare: Callable[[Tenant], object] = lambda tenant: tenant


def rows(source: str) -> dict[str, Any]:
    return {"train": [{"name": "rows", "source": source}]}


def file(name: str, text: str) -> Callable[[Tenant], object]:
    def write(tenant: Tenant) -> None:
        path = tenant.store / name
        path.write_text(text)
        os.chown(path, 1000, 1000)

    return write


def quota(tenant: Tenant) -> None:
    spec = {"hard": {"pods": "0"}}
    tenant.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight"}, "spec": spec})


def image(name: str) -> dict[str, Any]:
    container = {"name": "ray", "image": name, "imagePullPolicy": "IfNotPresent"}
    return {"head": {"spec": {"containers": [container]}}}


def memory(limit: str) -> dict[str, Any]:
    container = {"name": "ray", "resources": {"requests": {"memory": limit}, "limits": {"memory": limit}}}
    return {"head": {"spec": {"containers": [container]}}}


DATES = rows("builtin://dates-us")
GOOD = "pvc://raysmith-store/rows.jsonl"
BAD_ROW = '{"prompt": "1", "completion": "one"}\n{"prompt": \n'
HUB = {"source": "hf://owner/name", "secretRef": {"name": "hub-token"}}
FAULTS = {
    "an image that cannot be pulled": Fault(
        finetune(data=DATES, podTemplate=image("registry.invalid/nothing:1")),
        *("Prepared", "ImagePullFailed", "cannot be pulled"),
    ),
    "a claim that is not there": Fault(finetune(data=rows("pvc://nowhere/rows.jsonl")), "Prepared", "ClaimMissing", "nowhere"),
    "a secret that is not there": Fault(finetune(model=HUB, data=DATES), "Prepared", "SecretMissing", "hub"),
    "a quota that has no room": Fault(finetune(data=DATES), "Prepared", "QuotaExceeded", "tight", quota),
    "more CPUs than any node has": Fault(
        service(model={"source": GOOD}, resources={"requests": {"cpu": "1000"}}), "Ready", "Unschedulable", "too little cpu"
    ),
    "a row that is no JSON": Fault(
        finetune(data=rows(GOOD)), "Finished", "DataRefused", "rows.jsonl:2", file("rows.jsonl", BAD_ROW)
    ),
    "too little memory": Fault(finetune(data=DATES, podTemplate=memory("80Mi")), "Finished", "OutOfMemory", "memory"),
    "a deadline that passes": Fault(
        finetune(data=DATES, activeDeadlineSeconds=1),
        "Finished",
        "DeadlineExceeded",
        "activeDeadlineSeconds",
    ),
    "a model that is not there": Fault(
        finetune(model={"source": "pvc://raysmith-store/no-model"}, data=DATES),
        *("Finished", "ModelNotFound", "no-model"),
    ),
}


@pytest.fixture(scope="module")
def tenants(operator: ApiServer) -> Iterator[dict[str, tuple[Tenant, float]]]:
    """Everything is applied at once, each fault to a namespace; with the time when it was."""
    made = {}
    for number, (name, fault) in enumerate(FAULTS.items()):
        tenant = namespace(operator, f"fault-{number}-{int(time.time())}")
        fault.prepare(tenant)
        tenant.create(fault.document)
        made[name] = (tenant, time.monotonic())
    yield made
    operator.kubectl("delete", "namespace", *(tenant.namespace for tenant, _ in made.values()), "--wait=false")
    for tenant, _ in made.values():
        forget(operator, tenant)


@pytest.mark.parametrize("name", FAULTS)
def test_the_object_says_what_is_wrong(tenants: dict[str, tuple[Tenant, float]], name: str) -> None:
    fault, (api, _) = FAULTS[name], tenants[name]
    kind, obj = fault.document["kind"], fault.document["metadata"]["name"]

    def told() -> dict[str, Any]:
        found = api.condition(kind, obj, fault.condition)
        return found if found.get("reason") == fault.reason else {}

    status = (api.get(kind, obj) or {}).get("status")
    found = wait_for(told, f"{fault.condition} to say {fault.reason}: {status}", 600)
    assert fault.words in found["message"]
    assert found["message"].endswith((".", "?"))

    def events() -> set[str]:
        return {event["reason"] for event in api.list("Event") if event["involvedObject"]["kind"] == kind}

    wait_for(lambda: fault.reason in events(), "an Event that says so, too")
