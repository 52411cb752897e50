"""Kubernetes Events about our objects: one for each condition that changes, so that `kubectl describe` tells the story."""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from raysmith import api
from raysmith.api import LLMFineTune, LLMService
from raysmith.api.common import Condition, ConditionStatus
from raysmith.cluster import UNREACHABLE, ApiError, Cluster
from raysmith.status.conditions import find
from raysmith.store import Object

log = logging.getLogger(__name__)

_CALM: Final = frozenset(
    {
        "Ended",
        "NoReplicas",
        "Preparing",
        "Queued",
        "Starting",
        "Suspended",
        "Suspending",
        "RolledOut",
        "WaitingForModel",
    }
)
"""Reasons of conditions that do not hold and need nobody."""
MESSAGE_LIMIT: Final = 1024
"""What the API server takes."""


class Announcer:
    """Posts Events. An Event is a courtesy: it lets reconciles go first, and one that cannot be written is only logged."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._waiting: asyncio.Queue[Object] = asyncio.Queue()

    def announce(self, obj: LLMFineTune | LLMService, old: Sequence[Condition] | None, new: Sequence[Condition] | None) -> None:
        """One Event for each condition of `new` whose status or reason is not that of `old`; what two say alike, once."""
        told = set[str]()
        for condition in new or []:
            before = find(old, condition.type)
            same = before is not None and (before.status, before.reason) == (condition.status, condition.reason)
            if not same and condition.message not in told:
                told.add(condition.message)
                self._waiting.put_nowait(_event(obj, condition))

    async def run(self, idle: asyncio.Event) -> None:
        """Post what was announced, one after the other, until cancelled. Each waits a second for `idle`."""
        while True:
            event = await self._waiting.get()
            with suppress(TimeoutError):
                await asyncio.wait_for(idle.wait(), 1)
            try:
                await self._cluster.post_event(event)
            except (ApiError, *UNREACHABLE) as error:
                about, said = event["involvedObject"], getattr(error, "reason", None) or error
                log.warning("An Event about %s %s could not be written (%s).", about["kind"], about["name"], said)


def _event(obj: LLMFineTune | LLMService, condition: Condition) -> Object:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    calm = condition.status is ConditionStatus.TRUE or condition.reason in _CALM
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{obj.metadata.name}.{secrets.token_hex(8)}", "namespace": obj.metadata.namespace},
        "involvedObject": {
            "apiVersion": api.API_VERSION,
            "kind": obj.kind,
            "name": obj.metadata.name,
            "namespace": obj.metadata.namespace,
            "uid": obj.metadata.uid,
        },
        "type": "Normal" if calm else "Warning",
        "reason": condition.reason,
        "message": f"{condition.type}: {condition.message}"[:MESSAGE_LIMIT],
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "source": {"component": "raysmith"},
    }
