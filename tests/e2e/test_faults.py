"""Each fault provoked for real, all side by side in namespaces of their own: the object says what is wrong and what to do."""

import time
from collections.abc import Iterator

import pytest

from api_server import ApiServer, wait_for
from faults import FAULTS, told
from tenants import Tenant, forget, namespace

pytestmark = [pytest.mark.cluster, pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def tenants(operator: ApiServer) -> Iterator[dict[str, Tenant]]:
    """Everything is applied at once, each fault to a namespace of its own."""
    made = {}
    for number, (name, fault) in enumerate(FAULTS.items()):
        tenant = made[name] = namespace(operator, f"fault-{number}-{int(time.time())}")
        fault.prepare(tenant)
        tenant.create(fault.document)
    yield made
    operator.kubectl("delete", "namespace", *(tenant.namespace for tenant in made.values()), "--wait=false")
    for tenant in made.values():
        forget(operator, tenant)


@pytest.mark.parametrize("name", FAULTS)
def test_the_object_says_what_is_wrong(tenants: dict[str, Tenant], name: str) -> None:
    fault, api = FAULTS[name], tenants[name]
    kind, obj = fault.document["kind"], fault.document["metadata"]["name"]
    found = wait_for(lambda: told(api, fault), f"{fault.condition} to say {fault.reason} in {obj} of {api.namespace}", 600)
    assert fault.words in found["message"]
    assert found["message"].endswith((".", "?"))

    def events() -> set[str]:
        return {event["reason"] for event in api.list("Event") if event["involvedObject"]["kind"] == kind}

    wait_for(lambda: fault.reason in events(), "an Event that says so, too")


def test_the_last_lines_of_a_run_that_raised_stand_in_its_status(tenants: dict[str, Tenant]) -> None:
    api = tenants["an exception in the run"]
    failure = wait_for(lambda: (api.get("LLMFineTune", "run") or {})["status"].get("failure"), "the run to say why", 600)
    assert any("ValueError" in line for line in failure["logTail"])
    assert len(failure["logTail"]) <= 20
