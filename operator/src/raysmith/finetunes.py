"""Reconciling an LLMFineTune: what is seen of its children, and what the verdict asks for."""

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Final

from raysmith import deletion
from raysmith.api import LLMFineTune, to_wire
from raysmith.api.finetune import DeletionPolicy, LLMFineTuneStatus
from raysmith.cluster import Cluster
from raysmith.config import Settings
from raysmith.events import Announcer
from raysmith.gather import diagnose_finetune
from raysmith.hindrances import HINDRANCES, finding
from raysmith.references import Resolved, resolve
from raysmith.render import names, recovery_job, render, rendered
from raysmith.status import finetune
from raysmith.status.conditions import holds
from raysmith.status.evidence import Cause, Diagnosis
from raysmith.status.finetune import Seen, Verdict, Want
from raysmith.store import Key, Object, key_of

FINALIZER: Final = "raysmith.io/artifact"
"""Keeps an object with `deletionPolicy: Delete` until its artefact is deleted."""
IDENTITY: Final = ("ServiceAccount", "Role", "RoleBinding")
"""What a run needs to speak for itself; a preparation says nothing to the API server."""
RUNS_OWN: Final = ("progress", "result", "failure")
"""What the run itself writes into the status."""


class FineTunes:
    """Reconciles LLMFineTunes."""

    def __init__(self, cluster: Cluster, settings: Settings, announcer: Announcer) -> None:
        self._cluster, self._settings, self._announcer = cluster, settings, announcer

    async def reconcile(self, obj: LLMFineTune, raw: Object, now: datetime) -> float | None:
        """Make `obj` true. Returns the seconds until the next look."""
        resolved = resolve(obj, self._cluster.store)
        if raw["metadata"].get("deletionTimestamp"):
            return await self._delete(obj, raw, resolved, now)
        if finetune.expired(obj, now):
            await self._cluster.delete(raw)
            return None
        await self._own_finalizer(obj, raw)
        finished = obj.status is not None and holds(obj.status.conditions, "Finished")
        manifests, refusals = ([], []) if finished else rendered(obj, self._settings, resolved.finetunes)
        # Nothing that is seen changes the verdict on a finished object any more.
        seen = Seen() if finished else replace(await self._observe(obj, raw, resolved, now), refusals=refusals)
        verdict = finetune.verdict(obj, seen, now)
        try:
            await self._act(obj, raw, resolved, manifests, verdict)
        except HINDRANCES as why:
            verdict = finetune.verdict(obj, replace(seen, hindered=finding(why, "Running", "run")), now)
        await self._summarise(obj, raw, verdict)
        return verdict.again

    async def _observe(self, obj: LLMFineTune, raw: Object, resolved: Resolved, now: datetime) -> Seen:
        key, attempt = key_of(raw), _attempt(obj)
        job = self._child(key, "Job", attempt, "prepare")
        ray_job = self._child(key, "RayJob", attempt)
        if ray_job is None and attempt and _was_training(obj, attempt):
            name = names.ray_job(obj.metadata.name, attempt)
            ray_job = await self._cluster.get(Key("RayJob", key.namespace, name))
            if ray_job is None:
                return Seen(diagnosis=_deleted(name))
        diagnosis = await diagnose_finetune(self._cluster, obj, key, job, ray_job, now) if attempt else None
        return Seen(
            model=resolved.model,
            waiting_for=resolved.waiting_for,
            reference_failed=resolved.failed,
            job=job,
            ray_job=ray_job,
            recovery=self._child(key, "Job", attempt, "recover"),
            diagnosis=diagnosis,
        )

    def _child(self, parent: Key, kind: str, attempt: int | None, step: str | None = None) -> Object | None:
        wanted = {"raysmith.io/attempt": str(attempt)} | ({"raysmith.io/step": step} if step else {})
        children = self._cluster.store.children(parent, kind)
        return next((child for child in children if wanted.items() <= child["metadata"]["labels"].items()), None)

    async def _act(self, obj: LLMFineTune, raw: Object, resolved: Resolved, manifests: list[Object], verdict: Verdict) -> None:
        if verdict.want is Want.CLEAR:
            for kind in ("RayJob", "Job"):
                for child in self._cluster.store.children(key_of(raw), kind):
                    await self._cluster.delete(child)
        if verdict.want in (Want.NOTHING, Want.CLEAR):
            return
        judged = _judged(obj, verdict.status)
        if (judged.attempt, verdict.status.model) != (obj.attempt, obj.status and obj.status.model):
            manifests = render(judged, self._settings, resolved.finetunes)
        await self._give_back(key_of(raw), verdict.status.attempt)
        await self._make(manifests, verdict.want)
        if verdict.want is Want.RECOVER:
            await self._cluster.create(recovery_job(judged, self._settings, resolved.finetunes))

    async def _give_back(self, parent: Key, attempt: int | None) -> None:
        """What earlier attempts left behind goes: the new one needs their machines. Their logs lie in storage."""
        for kind in ("RayJob", "Job", "ConfigMap"):
            for child in self._cluster.store.children(parent, kind):
                if child["metadata"]["labels"].get("raysmith.io/attempt") != str(attempt):
                    await self._cluster.delete(child)

    async def _make(self, manifests: list[Object], want: Want) -> None:
        """Jobs cannot change, and RayJobs are Kueue's to change: both are created once and left alone. The rest is applied."""
        runs = {Want.PREPARE: "Job", Want.TRAIN: "RayJob"}.get(want)
        shared = ("ConfigMap",) if want is Want.PREPARE else ("ConfigMap", *IDENTITY)
        await asyncio.gather(*(self._cluster.apply(manifest) for manifest in manifests if manifest["kind"] in shared))
        for manifest in manifests:
            if manifest["kind"] == runs:
                await self._cluster.create(manifest)

    async def _summarise(self, obj: LLMFineTune, raw: Object, verdict: Verdict) -> None:
        status = {key: value for key, value in to_wire(verdict.status).items() if key not in RUNS_OWN}
        await self._cluster.apply_status(raw, status, RUNS_OWN)
        self._announcer.announce(obj, obj.status.conditions if obj.status else None, verdict.status.conditions)

    async def _own_finalizer(self, obj: LLMFineTune, raw: Object) -> None:
        wanted = obj.spec.output.deletion_policy is DeletionPolicy.DELETE
        if wanted and FINALIZER not in (raw["metadata"].get("finalizers") or []):
            await self._cluster.set_finalizers(raw, [FINALIZER])

    async def _delete(self, obj: LLMFineTune, raw: Object, resolved: Resolved, now: datetime) -> float | None:
        """The object may go when nothing is in its way any more."""
        if FINALIZER not in (raw["metadata"].get("finalizers") or []):
            return None
        message = await deletion.in_the_way(self._cluster, self._settings, obj, resolved, now)
        if message is None:
            await self._cluster.set_finalizers(raw, [])
            return None
        await self._summarise(obj, raw, finetune.deleting(obj, message, now))
        return 30


def _attempt(obj: LLMFineTune) -> int | None:
    """The number of the open attempt."""
    attempts = (obj.status and obj.status.attempts) or []
    return attempts[-1].number if attempts and attempts[-1].end_time is None else None


def _was_training(obj: LLMFineTune, attempt: int) -> bool:
    """Whether the status says that the RayJob of this attempt was made."""
    return obj.status is not None and obj.status.attempt == attempt and holds(obj.status.conditions, "Prepared")


def _deleted(name: str) -> Diagnosis:
    message = f"RayJob {name} was deleted while the run was going."
    return Diagnosis("RayJobDeleted", message, None, Cause.INFRASTRUCTURE, True)


def _judged(obj: LLMFineTune, status: LLMFineTuneStatus) -> LLMFineTune:
    return obj.model_copy(update={"status": status})
