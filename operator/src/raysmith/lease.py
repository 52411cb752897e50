"""Which replica of the operator works: the one that holds the Lease."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from aiohttp import ClientError
from kubernetes.aio.client import ApiClient, V1Lease, V1ObjectMeta
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

LEASE_SECONDS: Final = 15
"""How long a Lease lasts; as Kubernetes' own controllers."""
RENEW_SECONDS: Final = 10
"""How long its holder tries to renew it before it gives up."""
RETRY_SECONDS: Final = 2
"""Between two tries."""
ANSWER_SECONDS: Final = 5
"""How long one try may take. The library waits for minutes, in which another replica takes the Lease and both would work."""
UNREACHABLE: Final = (OSError, TimeoutError, ClientError)
"""What a try ends with when nobody answers."""


class _Lock(LeaseLock):  # type: ignore[misc]
    """The library's lock, for which an API server that does not answer is a failed try like any other, and not the end.

    Its own `create` passes `pretty` in a form that its client of version 37 refuses.
    """

    async def get(self, name: str, namespace: str) -> tuple[bool, LeaderElectionRecord | ApiException | None]:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await super().get(name, namespace)  # type: ignore[no-any-return]
        except UNREACHABLE as error:
            return False, ApiException(reason=str(error) or "no answer")

    async def update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await super().update(name, namespace, updated_record)  # type: ignore[no-any-return]
        except UNREACHABLE:
            return False

    async def create(self, name: str, namespace: str, election_record: LeaderElectionRecord) -> bool:
        body = V1Lease(metadata=V1ObjectMeta(name=name), spec=self.update_lease(election_record))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.api_instance.create_namespaced_lease(namespace, body)
        except (ApiException, *UNREACHABLE):
            return False  # another replica was faster, or nobody answered
        return True


def identity() -> str:
    """What this replica calls itself in the Lease."""
    return f"{socket.gethostname()}_{os.getpid()}"


async def hold(
    api: ApiClient,
    namespace: str,
    name: str,
    work: Callable[[], Coroutine[Any, Any, None]],
    lost: Callable[[], Awaitable[None]],
) -> None:
    """Wait for the Lease, then run `work` as long as it is held, then `lost`."""
    lock = _Lock(name, namespace, identity(), api)
    await LeaderElection(Config(lock, LEASE_SECONDS, RENEW_SECONDS, RETRY_SECONDS, work, lost)).run()
