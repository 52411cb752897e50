"""Takes what the first worker writes to `progress.json` on to the object, and the wish to suspend back."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from raysmith.api import LLMFineTune, layout
from raysmith.api.common import to_wire
from raysmith_workloads.cluster_status.endpoint import READER, Endpoint, Json, in_short, is_ours
from raysmith_workloads.report import read_progress

log = logging.getLogger(__name__)

PROGRESS_MANAGER: Final = "raysmith-progress"
WRITE_SECONDS: Final = 10
"""Between two reports of one stage."""
SUSPEND_SECONDS: Final = 20
"""Between two reports of progress that has not changed: the answers tell whether the run is to be suspended."""
SUSPENDED: Final = "Suspended"
"""What stands in the attempt's stop file if the run is to be suspended."""


class ProgressReport:
    """Looks at one attempt, and reports what is new of it."""

    def __init__(self, endpoint: Endpoint, obj: LLMFineTune, attempt: Path, clock: Callable[[], float]) -> None:
        self._endpoint = endpoint
        self._obj = obj
        self._attempt = attempt
        self._clock = clock
        self._told: Json | None = None
        self._time = 0.0
        self._met = False
        self._over = False
        self._broken = False

    def look(self) -> None:
        """Report if there is something to report by now. Never raises an error."""
        progress = read_progress(self._attempt)
        if self._over or progress is None:
            return
        wire = to_wire(progress)
        if not self._due(wire):
            return
        self._told, self._time = wire, self._clock()
        try:
            self._tell(wire)
        except Exception as error:
            if not self._broken:
                log.warning("Progress cannot be reported (%s); the run goes on.", in_short(error))
            self._broken = True

    def _due(self, wire: Json) -> bool:
        if self._told is None or wire["stage"] != self._told["stage"]:
            return True
        wait = SUSPEND_SECONDS if wire == self._told else WRITE_SECONDS
        return self._clock() - self._time >= wait

    def _tell(self, wire: Json) -> None:
        if not self._met:
            self._over = not is_ours(self._endpoint.apply({}, READER), self._obj)
            self._met = True
        if self._over:
            return
        answer = self._endpoint.apply({"progress": wire}, PROGRESS_MANAGER)
        self._over = not is_ours(answer, self._obj)
        if not self._over and answer.get("spec", {}).get("suspend"):
            self._suspend()

    def _suspend(self) -> None:
        stop = self._attempt / layout.STOP
        if not stop.exists():
            log.info("The run is to be suspended; the workers make a checkpoint first.")
            stop.write_text(SUSPENDED, encoding="utf-8")
