"""What cannot be made: a name is taken, a quota is full, a namespace ends. The object says so, and goes on by itself."""

from typing import Any

import pytest

from api_server import ApiServer, Operator, wait_for
from objects import service
from played import child, end_pod, is_, start

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


def test_a_quota_that_allows_no_job_is_told_in_the_words_of_the_api_server(api: ApiServer) -> None:
    spec = {"hard": {"count/jobs.batch": "0"}}
    api.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": spec})
    wait_for(lambda: "hard" in (api.get("ResourceQuota", "none") or {}).get("status", {}), "the quota to count")
    start(api)
    said = is_(api, "Running", "False", "AdmissionDenied")["message"]
    assert "Job run-prepare-1" in said
    assert "exceeded quota: none" in said
    api.delete("ResourceQuota", "none")
    is_(api, "Running", "False", "Preparing")


def test_a_job_that_could_not_delete_the_artefact_is_made_again_and_the_object_says_so(api: ApiServer) -> None:
    start(api, output={"deletionPolicy": "Delete"})
    wait_for(child(api, "Job", "prepare"), "the preparation")
    api.delete("LLMFineTune", "run")
    first = wait_for(lambda: api.list("Job", "raysmith.io/step=delete"), "the Job that deletes")[0]
    end_pod(api, first, code=1)
    assert "failed" in wait_for(lambda: _deleting(api, "failed"), "the object to say so")
    found = wait_for(lambda: _others(api, first), "another Job", 150)[0]
    end_pod(api, found)
    wait_for(lambda: api.get("LLMFineTune", "run") is None, "the object to go")


def test_the_end_of_a_namespace_is_not_held_up_by_an_artefact_that_can_not_be_deleted_any_more(api: ApiServer) -> None:
    start(api, output={"deletionPolicy": "Delete"})
    wait_for(child(api, "Job", "prepare"), "the preparation")
    api.kubectl("delete", "namespace", api.namespace, "--wait=true", "--timeout=120s")


def _deleting(api: ApiServer, word: str) -> str:
    message = str(api.condition("LLMFineTune", "run", "Running").get("message", ""))
    return message if word in message else ""


def _others(api: ApiServer, first: dict[str, Any]) -> list[dict[str, Any]]:
    jobs = api.list("Job", "raysmith.io/step=delete")
    return [job for job in jobs if job["metadata"]["uid"] != first["metadata"]["uid"]]
