"""Keys that want to be looked at: each once at a time, again when told, later after a failure."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from raysmith import workqueue
from raysmith.store import Key
from raysmith.workqueue import WorkQueue

A, B = Key("LLMFineTune", "n", "a"), Key("LLMFineTune", "n", "b")


async def run(work: Callable[[Key], Awaitable[float | None]], *added: Key, seconds: float = 0.2) -> WorkQueue:
    queue = WorkQueue(work, workers=2)
    for key in added:
        queue.add(key)
    task = asyncio.create_task(queue.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return queue


def test_a_key_that_was_added_twice_is_looked_at_once() -> None:
    seen: list[Key] = []

    async def work(key: Key) -> None:
        seen.append(key)

    queue = asyncio.run(run(work, A, A, B))
    assert sorted(seen) == [A, B]
    assert len(queue) == 0


def test_what_happens_while_a_key_is_looked_at_is_looked_at_afterwards_and_never_at_the_same_time() -> None:
    together, most, looks = 0, 0, 0

    async def main() -> None:
        async def work(key: Key) -> None:
            nonlocal together, most, looks
            together, looks = together + 1, looks + 1
            most = max(most, together)
            if looks == 1:
                queue.add(key)
                queue.add(key)
            await asyncio.sleep(0.01)
            together -= 1

        queue = WorkQueue(work, workers=4)
        queue.add(A)
        task = asyncio.create_task(queue.run())
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert (looks, most) == (2, 1)


def test_a_key_is_looked_at_again_when_it_asked_to_be() -> None:
    looks = 0

    async def work(_: Key) -> float | None:
        nonlocal looks
        looks += 1
        return 0.01 if looks < 3 else None

    asyncio.run(run(work, A))
    assert looks == 3


def test_a_key_that_fails_is_tried_again_and_waits_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workqueue, "FIRST_RETRY", 0.02)
    times: list[float] = []

    async def work(_: Key) -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) < 4:
            raise ConnectionError

    asyncio.run(run(work, A, seconds=0.5))
    first, second, third = (after - before for before, after in pairwise(times))
    assert len(times) == 4
    assert first < second < third


def test_one_failing_key_does_not_keep_the_others_waiting() -> None:
    done: list[Key] = []

    async def work(key: Key) -> None:
        if key == A:
            raise ConnectionError
        done.append(key)

    asyncio.run(run(work, A, B))
    assert done == [B]


def test_what_can_wait_is_looked_at_last_unless_it_becomes_urgent() -> None:
    c = Key("LLMFineTune", "n", "c")

    async def main() -> list[Key]:
        seen: list[Key] = []

        async def work(key: Key) -> None:
            seen.append(key)

        queue = WorkQueue(work, workers=1)
        queue.add(A, last=True)
        queue.add(c, last=True)
        queue.add(B)
        queue.add(c)
        task = asyncio.create_task(queue.run())
        await asyncio.wait_for(queue.idle.wait(), 5)
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return seen

    assert asyncio.run(main()) == [B, c, A]
