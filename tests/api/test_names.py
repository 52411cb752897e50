"""Names that are taken: what somebody else has made is left alone, and the object says so until the name is free."""

from typing import Any

import pytest

from api_server import ApiServer, Operator, wait_for
from objects import service
from played import child, is_, start

pytestmark = pytest.mark.cluster


@pytest.fixture(autouse=True)
def _working(operator: Operator) -> None:
    assert operator.running, operator.log.read_text()


def ready(api: ApiServer, reason: str) -> dict[str, Any]:
    def look() -> dict[str, Any]:
        found = api.condition("LLMService", "chat", "Ready")
        return found if found.get("reason") == reason else {}

    return wait_for(look, f"chat to say {reason}", 90)


def test_somebodys_service_of_the_same_name_is_left_alone_and_makes_room_by_going(api: ApiServer) -> None:
    theirs = {"selector": {"app": "theirs"}, "ports": [{"port": 80}]}
    made = api.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "chat"}, "spec": theirs})
    api.create(service())
    said = ready(api, "NameTaken")
    assert "a Service chat in this namespace" in said["message"]
    found = api.get("Service", "chat") or {}
    assert found["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert not api.list("RayService")
    api.delete("Service", "chat")
    ready(api, "Starting")
    assert (api.get("Service", "chat") or {})["metadata"]["ownerReferences"][0]["kind"] == "LLMService"


def test_somebodys_job_of_the_same_name_is_not_taken_for_the_preparation(api: ApiServer) -> None:
    name = "run-prepare-1"
    pod = {"restartPolicy": "Never", "containers": [{"name": "theirs", "image": "theirs"}]}
    api.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": {"spec": pod}}})
    start(api)
    assert name in is_(api, "Running", "False", "NameTaken")["message"]
    api.kubectl("delete", "job", name, "--wait=true")
    wait_for(child(api, "Job", "prepare"), "a preparation of its own", 90)
    is_(api, "Running", "False", "Preparing")


def test_an_edited_selector_is_put_right_so_that_the_address_goes_on_answering(api: ApiServer) -> None:
    api.create(service())
    made = wait_for(lambda: api.get("Service", "chat"), "the Service")
    api.patch("Service", "chat", {"spec": {"selector": {"another": "label"}}})
    wait_for(lambda: (api.get("Service", "chat") or {})["spec"]["selector"] == made["spec"]["selector"], "the former selector")
