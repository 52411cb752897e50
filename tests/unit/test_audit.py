"""The proof that the watches live: what one does not show is repaired, and makes the operator unhealthy if it stays so."""

import asyncio
from typing import Any, cast

import pytest

from raysmith.audit import Audit
from raysmith.cluster import Cluster
from raysmith.store import Key, Store
from raysmith.workqueue import WorkQueue

RUN = Key("LLMFineTune", "n", "run")


class ClusterDouble:
    """An API server that has one LLMFineTune."""

    def __init__(self) -> None:
        self.store = Store()
        self.there: dict[str, Any] | None = {
            "apiVersion": "raysmith.io/v1alpha1",
            "kind": "LLMFineTune",
            "metadata": {"name": "run", "namespace": "n", "uid": "u", "resourceVersion": "7"},
            "spec": {},
        }

    async def versions(self, kind: str, *_: Any) -> list[dict[str, Any]]:
        return [self.there] if self.there and kind == "LLMFineTune" else []

    async def get(self, key: Key) -> dict[str, Any] | None:
        return self.there if key == RUN else None


class Case:
    def __init__(self) -> None:
        self.cluster = ClusterDouble()
        self.looked: list[Key] = []
        self.queue = WorkQueue(self._work)
        self.audit = Audit(cast("Cluster", self.cluster), self.queue, [])

    async def _work(self, key: Key) -> None:
        self.looked.append(key)

    def watch_shows(self) -> None:
        self.audit.shown(RUN)
        if self.cluster.there:
            self.cluster.store.put(self.cluster.there)


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    async def at_once(_: float) -> None: ...

    monkeypatch.setattr(asyncio, "sleep", at_once)
    return Case()


def test_what_a_watch_has_shown_is_in_order(case: Case) -> None:
    case.watch_shows()
    for _ in range(3):
        asyncio.run(case.audit.audit())
    assert case.audit.alive
    assert len(case.queue) == 0


def test_what_a_watch_has_not_shown_is_looked_at_all_the_same(case: Case) -> None:
    asyncio.run(case.audit.audit())
    assert case.cluster.store.get(RUN) is not None
    assert len(case.queue) == 1
    assert case.audit.alive, "it may only be late"


def test_a_watch_that_still_has_not_shown_it_one_audit_later_is_dead_although_it_was_repaired(case: Case) -> None:
    asyncio.run(case.audit.audit())
    asyncio.run(case.audit.audit())
    assert not case.audit.alive


def test_a_watch_that_was_late_is_not_dead(case: Case) -> None:
    asyncio.run(case.audit.audit())
    case.watch_shows()
    asyncio.run(case.audit.audit())
    assert case.audit.alive
