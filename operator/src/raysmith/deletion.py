"""Deleting an LLMFineTune whose artefact is not to stay: the run ends, a Job deletes what it left, then the object goes."""

from datetime import datetime
from typing import Final

from raysmith.api import LLMFineTune
from raysmith.cluster import Cluster, Rejected
from raysmith.config import Settings
from raysmith.hindrances import finding
from raysmith.references import Resolved
from raysmith.render import deletion_manifests
from raysmith.status.finetune import job_outcome
from raysmith.store import Key, Object

PAUSE_SECONDS: Final = 60
"""Between the failure of the Job that deletes and the next one."""


async def in_the_way(cluster: Cluster, settings: Settings, obj: LLMFineTune, resolved: Resolved, now: datetime) -> str | None:
    """What the object still waits for before it may go, as a sentence; None if for nothing."""
    key = Key(obj.kind, obj.metadata.namespace, obj.metadata.name)
    if not (obj.status and obj.status.attempts) and not cluster.store.children(key, "Job"):
        return None  # it has left nothing
    for child in (*cluster.store.children(key, "RayJob"), *_jobs(cluster, key, ("prepare", "recover"))):
        await cluster.delete(child)
    if living := _living(cluster, key):
        return f"It is deleted when its pod {living[0]} has ended."
    job = next(iter(_jobs(cluster, key, ("delete",))), None)
    if job_outcome(job) == "Failed":
        return await _clear(cluster, job or {}, now)
    return None if job_outcome(job) else await _begin(cluster, settings, obj, resolved)


async def _begin(cluster: Cluster, settings: Settings, obj: LLMFineTune, resolved: Resolved) -> str | None:
    try:
        for manifest in deletion_manifests(obj, settings, resolved.finetunes):
            await (cluster.create if manifest["kind"] == "Job" else cluster.apply)(manifest)
    except Rejected as why:
        # In a namespace that ends nothing can be made any more; the end of its volumes decides about the artefact.
        return None if why.namespace_ends else finding(why, "Running", "run").message
    return "A Job deletes its artefact."


async def _clear(cluster: Cluster, job: Object, now: datetime) -> str:
    """A minute after it failed, the Job makes room for another one."""
    name = job["metadata"]["name"]
    ended = max(datetime.fromisoformat(found["lastTransitionTime"]) for found in job["status"]["conditions"])
    if (now - ended).total_seconds() > PAUSE_SECONDS:
        await cluster.delete(job)
    return f"The Job {name}, which deletes the artefact, failed and is made again after a minute: kubectl logs job/{name}."


def _living(cluster: Cluster, key: Key) -> list[str]:
    """The pods of the run that may still write, by name."""
    pods = [pod for pod in cluster.store.children(key, "Pod") if pod["status"].get("phase") not in ("Succeeded", "Failed")]
    return [pod["metadata"]["name"] for pod in pods if pod["metadata"]["labels"].get("raysmith.io/step") != "delete"]


def _jobs(cluster: Cluster, key: Key, steps: tuple[str, ...]) -> list[Object]:
    jobs = cluster.store.children(key, "Job")
    return [job for job in jobs if job["metadata"]["labels"].get("raysmith.io/step") in steps]
