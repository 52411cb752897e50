"""Whether a pod answers: the OpenAI API is asked, pod by pod, because a pod's readiness says less than that."""

import asyncio
from typing import Protocol

import aiohttp

from raysmith.store import Object

TIMEOUT = aiohttp.ClientTimeout(3)
"""What a pod gets to answer a question that costs it nothing, in seconds."""


class Probe(Protocol):
    """Asks pods."""

    async def answering(self, pods: list[Object], port: int) -> int:
        """How many of `pods` answer at `port`."""


class HttpProbe:
    """Asks `GET /v1/models` at each pod's own address. A service that wants a key answers, too, when it says so (401)."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def answering(self, pods: list[Object], port: int) -> int:
        """How many of `pods` answer at `port`."""
        addresses = [address for pod in pods if (address := _address(pod))]
        return sum(await asyncio.gather(*(self._answers(address, port) for address in addresses)))

    async def _answers(self, address: str, port: int) -> bool:
        host = f"[{address}]" if ":" in address else address
        try:
            # A pod must not send the operator anywhere else.
            async with self._session.get(f"http://{host}:{port}/v1/models", timeout=TIMEOUT, allow_redirects=False) as response:
                return response.status in (200, 401)
        except (aiohttp.ClientError, TimeoutError):
            return False


def _address(pod: Object) -> str | None:
    status = pod.get("status") or {}
    running = status.get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")
    return status.get("podIP") if running else None
