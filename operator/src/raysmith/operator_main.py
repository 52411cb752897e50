"""`python -m raysmith.operator_main --settings FILE`: the operator's process.

Of several replicas the one that holds the Lease works; the others wait for it. One that loses it ends, and is started again.
"""

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

import aiohttp
import kopf
from aiohttp import web
from kubernetes.aio import client, config
from prometheus_client import start_http_server

from raysmith import lease
from raysmith.audit import Audit
from raysmith.cluster import Cluster
from raysmith.config import OperatorSettings, read_settings
from raysmith.errors import RaysmithError
from raysmith.events import Announcer
from raysmith.handlers import Watches, kopf_settings
from raysmith.probe import HttpProbe
from raysmith.reconcile import Reconciler
from raysmith.store import Store
from raysmith.workqueue import WorkQueue

log = logging.getLogger("raysmith")

COUNT_SECONDS = 15
"""Between two counts of objects for the metrics."""


class Health:
    """What /healthz says: 200 while this replica waits for the Lease, or works and its watches live."""

    def __init__(self) -> None:
        self.audit: Audit | None = None

    async def serve(self, port: int) -> None:
        """Answer at `port` until cancelled."""
        app = web.Application()
        app.router.add_get("/healthz", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, port=port).start()
        await asyncio.Event().wait()

    async def _answer(self, _request: web.Request) -> web.Response:
        if self.audit is not None and not self.audit.alive:
            return web.Response(status=503, text="The watches do not show what the API server has.\n")
        return web.Response(text="working\n" if self.audit else "waiting for the Lease\n")


async def work(settings: OperatorSettings, api: client.ApiClient, health: Health) -> None:
    """Watch and reconcile until cancelled."""
    store = Store()
    cluster = Cluster(api, store)
    # No limit: pods that do not answer must not keep those of others waiting.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        announcer = Announcer(cluster)
        reconciler = Reconciler(
            cluster, settings.objects, announcer, HttpProbe(session, inside="KUBERNETES_SERVICE_HOST" in os.environ)
        )
        queue = WorkQueue(reconciler.reconcile)
        audit = health.audit = Audit(cluster, queue, settings.namespaces)
        watches = Watches(store, queue, audit.shown)
        async with asyncio.TaskGroup() as group:
            group.create_task(_reconcile(audit, queue))
            group.create_task(announcer.run(queue.idle))
            group.create_task(audit.run())
            group.create_task(_count(watches))
            group.create_task(_watch(watches, settings))


async def _reconcile(audit: Audit, queue: WorkQueue) -> None:
    await audit.caught_up()
    await queue.run()


async def _watch(watches: Watches, settings: OperatorSettings) -> None:
    await kopf.operator(
        registry=watches.registry,
        settings=kopf_settings(),
        standalone=True,
        # By itself, kopf would look for the name of the user, which a container's user does not have.
        identity=lease.identity(),  # type: ignore[arg-type]  # kopf's name for a string
        namespaces=settings.namespaces,
        clusterwide=not settings.namespaces,
    )
    raise RuntimeError("kopf has stopped")


async def _count(watches: Watches) -> None:
    while True:
        watches.count()
        await asyncio.sleep(COUNT_SECONDS)


async def lead(settings: OperatorSettings, health: Health) -> None:
    """Wait for the Lease and work while it is held. Raises what ended the work."""
    async with client.ApiClient(await _configuration()) as api:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def started() -> None:
            log.info("%s holds the Lease and works.", lease.identity())
            try:
                await work(settings, api, health)
            except Exception as error:
                ended.set_exception(error)

        async def stopped() -> None:
            log.error("The Lease is lost; this replica ends.")
            os._exit(1)  # at once: another one may be working already

        holding = asyncio.create_task(lease.hold(api, settings.lease_namespace, settings.lease_name, started, stopped))
        await asyncio.wait([holding, ended], return_when=asyncio.FIRST_COMPLETED)
        (ended if ended.done() else holding).result()


async def _configuration() -> client.Configuration:
    configuration = client.Configuration()
    # Otherwise each request would ask two threads what the environment and ~/.netrc say about proxies and passwords.
    configuration.client_session_kwargs = {"trust_env": False}
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        config.load_incluster_config(client_configuration=configuration)
    else:
        await config.load_kube_config(client_configuration=configuration)
    return configuration


async def run(settings: OperatorSettings) -> None:
    """The whole process."""
    health = Health()
    start_http_server(settings.metrics_port)
    async with asyncio.TaskGroup() as group:
        group.create_task(health.serve(settings.health_port))
        group.create_task(lead(settings, health))


def main() -> int:
    """Exit code 2 for settings that cannot be read, 1 for everything else that ends the operator."""
    parser = argparse.ArgumentParser(prog="python -m raysmith.operator_main", description="The Raysmith operator.")
    parser.add_argument("--settings", type=Path, help="file with the settings of this installation, as YAML")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    try:
        settings = read_settings(arguments.settings)
    except RaysmithError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    asyncio.run(run(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
