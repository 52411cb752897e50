"""Gathers what explains why an object's children do not run: their own status, their pods', and the Events about them.

Events are asked for only where a child has neither succeeded nor come to run, so that a healthy object costs no request.
"""

from datetime import datetime
from typing import Any

from raysmith.api import LLMFineTune, to_wire
from raysmith.cluster import Cluster
from raysmith.status.diagnose import diagnose
from raysmith.status.evidence import Diagnosis, Evidence
from raysmith.status.finetune import job_outcome
from raysmith.store import Key, Object


async def diagnose_finetune(
    cluster: Cluster, obj: LLMFineTune, key: Key, job: Object | None, ray_job: Object | None, now: datetime
) -> Diagnosis | None:
    """What is wrong with the open attempt of `obj`, if anything is."""
    store = cluster.store
    attempt = str(obj.status.attempt) if obj.status else ""
    pods = [pod for pod in store.children(key, "Pod") if pod["metadata"]["labels"].get("raysmith.io/attempt") == attempt]
    said = to_wire(obj.status).get("failure") if obj.status else None
    number = int(attempt) if attempt else None
    if ray_job is not None:
        ray_cluster = _ray_cluster(cluster, key, (ray_job.get("status") or {}).get("rayClusterName"))
        pods = [pod for pod in pods if "ray.io/node-type" in pod["metadata"]["labels"]]
        told = await _told(cluster, pods, ray_job, ray_cluster, quiet=_works(ray_job))
        return diagnose(
            Evidence(now=now, ray_job=ray_job, ray_cluster=ray_cluster, pods=pods, attempt=number, failure=said, **told)
        )
    if job is None or job_outcome(job) == "Complete":
        return None
    pods = [pod for pod in pods if pod["metadata"]["labels"].get("raysmith.io/step") == "prepare"]
    told = await _told(cluster, pods, job, quiet=bool(pods) and not _stuck(pods) and job_outcome(job) is None)
    return diagnose(Evidence(now=now, job=job, pods=pods, attempt=number, failure=said, **told))


async def diagnose_service(
    cluster: Cluster, key: Key, ray_service: Object, pods: list[Object], now: datetime
) -> Diagnosis | None:
    """What keeps the pods of a revision from answering, if anything is known."""
    status = ray_service.get("status") or {}
    names = [(status.get(part) or {}).get("rayClusterName") for part in ("activeServiceStatus", "pendingServiceStatus")]
    ray_cluster = next((found for name in names if (found := _ray_cluster(cluster, key, name))), None)
    told = await _told(cluster, pods, ray_service, ray_cluster, quiet=False)
    return diagnose(Evidence(now=now, ray_service=ray_service, ray_cluster=ray_cluster, pods=pods, **told))


async def _told(cluster: Cluster, pods: list[Object], *children: Object | None, quiet: bool) -> dict[str, Any]:
    """The claims of the pods that have not come to run, and the Events about these, them and the `children`."""
    if quiet:
        return {}
    stuck = _stuck(pods)
    named = {Key("PersistentVolumeClaim", pod["metadata"]["namespace"], claim) for pod in stuck for claim in _claims(pod)}
    claims = [claim for key in sorted(named) if (claim := await cluster.get(key))]
    events = await cluster.events_about([obj for obj in (*children, *stuck, *claims) if obj is not None])
    return {"claims": claims, "events": events}


def _claims(pod: Object) -> list[str]:
    volumes = pod["spec"].get("volumes") or []
    return [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]


def _ray_cluster(cluster: Cluster, key: Key, name: str | None) -> Object | None:
    return cluster.store.get(Key("RayCluster", key.namespace, name)) if name else None


def _works(ray_job: Object) -> bool:
    return (ray_job.get("status") or {}).get("jobDeploymentStatus") in ("Running", "Complete")


def _stuck(pods: list[Object]) -> list[Object]:
    """Pods that have not come to run."""
    return [pod for pod in pods if (pod.get("status") or {}).get("phase") not in ("Running", "Succeeded")]
