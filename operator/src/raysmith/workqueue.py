"""Keys that want to be looked at: each at most once at a time, again when something happened meanwhile, later when told."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable

from raysmith.store import Key

log = logging.getLogger(__name__)

FIRST_RETRY: float = 1.0
LONGEST_RETRY: float = 300.0
"""Seconds that a key waits after its first failure, and at most; each failure in a row doubles the wait."""


class WorkQueue:
    """Runs `work(key)` for the keys that were added. What `work` returns is when to look again, in seconds; None is never.

    A key that fails waits longer each time. Everything runs on one event loop, so there is nothing to lock.
    """

    def __init__(self, work: Callable[[Key], Awaitable[float | None]], workers: int = 16) -> None:
        self._work = work
        self._workers = workers
        self._ready: asyncio.PriorityQueue[tuple[bool, int, Key]] = asyncio.PriorityQueue()
        self._order = itertools.count()
        # Whether each of them can wait until the others are done.
        self._waiting: dict[Key, bool] = {}
        self._again: dict[Key, bool] = {}
        self._running: set[Key] = set()
        self.idle = asyncio.Event()
        """Set while no key waits for a worker."""
        self.idle.set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}

    def add(self, key: Key, *, last: bool = False) -> None:
        """Look at `key` as soon as a worker is free; with `last`, when nothing else waits, but not later than it was to be."""
        if not last and (timer := self._timers.pop(key, None)):
            timer.cancel()
        if key in self._running:
            self._again[key] = last and self._again.get(key, True)
        elif key not in self._waiting or (self._waiting[key] and not last):
            self._waiting[key] = last
            self._ready.put_nowait((last, next(self._order), key))
            self.idle.clear()

    def add_later(self, key: Key, seconds: float) -> None:
        """Look at `key` after `seconds`, unless it is added before; the earlier of two times counts."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer and timer.when() <= loop.time() + seconds:
            return
        if timer:
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self.add, key)

    def __len__(self) -> int:
        """Keys that wait for a worker."""
        return len(self._waiting)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._run_one())

    async def _run_one(self) -> None:
        while True:
            *_, key = await self._ready.get()
            if self._waiting.pop(key, None) is None:
                continue  # it was taken already, when it could not wait any longer
            if not self._waiting:
                self.idle.set()
            self._running.add(key)
            try:
                later = await self._work(key)
                self._failures.pop(key, None)
            except Exception:
                later = self._after_failure(key)
                log.exception("%s %s/%s could not be reconciled; trying again in %.0f s.", *key, later)
            finally:
                self._running.discard(key)
            again = self._again.pop(key, None)
            if again is not None:
                self.add(key, last=again)
            if again is not False and later is not None:
                self.add_later(key, later)

    def _after_failure(self, key: Key) -> float:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return float(min(FIRST_RETRY * 2**failures, LONGEST_RETRY))
