"""Holds the store against the API server from time to time: the proof that the watches live, and the repair if they do not.

A watch can die without a word. What it missed is looked up here and reconciled; and what it still has not shown one audit
later makes the operator unhealthy, so that it is started again.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from raysmith.cluster import ApiError, Cluster, KindMissing
from raysmith.store import MANAGED, OWN_KINDS, Key, key_of, parent_of, version
from raysmith.workqueue import WorkQueue

log = logging.getLogger(__name__)

AUDIT_SECONDS: Final = 60
AUDITED: Final = (*OWN_KINDS, "Job", "RayJob", "RayService", "RayCluster", "Service", "Pod")
"""The kinds whose events decide something."""


class Audit:
    """Compares versions, repairs, and remembers what the watches owe."""

    def __init__(self, cluster: Cluster, queue: WorkQueue, namespaces: Sequence[str]) -> None:
        self._cluster, self._queue = cluster, queue
        self._namespaces = tuple(namespaces) or ("",)
        self._owed: set[Key] = set()
        self.alive = True

    def shown(self, key: Key) -> None:
        """A watch has shown something of `key`."""
        self._owed.discard(key)

    async def run(self) -> None:
        """Audit for ever."""
        while True:
            await asyncio.sleep(AUDIT_SECONDS)
            try:
                await self.audit()
            except (ApiError, OSError) as error:
                log.warning("The audit of the watches could not be made (%s).", error)

    async def audit(self) -> None:
        """One comparison. What was missed is reconciled; what a watch still owes since the last one means that it is dead."""
        overdue = sorted(self._owed)
        self.alive = not overdue
        if overdue:
            log.error("The watches have not shown %s %s/%s since the last audit; the operator is unhealthy.", *overdue[0])
        for kind in AUDITED:
            for namespace in self._namespaces:
                missed = await self._behind(kind, namespace)
                self._owed |= missed
                for key in missed:
                    await self._repair(key)

    async def _behind(self, kind: str, namespace: str) -> set[Key]:
        """What the store does not know, or knows an older version of, or has not heard is gone."""
        before = set(map(key_of, self._cluster.store.all(kind, namespace or None)))
        try:
            listed = await self._cluster.versions(kind, namespace, None if kind in OWN_KINDS else MANAGED)
        except KindMissing:
            return set()
        there = {key_of(obj): version(obj) for obj in listed}
        await asyncio.sleep(1)  # what was written a moment ago is on its way through the watch
        store = self._cluster.store
        newer = {key for key, seen in there.items() if (known := store.get(key)) is None or version(known) < seen}
        gone = {key for key in before if key not in there and store.get(key) is not None}
        return newer | gone

    async def _repair(self, key: Key) -> None:
        known = self._cluster.store.get(key)
        if found := await self._cluster.get(key):
            self._cluster.store.put(found)
        elif known is None:
            self._owed.discard(key)  # it came and went within the second
        if obj := found or known:
            self._queue.add(key if key.kind in OWN_KINDS else parent_of(obj) or key)
