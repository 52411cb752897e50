"""A control plane for benchmarks: etcd and kube-apiserver, neither nodes nor controllers, and programs that work on it."""

import asyncio
import base64
import contextlib
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from hack.cluster.processes import Processes

from support import free_port, kuberay_crds

REPOSITORY = Path(__file__).parents[1]
AT_ONCE = 32
"""Requests that this program has under way."""
PATIENCE = 1800
PATHS = {
    "Event": "api/v1/namespaces/{}/events",
    "Job": "apis/batch/v1/namespaces/{}/jobs",
    "LLMFineTune": "apis/raysmith.io/v1alpha1/namespaces/{}/llmfinetunes",
    "Namespace": "api/v1/namespaces",
    "Pod": "api/v1/namespaces/{}/pods",
    "RayCluster": "apis/ray.io/v1/namespaces/{}/rayclusters",
    "RayJob": "apis/ray.io/v1/namespaces/{}/rayjobs",
    "ServiceAccount": "api/v1/namespaces/{}/serviceaccounts",
}


@contextlib.contextmanager
def control_plane(folder: Path) -> Iterator[Path]:
    """The kubeconfig of one with our CRDs and KubeRay's. Its controllers end as soon as they have made what pods need."""
    cluster = [sys.executable, str(REPOSITORY / "hack/cluster/cluster"), "--state", str(folder)]
    subprocess.run([*cluster, "up", "--control-plane-only", "--port", str(free_port())], check=True, stdout=sys.stderr)
    try:
        Processes(folder / "processes").stop("kube-controller-manager")
        kubeconfig = folder / "credentials/admin.kubeconfig"
        kubectl = ["kubectl", "--kubeconfig", str(kubeconfig)]
        for file in (*sorted((REPOSITORY / "crds").glob("*.yaml")), *kuberay_crds()):
            subprocess.run([*kubectl, "apply", "--server-side", "-f", str(file)], check=True, stdout=sys.stderr)
        established = [*kubectl, "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]
        subprocess.run(established, check=True, stdout=sys.stderr)
        yield kubeconfig
    finally:
        subprocess.run([*cluster, "down"], check=True, stdout=sys.stderr)


class Program:
    """A process whose CPU and memory are read."""

    def __init__(self, command: list[str], log: Path, **environment: str) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, env=os.environ | environment, stdout=output, stderr=output)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def memory(self) -> float:
        """Resident MB."""
        return int(Path(f"/proc/{self._process.pid}/status").read_text().split("VmRSS:")[1].split()[0]) * 1024 / 1e6

    def cpu(self) -> float:
        """Seconds of CPU used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def quiet(self) -> float:
        """Wait until it has used next to no CPU for three seconds; returns when these began."""
        while True:
            began, before = time.perf_counter(), self.cpu()
            await asyncio.sleep(3)
            if self.cpu() - before < 0.15:
                return began


def operator(kubeconfig: Path, folder: Path, metrics_port: int, health_port: int) -> Program:
    """Our operator, as the chart starts it."""
    settings = folder / "settings.yaml"
    settings.write_text(yaml.safe_dump({"metricsPort": metrics_port, "healthPort": health_port}))
    command = [sys.executable, "-m", "raysmith.operator_main", "--settings", str(settings)]
    return Program(command, folder / "operator.log", KUBECONFIG=str(kubeconfig))


class Server:
    """Requests to the API server, in one namespace."""

    def __init__(self, session: aiohttp.ClientSession, url: str, namespace: str = "default") -> None:
        self._session, self._url, self.namespace = session, url, namespace

    def within(self, namespace: str) -> "Server":
        """The same in another namespace."""
        return Server(self._session, self._url, namespace)

    async def send(self, verb: str, kind: str, name: str = "", body: Any = None, **query: str) -> Any:
        """One request; the answer as JSON data. `name` may be followed by a subresource."""
        kinds = {"patch": "application/merge-patch+json"}
        headers = {"Content-Type": kinds.get(verb, "application/json")}
        data = json.dumps(body) if body else None
        async with self._session.request(verb, self._path(kind, name), data=data, headers=headers, params=query) as response:
            if response.status >= 400:
                raise SystemExit(f"{verb} {kind} {name}: {(await response.text())[:500]}")
            return await response.json()

    async def watch(self, kind: str, see: Callable[[dict[str, Any]], None]) -> None:
        """Show every object, and every change of one, until cancelled."""
        query = {"watch": "true", "resourceVersion": "0"}
        while True:  # the API server ends watches at will; the next one shows everything from the start
            async with self._session.get(self._path(kind), params=query, timeout=aiohttp.ClientTimeout()) as response:
                if response.status == 429:  # a kind that has just been defined
                    await asyncio.sleep(0.5)
                    continue
                response.raise_for_status()
                async for line in response.content:
                    see(json.loads(line)["object"])

    def _path(self, kind: str, name: str = "") -> str:
        return "/".join(filter(None, (self._url, PATHS[kind].format(self.namespace), name)))


@contextlib.asynccontextmanager
async def connected(kubeconfig: Path) -> AsyncIterator[Server]:
    """A connection as administrator."""
    known = yaml.safe_load(kubeconfig.read_text())
    cluster = known["clusters"][0]["cluster"]
    trust = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
    headers = {"Authorization": f"Bearer {known['users'][0]['user']['token']}"}
    connector = aiohttp.TCPConnector(limit=0, ssl=trust)
    # A watch shows each object as one line.
    async with aiohttp.ClientSession(connector=connector, headers=headers, read_bufsize=1 << 22) as session:
        yield Server(session, cluster["server"])


class Seen:
    """When each object of a kind first was as it is waited for, by the name of what it was made for, else its own."""

    def __init__(self, ready: Callable[[dict[str, Any]], bool] = lambda _: True) -> None:
        self._ready = ready
        self._times: dict[str, float] = {}

    def see(self, obj: dict[str, Any]) -> None:
        """Look at one object."""
        labels = obj["metadata"].get("labels") or {}
        name = (
            labels.get("ray.io/originated-from-cr-name") or labels.get("app.kubernetes.io/instance") or obj["metadata"]["name"]
        )
        if name not in self._times and self._ready(obj):
            self._times[name] = time.perf_counter()

    async def all(self, names: Iterable[str], what: str) -> float:
        """Wait for all; returns when the last one was seen."""
        missing, deadline = set(names), time.perf_counter() + PATIENCE
        last = 0.0
        while missing:
            if time.perf_counter() > deadline:
                raise SystemExit(f"{what}: {len(missing)} are missing after {PATIENCE} s")
            await asyncio.sleep(0.01)
            for name in missing & self._times.keys():
                last = max(last, self._times[name])
                missing.discard(name)
        return last


async def together(calls: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """Await all, AT_ONCE at a time."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(call: Coroutine[Any, Any, Any]) -> None:
        async with limit:
            await call

    await asyncio.gather(*(one(call) for call in calls))
