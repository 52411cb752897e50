"""LLMServices on this machine: one process serves all of a command, until Ctrl-C."""

import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from raysmith.api import LLMService, to_wire
from raysmith.api.common import Artifact
from raysmith.api.service import AdapterStatus, LLMServiceStatus
from raysmith.cli.data_dir import DataDir, write_json
from raysmith.cli.display import Display
from raysmith.cli.errors import BAD_INPUT, Interrupted, RunFailed, RunRefused
from raysmith.cli.local_ray import LocalRay
from raysmith.cli.processes import Child, last_words, signal_name
from raysmith.cli.records import read_json
from raysmith.cli.side_by_side import Endpoint
from raysmith.errors import RaysmithError

POLL_SECONDS = 0.25
READY = "ready.json"
LOG = "serve.log"

Artifacts = Mapping[tuple[str, str], Artifact]
"""What each reference, by namespace and name, resolved to."""


def require_free(port: int) -> None:
    """Raises RaysmithError if something listens at `port` of this machine already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError as error:
            raise RaysmithError(f"port {port} may not be used by this user; choose one above 1023 with --port.") from error
        except OSError as error:
            raise RaysmithError(
                f"port {port} is in use; stop what listens there, or choose another one with --port."
            ) from error


def resolved(service: LLMService, artifacts: Artifacts) -> LLMService:
    """`service` with what its references resolved to in its status."""
    namespace = service.metadata.namespace
    followed = service.spec.model.fine_tune
    model = artifacts[namespace, followed.name] if followed and followed.name else None
    adapters = [
        AdapterStatus(name=adapter.name, artifact=artifacts[namespace, adapter.fine_tune.name] if adapter.fine_tune else None)
        for adapter in service.spec.adapters
    ]
    return service.model_copy(update={"status": LLMServiceStatus(model=model, adapters=adapters)})


class LocalServices:
    """Serves LLMServices together at one port, as long as the context is open."""

    def __init__(self, *, data: DataDir, ray: LocalRay, display: Display, port: int) -> None:
        self._data = data
        self._ray = ray
        self._display = display
        self._port = port

    def start(self, services: Sequence[LLMService], artifacts: Artifacts) -> tuple[Child, dict[str, Endpoint]]:
        """The serving process and where each service answers, once all of them do.

        Raises RunFailed if they do not come to that, RunRefused if they never will, Interrupted on Ctrl-C.
        """
        folder = self._data.services(self._port)
        ready = folder / READY
        ready.unlink(missing_ok=True)
        files = [_write(folder, resolved(service, artifacts)) for service in services]
        require_free(self._port)
        arguments = [word for file in files for word in ("--object", str(file))]
        arguments += ["--port", str(self._port), "--ready-file", str(ready)]
        environment = self._ray.environment()
        child = Child("raysmith_workloads.serve", arguments, log=folder / LOG, environment=environment)
        try:
            self._wait_until_ready(child, ready)
        except BaseException:
            child.stop()
            raise
        return child, endpoints(ready)

    def keep(self, child: Child) -> None:
        """Serve until Ctrl-C. Raises RunFailed if the process ends by itself."""
        try:
            while (code := child.exit_code(1.0)) is None:
                pass
        except KeyboardInterrupt:
            self._display.say("stopping the services")
            child.stop()
            return
        raise _ended(child, code)

    def _wait_until_ready(self, child: Child, ready: Path) -> None:
        started = time.monotonic()
        with self._display.activity("loading the models and starting to serve") as activity:
            try:
                while not ready.exists():
                    if (code := child.exit_code(POLL_SECONDS)) is not None:
                        raise _ended(child, code)
            except KeyboardInterrupt:
                activity.stopping()
                child.stop()
                raise Interrupted("interrupted while the services were starting; the same command starts them again.") from None
        self._display.done("serving", time.monotonic() - started)


def endpoints(ready: Path) -> dict[str, Endpoint]:
    """Where each service answers, by its name, as the serving process wrote it."""
    entries = read_json(ready)
    if not isinstance(entries, list):
        raise RaysmithError(f"{ready} is not a list of services; give the same command again.")
    return {str(entry["name"]): Endpoint(str(entry["url"]), str(entry["model"])) for entry in entries}


def _write(folder: Path, service: LLMService) -> Path:
    file = folder / f"{service.metadata.name}.json"
    write_json(file, to_wire(service))
    return file


def _ended(child: Child, code: int) -> RunFailed:
    if code < 0:
        return RunFailed(
            f"the serving process was ended by {signal_name(code)}, most often because memory ran out; "
            f"its output is in {child.log}."
        )
    ending = RunRefused if code == BAD_INPUT else RunFailed
    return ending(f"the services ended: {last_words(child.log)} The whole output is in {child.log}.")
