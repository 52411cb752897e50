"""Pods, events and Ray objects as an API server gives them, cut down to what is looked at. Texts are those of the sources."""

from datetime import UTC, datetime, timedelta
from typing import Any

Object = dict[str, Any]

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NODES = "0/3 nodes are available: "
NO_HELP = ". no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."


def ago(**delta: float) -> str:
    """A metav1.Time before NOW."""
    return (NOW - timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(name: str, node_type: str | None = None, *statuses: Object, spec: Object | None = None, **status: Any) -> Object:
    """A pod; `node_type` is KubeRay's label, and None makes it one of a Job."""
    metadata = {"name": name, "labels": {"ray.io/node-type": node_type} if node_type else {"job-name": "run-prepare-1"}}
    return {
        "kind": "Pod",
        "metadata": metadata,
        "spec": spec or {},
        "status": {"phase": "Pending", "containerStatuses": list(statuses)} | status,
    }


def worker(*statuses: Object, **status: Any) -> Object:
    """A worker pod called w."""
    return pod("w", "worker", *statuses, **status)


def head(*statuses: Object, **status: Any) -> Object:
    """A head pod called h."""
    return pod("h", "head", *statuses, **status)


def preparation(*statuses: Object, **status: Any) -> Object:
    """The pod of the preparation's Job, called p."""
    return pod("p", None, *statuses, **status)


def deleted(of: Object, when: str) -> Object:
    """The pod with its time to end at `when`."""
    return {**of, "metadata": of["metadata"] | {"deletionTimestamp": when}}


def waits(reason: str, message: str | None = None, name: str = "ray", **more: Any) -> Object:
    """The status of a container that does not run."""
    waiting = {"reason": reason} | ({"message": message} if message else {})
    return {"name": name, "image": "registry.example/ray:1", "state": {"waiting": waiting}} | more


def runs(since: str, **more: Any) -> Object:
    """The status of a container that runs."""
    return {"name": "ray", "image": "registry.example/ray:1", "state": {"running": {"startedAt": since}}} | more


def ended(code: int = 1, reason: str = "Error", message: str = "") -> Object:
    """The status of a container that has ended."""
    return {"name": "ray", "state": {"terminated": {"exitCode": code, "reason": reason, "message": message}}}


def before(code: int = 1, reason: str = "Error") -> Object:
    """How the container ended before its last restart, as `lastState`."""
    return {"terminated": {"exitCode": code, "reason": reason}}


def unscheduled(message: str | None, reason: str = "Unschedulable") -> list[Object]:
    """The conditions of a pod without a node."""
    return [{"type": "PodScheduled", "status": "False", "reason": reason} | ({"message": message} if message else {})]


def disrupted(reason: str, message: str = "") -> list[Object]:
    """The conditions of a pod that is taken away."""
    return [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}]


def event(kind: str, name: str, reason: str, message: str | None = None, *, seen: str | None = None, **more: Any) -> Object:
    """A core/v1 Event."""
    about = {"kind": kind, "name": name}
    said = {"message": message} if message else {}
    return {"metadata": {}, "involvedObject": about, "reason": reason, "lastTimestamp": seen or ago(minutes=1)} | said | more


def job(*conditions: Object, **status: Any) -> Object:
    """The Job of the preparation."""
    return {"kind": "Job", "metadata": {"name": "run-prepare-1"}, "status": {"conditions": list(conditions)} | status}


def condition(type_: str, reason: str = "", message: str = "") -> Object:
    """A condition that holds."""
    return {"type": type_, "status": "True", "reason": reason, "message": message}


FAILED_JOB = job(condition("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"))


def ray_job(deployment: str, reason: str = "", message: str = "", **status: Any) -> Object:
    """A RayJob whose deployment is in this state."""
    found = {"jobDeploymentStatus": deployment, "reason": reason, "message": message} | status
    return {"kind": "RayJob", "metadata": {"name": "run-ft-1"}, "status": found}


def driver(code: int, log: str) -> Object:
    """A RayJob whose process ended with this code and this log."""
    message = f"Job entrypoint command failed with exit code {code}, last available logs (truncated to 20,000 chars):\n{log}"
    return ray_job("Failed", "AppFailed", message, jobStatus="FAILED")


def ray_cluster(*conditions: Object) -> Object:
    """The RayCluster of a RayJob or RayService."""
    return {"kind": "RayCluster", "metadata": {"name": "run-ft-1-abcde"}, "status": {"conditions": list(conditions)}}


def ray_service(*conditions: Object, **status: Any) -> Object:
    """A RayService."""
    return {"kind": "RayService", "metadata": {"name": "chat-sv-1"}, "status": {"conditions": list(conditions)} | status}


def serving(status: str, message: str = "", deployment: tuple[str, str] | None = None) -> Object:
    """A RayService whose one application, and its one deployment, have this status and message."""
    deployments = {"Server": {"status": deployment[0], "message": deployment[1]}} if deployment else None
    application = {"status": status, "message": message, "serveDeploymentStatuses": deployments}
    return ray_service(pendingServiceStatus={"applicationStatuses": {"openai": application}}, activeServiceStatus=None)


def failure(reason: str, message: str = "It failed.", *, attempt: int = 1, retryable: bool = True) -> Object:
    """`.status.failure` of an LLMFineTune."""
    return {"attempt": attempt, "reason": reason, "message": message, "retryable": retryable}
