"""Several services on this machine: one Ray Serve, one application each, ready when each has answered, until Ctrl-C.

refuse what cannot work -> Ray -> Ray Serve -> engines -> a real answer through every address -> ready file -> wait
"""

import contextlib
import io
import json
import logging
import os
import shutil
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from raysmith.api import LLMService
from raysmith_workloads.errors import Refused
from raysmith_workloads.serve import engine
from raysmith_workloads.serve.failure import EngineFailed, sentence
from raysmith_workloads.serve.places import ADDRESS, Local, names, placed, require_free, require_resources

POLL_SECONDS: Final = 0.5
ANSWER_SECONDS: Final = 120
"""Seconds that a loaded model has for its first answer of one token."""


def run(services: Sequence[LLMService], *, port: int, ready_file: Path) -> None:
    """Serve until SIGINT or SIGTERM. `ready_file` becomes `[{name, url, model}]` when every model has answered.

    Raises Refused before anything is started where it can, EngineFailed if an engine does not come up.
    """
    stop = threading.Event()
    _stop_on_signals(stop)
    locals_ = placed(services, port)
    require_free(port)
    with _ray(locals_, port):
        _stop_on_signals(stop)  # again, because Ray takes SIGTERM over
        _say(f"starting {names(locals_)}")
        _deploy(locals_)
        _say("loading the models")
        _await_running(locals_, stop)
        for local in locals_:
            _answer(local, stop)
            if not stop.is_set():
                _say(f"ready: {local.served.name} at {local.url}")
        if not stop.is_set():
            _write_ready(locals_, ready_file)
        stop.wait()
        ready_file.unlink(missing_ok=True)
        _say("stopping")


@contextlib.contextmanager
def _ray(locals_: Sequence[Local], port: int) -> Iterator[None]:
    """Ray (that of RAY_ADDRESS, or one of our own) with Ray Serve at `port`; Serve ends with the context."""
    os.environ |= engine.QUIET | {"VLLM_LOGGING_LEVEL": "ERROR"}
    import ray
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    own = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": _logical_cpus(locals_), "include_dashboard": False}
    ray.init(log_to_driver=False, logging_level="ERROR", **own)
    try:
        require_resources(locals_, ray.cluster_resources())
        _require_no_serve(ray)
        serve.start(
            http_options={"host": ADDRESS, "port": port},
            proxy_location="HeadOnly",
            logging_config={"log_level": "WARNING", "enable_access_log": False},
        )
        try:
            yield
        finally:
            with contextlib.redirect_stdout(io.StringIO()):  # Ray writes there that Serve has ended its own controller
                serve.shutdown()
    finally:
        ray.shutdown()


def _logical_cpus(locals_: Sequence[Local]) -> int:
    """Engines wait most of the time, so they may share cores; what an object asks for must be there."""
    return max(os.cpu_count() or 1, len(locals_))


def _require_no_serve(ray: Any) -> None:
    from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE

    try:
        ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
    except ValueError:
        return
    raise Refused("ServeRunning", "this Ray serves something already; stop that first, or unset RAY_ADDRESS.")


def _deploy(locals_: Sequence[Local]) -> None:
    from ray import serve

    from raysmith_workloads.serve.app import application

    host = engine.Host(
        cores=max(1, len(os.sched_getaffinity(0)) // len(locals_)),
        compiler=shutil.which("g++") is not None or shutil.which("clang++") is not None,
        services=len(locals_),
        attempts=1,  # whoever waits in front of a terminal wants to read why, not to wait for the same again
    )
    targets = [
        serve.RunTarget(
            application(local.service, local.served, host),
            name=local.served.name,
            route_prefix=local.route,
        )
        for local in locals_
    ]
    serve.run_many(targets, wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)


def _await_running(locals_: Sequence[Local], stop: threading.Event) -> None:
    from ray import serve

    while not stop.wait(POLL_SECONDS):
        applications = serve.status().applications
        states = [applications.get(local.served.name) for local in locals_]
        for state in states:
            if state is not None and state.status in ("DEPLOY_FAILED", "UNHEALTHY"):
                details = [deployment.message for deployment in state.deployments.values()]
                raise EngineFailed(sentence("\n".join([state.message, *details])))
        if all(state is not None and state.status == "RUNNING" for state in states):
            return


def _answer(local: Local, stop: threading.Event) -> None:
    """One token from every model of the service, through its address. Raises EngineFailed if there is none."""
    deadline = time.monotonic() + ANSWER_SECONDS
    for model in dict.fromkeys([local.served.name, *local.served.adapters]):
        question = {"model": model, "prompt": "Hello", "max_tokens": 1}
        while not stop.is_set():
            status, text = _post(f"{local.url}/completions", question)
            if status == HTTPStatus.OK:
                break
            if time.monotonic() > deadline:
                raise EngineFailed(f"{model} was loaded but does not answer at {local.url}: {status} {text[:500]}")
            stop.wait(POLL_SECONDS)


def _post(url: str, body: dict[str, Any]) -> tuple[int, str]:
    """Status and text of the answer; status 0 where nobody answers."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310 - http
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=ANSWER_SECONDS) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except OSError as error:
        return 0, str(error)


def _write_ready(locals_: Sequence[Local], ready_file: Path) -> None:
    entries = [{"name": local.served.name, "url": local.url, "model": local.served.name} for local in locals_]
    beside = ready_file.with_name(f".{ready_file.name}.{os.getpid()}.tmp")
    beside.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    beside.replace(ready_file)


def _stop_on_signals(stop: threading.Event) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())


def _say(line: str) -> None:
    print(line, flush=True)
