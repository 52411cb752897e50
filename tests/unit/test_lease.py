"""The Lease when the API server does not answer: a try that failed, in time for the next one."""

import asyncio
import socket

import pytest
from kubernetes.aio import client
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord

from raysmith import lease
from support import free_port


async def tries(port: int) -> list[bool]:
    """What reading, making and renewing the Lease come to."""
    record = LeaderElectionRecord("me", "15", "2026-01-01 00:00:00", "2026-01-01 00:00:00")
    async with client.ApiClient(client.Configuration(host=f"http://127.0.0.1:{port}")) as api:
        lock = lease._Lock("raysmith", "default", "me", api)
        lock.lease_reference = client.V1Lease()
        found, _ = await lock.get("raysmith", "default")
        created = await lock.create("raysmith", "default", record)
        return [found, created, await lock.update("raysmith", "default", record)]


def test_nobody_listens() -> None:
    assert asyncio.run(tries(free_port())) == [False, False, False]


def test_somebody_listens_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections wait to be accepted
        assert asyncio.run(tries(silent.getsockname()[1])) == [False, False, False]
