"""Which replica of the operator works: the one that holds the Lease."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from kubernetes.aio.client import ApiClient, V1Lease, V1ObjectMeta
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

from raysmith.cluster import UNREACHABLE
from raysmith.metrics import API_REQUESTS

LEASE_SECONDS: Final = 15
"""How long a Lease lasts; as Kubernetes' own controllers."""
RENEW_SECONDS: Final = 10
"""How long its holder tries to renew it before it gives up."""
RETRY_SECONDS: Final = 2
"""Between two tries."""
ANSWER_SECONDS: Final = 5
"""How long one try may take. The library waits for minutes, in which another replica takes the Lease and both would work."""


class _Lock(LeaseLock):  # type: ignore[misc]
    """The library's lock, whose requests are counted, and for which an API server that does not answer is a failed try.

    Its own `create` passes `pretty` in a form that its client of version 37 refuses.
    """

    async def get(self, name: str, namespace: str) -> tuple[bool, LeaderElectionRecord | ApiException | None]:
        try:
            self.lease_reference = await self._ask("get", self.api_instance.read_namespaced_lease(name, namespace))
        except ApiException as error:
            return False, error
        return True, self.election_record(self.lease_reference)

    async def update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:
        self.lease_reference.spec = self.update_lease(updated_record, self.lease_reference.spec)
        return await self._done("put", self.api_instance.replace_namespaced_lease(name, namespace, self.lease_reference))

    async def create(self, name: str, namespace: str, election_record: LeaderElectionRecord) -> bool:
        body = V1Lease(metadata=V1ObjectMeta(name=name), spec=self.update_lease(election_record))
        return await self._done("post", self.api_instance.create_namespaced_lease(namespace, body))

    async def _done(self, verb: str, request: Awaitable[V1Lease]) -> bool:
        """Whether it was. Otherwise another replica was faster, or nobody answered."""
        try:
            await self._ask(verb, request)
        except ApiException:
            return False
        return True

    async def _ask(self, verb: str, request: Awaitable[V1Lease]) -> V1Lease:
        """The answer. Raises ApiException, too, if there is none."""
        code = "none"
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await request
            code = "201" if verb == "post" else "200"
        except UNREACHABLE as error:
            raise ApiException(reason=str(error) or "no answer") from error
        except ApiException as error:
            code = str(error.status)
            raise
        finally:
            API_REQUESTS.labels(verb, "Lease", code).inc()
        return answer


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
