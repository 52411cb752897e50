"""Services on this machine: what each loads, where it answers, and whether there is room. Nothing is started here."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from raysmith.api import LLMService
from raysmith.api.quantities import accelerators, cpus
from raysmith.api.unbuilt import unbuilt_fields
from raysmith_workloads.errors import Refused
from raysmith_workloads.serve.folders import fetched, read_record
from raysmith_workloads.serve.model import Served, absolute, resolve

ADDRESS: Final = "127.0.0.1"


@dataclass(frozen=True)
class Local:
    """One service on this machine."""

    service: LLMService
    served: Served
    route: str
    url: str
    """Base address for OpenAI clients."""


def placed(services: Sequence[LLMService], port: int) -> list[Local]:
    """Each service with what it serves and where: at `/` if it is alone, else below its name. Raises Refused."""
    names = [service.metadata.name for service in services]
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise Refused("NameTaken", f"Two services are called {doubles[0]}; on one machine each needs a name of its own.")
    placed = []
    for service in services:
        _check(service)
        route = "/" if len(services) == 1 else f"/{service.metadata.name}"
        served = fetched(absolute(resolve(service, read_record)))
        placed.append(Local(service, served, route, f"http://{ADDRESS}:{port}{route.rstrip('/')}/v1"))
    return placed


def _check(service: LLMService) -> None:
    for unbuilt in unbuilt_fields(service):
        raise Refused("NotBuilt", f"LLMService {service.metadata.name}: {unbuilt.sentence}")
    if service.spec.replicas == 0:
        raise Refused("NothingToServe", f"LLMService {service.metadata.name}: spec.replicas is 0; set it to 1 or more.")


def require_free(port: int) -> None:
    """Raises Refused if `port` of this machine cannot be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
            probe.listen()
        except PermissionError as error:
            raise Refused("PortRefused", f"port {port} is not for this user; choose one above 1023 with --port.") from error
        except OSError as error:
            raise Refused("PortInUse", f"port {port} is in use by another program; choose another with --port.") from error


def require_resources(locals_: Sequence[Local], there: dict[str, float]) -> None:
    """Ray would wait for ever for CPUs or GPUs that it does not have. Raises Refused."""
    wanted = {"CPU": 0, "GPU": 0}
    for local in locals_:
        replicas = local.service.spec.replicas or 1
        wanted["CPU"] += replicas * cpus(local.service.spec.resources)
        if accelerators(local.service.spec.resources):
            wanted["GPU"] += replicas * local.service.spec.engine.tensor_parallel
    for kind, count in wanted.items():
        if count > there.get(kind, 0):
            raise Refused(
                "ResourcesMissing",
                f"{names(locals_)} asks for {count} {kind}s in all, but Ray on this machine has {there.get(kind, 0):.0f}; "
                "lower replicas or spec.resources, or serve fewer at once.",
            )


def names(locals_: Sequence[Local]) -> str:
    """The services as a person lists them."""
    return " and ".join(local.served.name for local in locals_)
