"""Whether a service answers: the OpenAI API is asked, pod by pod and at its address, because readiness says less than that."""

import asyncio
from typing import Protocol

import aiohttp

from raysmith.store import Object

TIMEOUT = aiohttp.ClientTimeout(3)
"""What a pod gets to answer a question that costs it nothing, in seconds."""


class Probe(Protocol):
    """Asks pods and addresses."""

    async def answering(self, pods: list[Object], port: int) -> int:
        """How many of `pods` answer at `port`."""

    async def reached(self, service: Object | None, port: int) -> bool:
        """Whether something answers at `port` of the Service's own address."""


class HttpProbe:
    """Asks `GET /v1/models`. A service that wants a key answers, too, when it says so (401).

    Addresses of Services lead somewhere only inside of a cluster: from outside, all that is known is what the pods say.
    """

    def __init__(self, session: aiohttp.ClientSession, *, inside: bool) -> None:
        self._session, self._inside = session, inside

    async def answering(self, pods: list[Object], port: int) -> int:
        """How many of `pods` answer at `port`."""
        addresses = [address for pod in pods if (address := _address(pod))]
        return sum(await asyncio.gather(*(self._answers(address, port) for address in addresses)))

    async def reached(self, service: Object | None, port: int) -> bool:
        """Whether something answers at `port` of the Service's own address."""
        address = service["spec"].get("clusterIP") if service else None
        return not self._inside or bool(address and await self._answers(address, port))

    async def _answers(self, address: str, port: int) -> bool:
        host = f"[{address}]" if ":" in address else address
        try:
            # A pod must not send the operator anywhere else.
            async with self._session.get(f"http://{host}:{port}/v1/models", timeout=TIMEOUT, allow_redirects=False) as response:
                return response.status in (200, 401)
        except (aiohttp.ClientError, TimeoutError):
            return False


def _address(pod: Object) -> str | None:
    """Where it answers. Before the kubelet calls it ready, its Service leads nobody to it."""
    status = pod.get("status") or {}
    ready = any((c["type"], c["status"]) == ("Ready", "True") for c in status.get("conditions") or ())
    return status.get("podIP") if ready and not pod["metadata"].get("deletionTimestamp") else None
