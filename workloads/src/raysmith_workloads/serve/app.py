"""The Ray Serve application of one LLMService. A RayService imports `build`; local.py makes the same application.

Nothing here imports vLLM, which takes ten seconds and a gigabyte: the application is put together on the head node, which
has neither to spare. Only the replicas load the engine.
"""

import os
from pathlib import Path
from typing import Any

from raysmith.api import LLMService
from raysmith.api.layout import VOLUMES_VARIABLE
from raysmith_workloads.errors import Refused
from raysmith_workloads.objects import read_object
from raysmith_workloads.serve import engine
from raysmith_workloads.serve.folders import read_record
from raysmith_workloads.serve.model import Served, resolve


def build(args: dict[str, str]) -> Any:
    """The application for `args: {object: PATH}` of a Serve configuration. Raises Refused."""
    if set(args) != {"object"}:
        raise Refused("ArgumentsInvalid", f"The application takes one argument, object: PATH, and not {sorted(args)}.")
    service = read_object(Path(args["object"]), LLMService)
    return application(service, resolve(service, read_record), engine.Host())


def application(service: LLMService, served: Served, host: engine.Host) -> Any:
    """`served` as an application. Raises Refused."""
    from ray import serve

    environment = {name: os.environ[name] for name in (VOLUMES_VARIABLE,) if name in os.environ}
    if not any(uri.startswith("hf://") for uri in (served.base, *served.adapters.values())):
        environment["HF_HUB_OFFLINE"] = "1"  # nothing is missing, so nobody needs to ask for news
    options = engine.deployment(service, host, environment)
    replica = serve.deployment(serve.ingress()(Replica), **options)
    return replica.bind(served, engine.plan(service, served, host))


class Replica:
    """One engine, imported where it runs. Ray Serve calls these methods by name."""

    async def __init__(self, served: Served, plan: engine.EnginePlan) -> None:  # type: ignore[misc]  # Ray Serve awaits it
        """Starts the engine; raises Refused or EngineFailed."""
        from raysmith_workloads.serve.server import ModelServer

        self._server = await ModelServer.started(served, plan)

    async def __serve_build_asgi_app__(self) -> Any:
        """The routes that Ray Serve passes requests to."""
        return await self._server.__serve_build_asgi_app__()

    async def check_health(self) -> None:
        """Raises when the engine is dead, so that Ray Serve starts another replica."""
        await self._server.check_health()
