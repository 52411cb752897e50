"""From an object's name to what makes it true: parse -> observe -> resolve -> judge -> render -> apply -> summarise.

Level-triggered: everything is read anew from the store each time, so it does not matter which event woke us, nor how often.
What differs between the kinds stands in `finetunes.py` and `services.py`.
"""

import logging
import time
from datetime import UTC, datetime

from pydantic import ValidationError

from raysmith.api import KINDS
from raysmith.cluster import Cluster
from raysmith.config import Settings
from raysmith.events import Announcer
from raysmith.finetunes import FineTunes
from raysmith.metrics import RECONCILES, SECONDS
from raysmith.probe import Probe
from raysmith.services import Services
from raysmith.store import Key

log = logging.getLogger(__name__)


class Reconciler:
    """Reconciles both kinds."""

    def __init__(self, cluster: Cluster, settings: Settings, announcer: Announcer, probe: Probe) -> None:
        self._cluster = cluster
        self._finetunes = FineTunes(cluster, settings, announcer)
        self._services = Services(cluster, settings, announcer, probe)

    async def reconcile(self, key: Key) -> float | None:
        """Make the object true. Returns the seconds until time alone asks for another look, None for never."""
        began, outcome = time.monotonic(), "failed"
        try:
            again = await self._reconcile(key)
            outcome = "done"
            return again
        finally:
            RECONCILES.labels(key.kind, outcome).inc()
            SECONDS.labels(key.kind).observe(time.monotonic() - began)

    async def _reconcile(self, key: Key) -> float | None:
        raw = self._cluster.store.get(key)
        if raw is None:
            return None
        try:
            obj = KINDS[key.kind].model_validate(raw)
        except ValidationError as error:
            # The API server lets nothing pass that the models refuse, unless its CRDs are of another version.
            problem = error.errors()[0]["msg"]
            log.error("%s %s/%s is not what this version reads (%s); upgrade the CRDs.", *key, problem)  # noqa: TRY400
            return None
        now = datetime.now(UTC)
        part = self._finetunes if key.kind == "LLMFineTune" else self._services
        return await part.reconcile(obj, raw, now)  # type: ignore[arg-type]
