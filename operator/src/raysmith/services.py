"""Reconciling an LLMService: its revisions, which of them answers, and where the Service points."""

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Any

from raysmith.api import LLMService, to_wire
from raysmith.api.service import LLMServiceStatus
from raysmith.cluster import Cluster, NameTaken
from raysmith.config import Settings
from raysmith.events import Announcer
from raysmith.gather import diagnose_service
from raysmith.hindrances import HINDRANCES, finding
from raysmith.probe import Probe
from raysmith.references import Resolved, resolve
from raysmith.render import rendered
from raysmith.render.service import PORT
from raysmith.status import service
from raysmith.status.service import NO_REVISION, Seen, Verdict
from raysmith.store import Key, Object, key_of

REVISION = "raysmith.io/revision"


class Services:
    """Reconciles LLMServices."""

    def __init__(self, cluster: Cluster, settings: Settings, announcer: Announcer, probe: Probe) -> None:
        self._cluster, self._settings, self._announcer, self._probe = cluster, settings, announcer, probe

    async def reconcile(self, obj: LLMService, raw: Object, now: datetime) -> float | None:
        """Make `obj` true. Returns the seconds until the next look."""
        if raw["metadata"].get("deletionTimestamp"):
            return None
        resolved = resolve(obj, self._cluster.store)
        wanted, refusals = self._wanted(obj, resolved)
        seen = await self._observe(raw, resolved, wanted, refusals, now)
        address = f"http://{obj.metadata.name}.{obj.metadata.namespace}.svc:{PORT}/v1"
        verdict = service.verdict(obj, seen, now, address=address)
        try:
            await self._act(raw, wanted, verdict)
        except NameTaken as taken:
            verdict = service.without_address(obj, seen, now, finding(taken, "Ready", "service"))
        except HINDRANCES as why:
            verdict = service.verdict(obj, replace(seen, hindered=finding(why, "Ready", "service")), now, address=address)
        await self._cluster.apply_status(raw, to_wire(verdict.status))
        self._announcer.announce(obj, obj.status.conditions if obj.status else None, verdict.status.conditions)
        return verdict.again

    def _wanted(self, obj: LLMService, resolved: Resolved) -> tuple[list[Object], list[str]]:
        """The manifests of the revision that the object asks for now, and what keeps it from having one."""
        status = LLMServiceStatus(model=resolved.model, adapters=list(resolved.adapters) or None)
        return rendered(obj.model_copy(update={"status": status}), self._settings, resolved.finetunes)

    async def _observe(self, raw: Object, resolved: Resolved, wanted: list[Object], refusals: list[str], now: datetime) -> Seen:
        key = key_of(raw)
        revisions = {_revision(child): child for child in self._cluster.store.children(key, "RayService")}
        desired = None if resolved.waiting_for or resolved.failed else _desired(wanted)
        counts = await asyncio.gather(*(self._answering(key, revision) for revision in revisions))
        answering = dict(zip(revisions, counts, strict=True))
        at = await self._service(key)
        diagnosis = None
        if desired in revisions and not answering.get(desired):
            diagnosis = await diagnose_service(self._cluster, key, revisions[desired], self._pods(key, desired), now)
        return Seen(
            refusals=refusals,
            waiting_for=" ".join(filter(None, (resolved.waiting_for, resolved.failed))) or None,
            model=resolved.model,
            adapters=list(resolved.adapters),
            desired=desired,
            active=(at["spec"].get("selector") or {}).get(REVISION) if at else None,
            reached=await self._probe.reached(at, PORT) if any(counts) else False,
            revisions=revisions,
            answering=answering,
            diagnosis=diagnosis,
        )

    async def _answering(self, key: Key, revision: str) -> int:
        serving = [pod for pod in self._pods(key, revision) if pod["metadata"]["labels"].get("ray.io/serve") == "true"]
        return await self._probe.answering(serving, PORT)

    def _pods(self, key: Key, revision: str | None) -> list[Object]:
        return [pod for pod in self._cluster.store.children(key, "Pod") if _revision(pod) == revision]

    async def _service(self, key: Key) -> Object | None:
        service = Key("Service", key.namespace, key.name)
        return self._cluster.store.get(service) or await self._cluster.get(service)

    async def _act(self, raw: Object, wanted: list[Object], verdict: Verdict) -> None:
        """The Service comes first, so that the address is there from the start; then what is to start; then what has to go."""
        for manifest in wanted:
            if manifest["kind"] == "Service":
                await self._cluster.apply(_pointed(manifest, verdict.point_to))
        if verdict.start:
            for manifest in wanted:
                if manifest["kind"] != "Service":
                    await self._cluster.apply(manifest)
        children = [c for kind in ("RayService", "ConfigMap") for c in self._cluster.store.children(key_of(raw), kind)]
        for child in children:
            if _revision(child) not in verdict.keep:
                await self._cluster.delete(child)


def _revision(child: Object) -> str:
    return str(child["metadata"]["labels"].get(REVISION, NO_REVISION))


def _desired(wanted: list[Object]) -> str | None:
    return next((_revision(manifest) for manifest in wanted if manifest["kind"] == "RayService"), None)


def _pointed(manifest: Object, revision: str) -> Object:
    spec: dict[str, Any] = manifest["spec"]
    return {**manifest, "spec": {**spec, "selector": spec["selector"] | {REVISION: revision}}}
