"""The kubelet, KubeRay and the run, played by a test: what they would write to the API server about a fine-tune."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from api_server import ApiServer, wait_for
from objects import finetune

ROWS = {"train": [{"name": "rows", "source": "pvc://datasets/rows.jsonl"}]}
RESULT = {
    "attempt": 1,
    "artifact": {"uri": "pvc://raysmith-store/models/x", "digest": "sha256:" + "1" * 64},
    "promoted": True,
    "message": "ValidationLoss is 1.2, and at most 1.9 is asked for.",
}


def now() -> str:
    """The time, as Kubernetes writes it."""
    return datetime.now(UTC).isoformat()


def start(api: ApiServer, name: str = "run", **spec: Any) -> dict[str, Any]:
    return api.create(finetune(name=name, data=ROWS, **spec))


def child(api: ApiServer, kind: str, step: str | None = None, attempt: int = 1) -> Callable[[], dict[str, Any] | None]:
    selector = f"raysmith.io/attempt={attempt}" + (f",raysmith.io/step={step}" if step else "")
    return lambda: next(iter(api.list(kind, selector)), None)


def end_pod(api: ApiServer, job: dict[str, Any], *, code: int = 0, message: str = "") -> None:
    """The Job's pod ends, as the kubelet says it."""
    (pod,) = wait_for(lambda: api.list("Pod", f"job-name={job['metadata']['name']}"), "the Job's pod")
    ended = {"exitCode": code, "reason": "Error" if code else "Completed", "message": message}
    container = {"name": "ray", "image": "x", "imageID": "", "ready": False, "restartCount": 0, "state": {"terminated": ended}}
    api.patch_status(
        "Pod", pod["metadata"]["name"], {"phase": "Failed" if code else "Succeeded", "containerStatuses": [container]}
    )


def prepared(api: ApiServer, attempt: int = 1) -> dict[str, Any]:
    """The RayJob of the attempt, after its data has been prepared."""
    end_pod(api, wait_for(child(api, "Job", "prepare", attempt), f"the preparation of attempt {attempt}"))
    return wait_for(child(api, "RayJob", attempt=attempt), f"the RayJob of attempt {attempt}")


def ray_job_is(api: ApiServer, ray_job: dict[str, Any], deployment: str, job: str = "RUNNING", **more: Any) -> None:
    status = {"jobDeploymentStatus": deployment, "jobStatus": job, **more}
    api.patch_status("RayJob", ray_job["metadata"]["name"], status)


def tell(api: ApiServer, name: str = "run", *, manager: str = "raysmith-result", **status: Any) -> None:
    """The run writes its own part of the status."""
    head = {"apiVersion": "raysmith.io/v1alpha1", "kind": "LLMFineTune", "metadata": {"name": name}}
    resource = api._kind("LLMFineTune")
    resource.status.server_side_apply(
        body={**head, "status": status}, name=name, namespace=api.namespace, field_manager=manager, force_conflicts=True
    )


def is_(api: ApiServer, type_: str, status: str, reason: str | None = None, name: str = "run") -> dict[str, Any]:
    def look() -> dict[str, Any]:
        found = api.condition("LLMFineTune", name, type_)
        return found if found.get("status") == status and reason in (None, found.get("reason")) else {}

    return wait_for(look, f"{type_}={status} {reason or ''} in {(api.get('LLMFineTune', name) or {}).get('status')}")


def attempts(api: ApiServer) -> list[tuple[int, str | None]]:
    status = (api.get("LLMFineTune", "run") or {}).get("status") or {}
    return [(attempt["number"], attempt.get("reason")) for attempt in status.get("attempts") or []]


def versions(api: ApiServer, kind: str, name: str, *children: str) -> dict[str, str]:
    """The versions of the object and of what was made for it."""
    made = [child for of in children for child in api.list(of, f"app.kubernetes.io/instance={name}")]
    objects = [*made, api.get(kind, name) or {}]
    return {o["kind"] + o["metadata"]["name"]: o["metadata"]["resourceVersion"] for o in objects}


def may(api: ApiServer, account: str, verb: str, what: str, *options: str) -> bool:
    """Whether a service account, as `namespace:name`, may do this in the namespace."""
    try:
        said = api.kubectl("auth", "can-i", verb, what, f"--as=system:serviceaccount:{account}", *options)
    except subprocess.CalledProcessError as refused:
        said = refused.stdout
    assert said.split()[0] in ("yes", "no"), said
    return said.startswith("yes")
