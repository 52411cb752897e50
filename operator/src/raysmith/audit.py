"""Holds the store against the API server from time to time: the proof that the watches live, and the repair if they do not.

A watch can die without a word. What it missed is looked up here and reconciled; and what it still has not shown one audit
later makes the operator unhealthy, so that it is started again.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from raysmith.cluster import UNREACHABLE, ApiError, Cluster, KindMissing
from raysmith.store import CHILDREN, MANAGED, OWN_KINDS, Key, key_of, parent_of, version
from raysmith.workqueue import WorkQueue

log = logging.getLogger(__name__)

AUDIT_SECONDS: Final = 60
LOOK_SECONDS: Final = 1
"""What a watch may lag behind, and how soon an API server that does not answer is asked again at the start."""


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
            except (ApiError, *UNREACHABLE) as error:
                log.warning("The audit of the watches could not be made (%s).", error)

    async def audit(self) -> None:
        """One comparison. What was missed is reconciled; what a watch still owes since the last one means that it is dead."""
        overdue = sorted(self._owed)
        self.alive = not overdue
        if overdue:
            log.error("The watches have not shown %s %s/%s since the last audit; the operator is unhealthy.", *overdue[0])
        for kind, namespace in self._places():
            missed = await self._behind(kind, namespace)
            self._owed |= missed
            for key in missed:
                await self._repair(key)

    async def caught_up(self) -> None:
        """Wait until the watches have shown all there is: what was not read yet must not be taken for gone."""
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    missing = [group.create_task(self._behind(kind, name)) for kind, name in self._places()]
                if not any(task.result() for task in missing):
                    return
            except* (ApiError, *UNREACHABLE) as errors:
                log.warning("It is not known yet what there is (%s).", errors.exceptions[0])
                await asyncio.sleep(LOOK_SECONDS)

    def _places(self) -> list[tuple[str, str]]:
        return [(kind, namespace) for kind in (*OWN_KINDS, *CHILDREN) for namespace in self._namespaces]

    async def _behind(self, kind: str, namespace: str) -> set[Key]:
        """What the store does not know, or knows an older version of, or has not heard is gone."""
        before = set(map(key_of, self._cluster.store.all(kind, namespace or None)))
        try:
            listed = await self._cluster.versions(kind, namespace, None if kind in OWN_KINDS else MANAGED)
        except KindMissing:
            return set()
        there = {key_of(obj): version(obj) for obj in listed}
        await asyncio.sleep(LOOK_SECONDS)  # what was written a moment ago is on its way through the watch
        store = self._cluster.store
        newer = {key for key, seen in there.items() if (known := store.get(key)) is None or version(known) < seen}
        gone = {key for key in before if key not in there and store.get(key) is not None}
        return newer | gone

    async def _repair(self, key: Key) -> None:
        known = self._cluster.store.get(key)
        if found := await self._cluster.get(key):
            self._cluster.store.put(found)
        else:
            self._owed.discard(key)  # it is gone, and a watch that was broken off meanwhile shows no deletions
        if obj := found or known:
            self._queue.add(key if key.kind in OWN_KINDS else parent_of(obj) or key)
