"""What wakes the operator. The only module that imports kopf, which keeps the watches.

    an LLMFineTune or LLMService changes     -> it is reconciled
    a child changes, comes or goes           -> its parent is reconciled (who that is stands in the child's labels)
    an LLMFineTune ends                      -> whoever names it is reconciled

Claims are kept, too, because they explain why pods wait, and wake nobody: what they change, the pods' own status tells.
Nothing is decided here: an event only says that something is worth a look.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import kopf
from typing_extensions import override

from raysmith.cluster import RESOURCES
from raysmith.metrics import OBJECTS, QUEUE
from raysmith.store import CHILDREN, MANAGED, OWN_KINDS, Key, Store, key_of, parent_of
from raysmith.workqueue import WorkQueue


class Watches:
    """Feeds the store and the queue from kopf's watches."""

    def __init__(self, store: Store, queue: WorkQueue, shown: Callable[[Key], None]) -> None:
        self._store, self._queue, self._shown = store, queue, shown
        self.registry = kopf.OperatorRegistry()
        kopf.on.login(id="login", registry=self.registry)(_login)
        for kind in (*OWN_KINDS, *CHILDREN, "PersistentVolumeClaim"):
            group_version, plural = RESOURCES[kind]
            kopf.on.event(*_selector(group_version), plural, id=f"see-{plural}", registry=self.registry)(self._see)

    async def _see(self, event: kopf.RawEvent, **_: Any) -> None:
        obj: dict[str, Any] = dict(event["object"])
        key = key_of(obj)
        self._shown(key)
        news = True
        if event["type"] == "DELETED":
            self._store.remove(key, obj["metadata"].get("uid"))
        else:
            news = self._store.put(obj)
        if key.kind in OWN_KINDS:
            # A status that we wrote ourselves asks for the verdict after it, which seldom is another one.
            self._queue.add(key, last=not news)
            for dependent in self._store.dependents(key):
                self._queue.add(dependent)
        elif news and (parent := parent_of(obj)) is not None:
            self._queue.add(parent)

    def count(self) -> None:
        """Tell the metrics how many objects there are, by phase, and how many wait."""
        QUEUE.set(len(self._queue))
        OBJECTS.clear()
        for kind in OWN_KINDS:
            phases = Counter((obj.get("status") or {}).get("phase") or "New" for obj in self._store.all(kind))
            for phase, count in phases.items():
                OBJECTS.labels(kind, phase).set(count)


def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """As a pod, or as whoever $KUBECONFIG names."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


class _Nothing(kopf.ProgressStorage, kopf.DiffBaseStorage):
    """What kopf remembers between events: nothing. By default, it copies every object several times to find what changed."""

    @override
    def build(self, **_: Any) -> Any:
        return {}

    @override
    def clear(self, *, essence: Any) -> Any:
        return essence

    @override
    def fetch(self, **_: Any) -> None: ...

    @override
    def store(self, **_: Any) -> None: ...

    @override
    def purge(self, **_: Any) -> None: ...

    @override
    def touch(self, **_: Any) -> None: ...


def kopf_settings() -> kopf.OperatorSettings:
    """Settings of kopf: no peering (a Lease decides who works), no Events of its own, only our own children are watched."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.persistence.progress_storage = _Nothing()
    settings.persistence.diffbase_storage = _Nothing()
    for kind in CHILDREN:
        group_version, plural = RESOURCES[kind]
        settings.watching.label_selectors[(*_selector(group_version), plural)] = MANAGED
    return settings


def _selector(group_version: str) -> tuple[str, str]:
    group, _, version = group_version.rpartition("/")
    return group, version
