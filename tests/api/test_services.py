"""The life of an LLMService at a real API server. The test plays KubeRay and the engines in the pods."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from typing_extensions import override

from api_server import ApiServer, Operator, wait_for
from objects import service
from played import versions

pytestmark = pytest.mark.cluster

REVISION = "raysmith.io/revision"
READY = {"type": "Ready", "status": "True"}


class FakeEngine(BaseHTTPRequestHandler):
    """Answers `GET /v1/models` as a pod that serves does."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/v1/models" else 404)
        self.end_headers()
        self.wfile.write(b'{"object": "list", "data": []}')

    @override
    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def answering(address: str) -> Iterator[None]:
    """Something answers at port 8000 of this address of the loopback."""
    server = ThreadingHTTPServer((address, 8000), FakeEngine)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def _working(operator: Operator) -> None:
    assert operator.running, operator.log.read_text()


def revisions(api: ApiServer) -> dict[str, str]:
    """The names of the RayServices, by revision."""
    return {o["metadata"]["labels"][REVISION]: o["metadata"]["name"] for o in api.list("RayService")}


def only_revision(api: ApiServer) -> str:
    found = wait_for(lambda: revisions(api), "a RayService")
    (revision,) = found
    return revision


def worker(api: ApiServer, revision: str, address: str) -> None:
    """A worker pod of the revision runs, as KubeRay and the kubelet say it."""
    labels = {
        "app.kubernetes.io/managed-by": "raysmith",
        "app.kubernetes.io/component": "llmservice",
        "app.kubernetes.io/instance": "chat",
        "ray.io/serve": "true",
        "ray.io/node-type": "worker",
        REVISION: revision,
    }
    name = f"worker-{revision}"
    containers = [{"name": "ray", "image": "x"}]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": {"containers": containers}}
    api.create(pod)
    api.patch_status("Pod", name, {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [READY]})


def points_to(api: ApiServer) -> str | None:
    found = api.get("Service", "chat")
    return found["spec"]["selector"].get(REVISION) if found else None


def is_(api: ApiServer, type_: str, status: str, reason: str | None = None, seconds: float = 60) -> dict[str, Any]:
    def look() -> dict[str, Any]:
        found = api.condition("LLMService", "chat", type_)
        return found if found.get("status") == status and reason in (None, found.get("reason")) else {}

    return wait_for(look, f"{type_}={status} {reason or ''}: {(api.get('LLMService', 'chat') or {}).get('status')}", seconds)


def test_a_service_is_ready_when_its_pods_answer_and_not_before(api: ApiServer) -> None:
    api.create(service())
    revision = only_revision(api)
    is_(api, "Ready", "False")
    worker(api, revision, "127.0.1.1")
    assert api.condition("LLMService", "chat", "Ready")["status"] == "False", "a pod that runs and does not answer"
    with answering("127.0.1.1"):
        is_(api, "Ready", "True", seconds=30)
        status = (api.get("LLMService", "chat") or {})["status"]
        assert status["readyReplicas"] == 1
        assert status["url"] == f"http://chat.{api.namespace}.svc:8000/v1"
        shown = api.kubectl("get", "llmservices", "chat").split("\n")[1].split()
        assert shown[:5] == ["chat", "Ready", status["url"], "1", "1"]
        assert "condition met" in api.kubectl("wait", "--for=condition=Ready", "llmservice/chat", "--timeout=30s")
    assert points_to(api) == revision


def test_reconciling_what_is_as_it_should_be_writes_nothing(api: ApiServer, operator: Operator) -> None:
    api.create(service())
    worker(api, only_revision(api), "127.0.1.6")
    with answering("127.0.1.6"):
        is_(api, "Ready", "True", seconds=30)
        children = ("ConfigMap", "Service", "RayService")
        before = versions(api, "LLMService", "chat", *children)
        assert len(before) == 4
        operator.kill()
        operator.start()
        api.create(service(name="marker"))  # when the new process has come to this one, it has looked at the other one
        wait_for(lambda: api.condition("LLMService", "marker", "Accepted"), "the marker")
        assert versions(api, "LLMService", "chat", *children) == before


def test_a_change_starts_another_revision_and_the_address_moves_when_that_one_answers(api: ApiServer) -> None:
    api.create(service())
    old = only_revision(api)
    worker(api, old, "127.0.1.2")
    with answering("127.0.1.2"):
        is_(api, "Ready", "True", seconds=30)
        api.patch("LLMService", "chat", {"spec": {"engine": {"maxModelLength": 512}}})
        is_(api, "Progressing", "True", "Upgrading")
        wait_for(lambda: len(revisions(api)) == 2, "a second RayService")
        (new,) = revisions(api).keys() - {old}
        assert points_to(api) == old, "nothing moves before the new one answers"
        assert api.condition("LLMService", "chat", "Ready")["status"] == "True"
        worker(api, new, "127.0.1.3")
        with answering("127.0.1.3"):
            wait_for(lambda: points_to(api) == new, "the address to move", 30)
            is_(api, "Progressing", "False", "RolledOut")
            assert set(revisions(api)) == {old, new}, "the former one finishes its requests"
            wait_for(lambda: set(revisions(api)) == {new}, "the former one to go", 90)


def test_a_change_that_never_answers_is_given_up_and_the_former_revision_goes_on(api: ApiServer) -> None:
    api.create(service(upgrade={"deadlineSeconds": 3}))
    old = only_revision(api)
    worker(api, old, "127.0.1.4")
    with answering("127.0.1.4"):
        is_(api, "Ready", "True", seconds=30)
        api.patch("LLMService", "chat", {"spec": {"engine": {"maxModelLength": 512}}})
        is_(api, "Progressing", "False", "UpgradeFailed")
        wait_for(lambda: set(revisions(api)) == {old}, "the new RayService to go")
        assert points_to(api) == old
        assert api.condition("LLMService", "chat", "Ready")["status"] == "True"
        api.patch("LLMService", "chat", {"spec": {"engine": {"maxModelLength": None}}})
        is_(api, "Progressing", "False", "RolledOut")


def test_a_service_waits_for_its_fine_tune(api: ApiServer) -> None:
    api.create(service(model={"fineTune": {"name": "run"}}))
    found = is_(api, "Ready", "False", "WaitingForModel")
    assert "LLMFineTune run" in found["message"]
    assert api.list("RayService") == []


def test_no_replicas_leave_the_address_and_nothing_else(api: ApiServer) -> None:
    api.create(service(replicas=1))
    only_revision(api)
    api.patch("LLMService", "chat", {"spec": {"replicas": 0}})
    wait_for(lambda: not revisions(api), "the RayService to go")
    assert points_to(api) == "none"
    is_(api, "Ready", "False", "NoReplicas")


def test_an_edited_service_points_back(api: ApiServer) -> None:
    api.create(service())
    revision = only_revision(api)
    wait_for(lambda: points_to(api) == revision, "the Service")
    api.patch("Service", "chat", {"spec": {"selector": {REVISION: "elsewhere"}}})
    wait_for(lambda: points_to(api) == revision, "the Service to point back")


def test_what_keeps_a_pod_from_starting_is_told_with_the_next_step(api: ApiServer) -> None:
    api.create(service())
    revision = only_revision(api)
    worker(api, revision, "127.0.1.5")
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x"'}
    container = {"name": "ray", "image": "x", "imageID": "", "ready": False, "restartCount": 0, "state": {"waiting": waiting}}
    api.patch_status("Pod", f"worker-{revision}", {"phase": "Pending", "containerStatuses": [container]})
    found = is_(api, "Ready", "False", "ImagePullFailed", seconds=30)
    assert "cannot be pulled" in found["message"]


def test_deleted_revisions_come_back_every_time(api: ApiServer) -> None:
    names = {f"chat-{number}" for number in range(4)}
    for name in sorted(names):
        api.create(service(name=name))
    gone: set[str] = set()

    def new() -> list[dict[str, Any]]:
        found = [made for made in api.list("RayService") if made["metadata"]["uid"] not in gone]
        return found if len(found) == len(names) else []

    for _ in range(5):
        for made in wait_for(new, "a RayService for each service", 30):
            api.delete("RayService", made["metadata"]["name"])
            gone.add(made["metadata"]["uid"])
