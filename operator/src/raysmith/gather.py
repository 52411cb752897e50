"""Gathers what explains why an object's children do not run: their own status, their pods', and the Events about them.

Events are asked for only where they say what no object says, because each question makes the API server read all Events of the
namespace: a healthy object costs no request, nor does one whose pods wait for a node.
"""

from datetime import datetime
from typing import Any, Final

from raysmith.api import LLMFineTune, to_wire
from raysmith.cluster import Cluster
from raysmith.status.diagnose import diagnose
from raysmith.status.evidence import Diagnosis, Evidence
from raysmith.status.finetune import job_outcome
from raysmith.status.pods import ordered
from raysmith.store import Key, Object

ASKED: Final = 5
"""Pods that are looked at more closely: hundreds of them mostly wait for the same."""


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
        told = {} if _works(ray_job) else await _told(cluster, pods, None if ray_cluster else ray_job)
        return diagnose(
            Evidence(now=now, ray_job=ray_job, ray_cluster=ray_cluster, pods=pods, attempt=number, failure=said, **told)
        )
    if job is None or job_outcome(job) == "Complete":
        return None
    pods = [pod for pod in pods if pod["metadata"]["labels"].get("raysmith.io/step") == "prepare"]
    told = await _told(cluster, pods, None if pods else job)
    return diagnose(Evidence(now=now, job=job, pods=pods, attempt=number, failure=said, **told))


async def diagnose_service(
    cluster: Cluster, key: Key, ray_service: Object, pods: list[Object], now: datetime
) -> Diagnosis | None:
    """What keeps the pods of a revision from answering, if anything is known."""
    status = ray_service.get("status") or {}
    names = [(status.get(part) or {}).get("rayClusterName") for part in ("activeServiceStatus", "pendingServiceStatus")]
    ray_cluster = next((found for name in names if (found := _ray_cluster(cluster, key, name))), None)
    told = await _told(cluster, pods)
    return diagnose(Evidence(now=now, ray_service=ray_service, ray_cluster=ray_cluster, pods=pods, **told))


async def _told(cluster: Cluster, pods: list[Object], childless: Object | None = None) -> dict[str, Any]:
    """The claims of pods without a node, and the Events about what does not come to run. `childless` has made nothing yet."""
    stuck = ordered([pod for pod in pods if (pod.get("status") or {}).get("phase") not in ("Running", "Succeeded")])[:ASKED]
    about = [pod for pod in stuck if pod["spec"].get("nodeName")]  # why another one has no node stands in itself
    named = {claim for pod in stuck if pod not in about for claim in _claims(pod)}
    claims = [claim for key in sorted(named) if (claim := cluster.store.get(key))]
    about += [claim for claim in claims if (claim.get("status") or {}).get("phase") == "Pending"]
    if childless and childless.get("status"):  # without a status, nobody has looked at it yet
        about.append(childless)
    return {"claims": claims, "events": await cluster.events_about(about)}


def _claims(pod: Object) -> list[Key]:
    volumes = [volume for volume in pod["spec"].get("volumes") or [] if "persistentVolumeClaim" in volume]
    names = [volume["persistentVolumeClaim"]["claimName"] for volume in volumes]
    return [Key("PersistentVolumeClaim", pod["metadata"]["namespace"], name) for name in names]


def _ray_cluster(cluster: Cluster, key: Key, name: str | None) -> Object | None:
    return cluster.store.get(Key("RayCluster", key.namespace, name)) if name else None


def _works(ray_job: Object) -> bool:
    return (ray_job.get("status") or {}).get("jobDeploymentStatus") in ("Running", "Complete")
