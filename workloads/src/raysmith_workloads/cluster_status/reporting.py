"""Around a run: reports its progress from a thread, and its end when it is over."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

from raysmith.api import LLMFineTune, layout
from raysmith_workloads.cluster_status.end import end_status, tell_end
from raysmith_workloads.cluster_status.endpoint import Endpoint
from raysmith_workloads.cluster_status.progress import ProgressReport
from raysmith_workloads.storage import run_folder

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1


class Reporting:
    """What a run is put into. Does nothing outside of a cluster."""

    def __init__(self, obj: LLMFineTune, endpoint: Endpoint | None, clock: Callable[[], float] = time.monotonic) -> None:
        """`endpoint` is None where nothing can be reported."""
        self._obj = obj
        self._endpoint = endpoint
        self._clock = clock
        self._folder = run_folder(obj)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        if self._endpoint is not None:
            attempt = self._folder / layout.attempt_folder(self._obj.attempt)
            report = ProgressReport(self._endpoint, self._obj, attempt, self._clock)
            self._thread = threading.Thread(target=self._watch, args=(report,), name="raysmith-progress", daemon=True)
            self._thread.start()
        return self

    @contextmanager
    def end_noted(self) -> Iterator[None]:
        """Around the run itself: how it ends is what is told at the end. The exception goes on."""
        try:
            yield
        except BaseException as error:
            self._error = error
            raise

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        if self._endpoint is None or self._thread is None:
            return
        try:
            self._over.set()
            self._thread.join()
            end = end_status(self._obj, self._folder, self._error)
            if end is not None:
                tell_end(self._endpoint, self._obj, end, clock=self._clock)
        except KeyboardInterrupt:
            log.warning("Interrupted while the end of the run was reported; it stands in %s.", self._folder)
        except Exception:
            log.exception("The end of the run could not be reported; it stands in %s.", self._folder)

    def _watch(self, report: ProgressReport) -> None:
        while not self._over.wait(LOOK_SECONDS):
            report.look()
        report.look()
