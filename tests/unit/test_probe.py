"""Who counts as answering: pods to which their Service leads, and the Service's own address."""

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from raysmith.probe import HttpProbe
from support import free_port

READY = {"type": "Ready", "status": "True"}


async def ask(status: int, pod: dict[str, Any], *, inside: bool = True, location: str = "") -> tuple[int, bool]:
    """What is said of `pod`, and of a Service at the same address, if that answers with `status`."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": location} if location else None)

    app, port = web.Application(), free_port()
    app.router.add_get("/v1/models", answer)
    app.router.add_get("/elsewhere", lambda _: web.Response())  # type: ignore[arg-type, return-value]
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with aiohttp.ClientSession() as session:
            probe = HttpProbe(session, inside=inside)
            count = await probe.answering([pod], port)
            return count, await probe.reached({"spec": {"clusterIP": "127.0.0.1"}}, port)
    finally:
        await runner.cleanup()


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {}, "status": {"phase": "Running", "podIP": "127.0.0.1", "conditions": [READY], **status}}


@pytest.mark.parametrize(("status", "answers"), [(200, True), (401, True), (404, False), (500, False)])
def test_an_answer_is_one_that_a_client_can_use(status: int, answers: bool) -> None:
    assert asyncio.run(ask(status, pod())) == (int(answers), answers)


def test_a_pod_that_the_kubelet_does_not_call_ready_is_not_reached_through_its_service() -> None:
    assert asyncio.run(ask(200, pod(conditions=[{"type": "Ready", "status": "False"}])))[0] == 0


def test_a_pod_cannot_send_the_operator_elsewhere() -> None:
    assert asyncio.run(ask(302, pod(), location="/elsewhere")) == (0, False)


def test_outside_of_a_cluster_addresses_of_services_are_not_asked() -> None:
    assert asyncio.run(ask(500, pod(), inside=False)) == (0, True)
