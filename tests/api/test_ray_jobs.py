"""What happens to the RayJob of a run, and what the LLMFineTune says then. The test plays KubeRay, in its own words."""

from typing import Any

import pytest

from api_server import ApiServer, wait_for
from played import attempts, is_, prepared, ray_job_is, start

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

Object = dict[str, Any]
STARTING, QUEUED = ("Starting", "False", "Starting"), ("Queued", "False", "Queued")
STATES = {
    "": STARTING,
    "Initializing": STARTING,
    "Waiting": STARTING,
    "Suspending": QUEUED,
    "Suspended": QUEUED,
    "Retrying": STARTING,
}
ENDS: dict[str, tuple[Object, str]] = {
    "KubeRay refuses it": ({"deployment": "ValidationFailed", "job": "", "reason": "ValidationFailed"}, "SpecRefused"),
    "somebody stops it": ({"deployment": "Complete", "job": "STOPPED"}, "RunStopped"),
    "nobody knows why its pods never ran": (
        {"deployment": "Failed", "job": "", "reason": "PreRunningDeadlineExceeded"},
        "StartTimeout",
    ),
}


def head(api: ApiServer, attempt: int = 1) -> None:
    """KubeRay makes the pod of the head, and no node takes it."""
    labels = {
        "app.kubernetes.io/managed-by": "raysmith",
        "app.kubernetes.io/component": "llmfinetune",
        "app.kubernetes.io/instance": "run",
        "raysmith.io/attempt": str(attempt),
        "ray.io/node-type": "head",
    }
    spec = {"containers": [{"name": "ray", "image": "x"}]}
    api.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "head", "labels": labels}, "spec": spec})
    why = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}
    api.patch_status("Pod", "head", {"conditions": [why]})


def test_the_object_says_in_what_state_kuberay_is(api: ApiServer) -> None:
    start(api)
    ray_job = prepared(api)

    def where() -> tuple[str, str, str]:
        running = api.condition("LLMFineTune", "run", "Running")
        return (api.get("LLMFineTune", "run") or {})["status"]["phase"], running["status"], running["reason"]

    for state, expected in STATES.items():
        ray_job_is(api, ray_job, "Running")
        is_(api, "Running", "True")
        api.patch("RayJob", ray_job["metadata"]["name"], {"spec": {"suspend": expected == QUEUED}})
        ray_job_is(api, ray_job, state, "")
        wait_for(lambda expected=expected: where() == expected, f"{expected} in {state!r}: {where()}")  # type: ignore[misc]
        api.patch("RayJob", ray_job["metadata"]["name"], {"spec": {"suspend": False}})
    assert attempts(api) == [(1, None)]


@pytest.mark.parametrize("end", ENDS)
def test_the_last_attempt_that_may_be_made_ends_when(api: ApiServer, end: str) -> None:
    said, reason = ENDS[end]
    start(api, faultTolerance={"attempts": 1})
    ray_job_is(api, prepared(api), **said)
    is_(api, "Finished", "True", reason)
    assert attempts(api) == [(1, reason)]


def test_a_ray_job_that_somebody_deletes_costs_no_attempt(api: ApiServer) -> None:
    start(api, faultTolerance={"attempts": 1})
    ray_job = prepared(api)
    ray_job_is(api, ray_job, "Running")
    is_(api, "Running", "True")
    api.delete("RayJob", ray_job["metadata"]["name"])
    ray_job_is(api, prepared(api, 2), "Running")
    is_(api, "Running", "True")
    assert attempts(api) == [(1, "RayJobDeleted"), (2, None)]


def test_a_pod_that_is_taken_away_before_the_run_begins_costs_no_attempt(api: ApiServer) -> None:
    start(api, faultTolerance={"attempts": 1})
    ray_job = prepared(api)
    ray_job_is(api, ray_job, "Initializing", "")
    head(api)
    is_(api, "Running", "False", "Unschedulable")
    api.patch_status("Pod", "head", {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."})
    is_(api, "Running", "False", "Starting")
    ray_job_is(api, ray_job, "Failed", "", reason="PreRunningDeadlineExceeded")
    prepared(api, 2)
    assert attempts(api) == [(1, "PodEvicted"), (2, None)]
