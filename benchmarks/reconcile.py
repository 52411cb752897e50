"""The operator under load: from an applied object to its children, and what it costs.

    python -m benchmarks.reconcile [--objects 1000] [--singles 30]

Starts a real etcd, kube-apiserver and the operator on this machine, no node and no KubeRay; this program plays the Job
controller and reports every preparation done. Beside it, as a baseline, the time to create as many bare RayJobs.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio import client, config, watch

REPOSITORY = Path(__file__).parents[1]
AT_ONCE = 32
"""Requests that this program has under way."""
GROUP = {"group": "raysmith.io", "version": "v1alpha1", "plural": "llmfinetunes"}
RAY_JOBS = {"group": "ray.io", "version": "v1", "plural": "rayjobs"}
SPEC = {
    "model": {"source": "builtin://tiny"},
    "data": {"train": [{"name": "rows", "source": "pvc://datasets/rows.jsonl"}]},
    "method": {"full": {}},
}


class Seen:
    """When each object of a kind was first seen by a watch, in seconds of this program's clock."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}

    async def run(self, function: Any, **where: Any) -> None:
        """Watch until cancelled."""
        async with watch.Watch() as stream:
            async for event in stream.stream(function, **where):
                raw = event["raw_object"]
                labels = raw["metadata"].get("labels") or {}
                self.times.setdefault(labels.get("app.kubernetes.io/instance", raw["metadata"]["name"]), time.perf_counter())

    async def reaches(self, names: set[str], what: str) -> float:
        """Wait until all `names` were seen; returns when the last one was."""
        deadline = time.perf_counter() + 1200
        while not names <= self.times.keys():
            if time.perf_counter() > deadline:
                raise SystemExit(f"{len(names - self.times.keys())} {what} are missing after 20 minutes")
            await asyncio.sleep(0.05)
        return max(self.times[name] for name in names)


class Bench:
    """One control plane, one operator, and what this program does to them."""

    def __init__(self, api: client.ApiClient, operator: subprocess.Popen[bytes], metrics_port: int) -> None:
        self.custom, self.batch = client.CustomObjectsApi(api), client.BatchV1Api(api)
        self.operator, self.metrics_port = operator, metrics_port
        self.jobs, self.ray_jobs = Seen(), Seen()

    async def create(self, name: str) -> None:
        """Create one LLMFineTune."""
        body = {"apiVersion": "raysmith.io/v1alpha1", "kind": "LLMFineTune", "metadata": {"name": name}, "spec": SPEC}
        await self.custom.create_namespaced_custom_object(namespace="default", body=body, **GROUP)

    async def prepared(self, name: str) -> None:
        """Say, as the Job controller does, that the preparation is done."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [
            {"type": kind, "status": "True", "lastTransitionTime": now, "lastProbeTime": now, "reason": "Done"}
            for kind in ("SuccessCriteriaMet", "Complete")
        ]
        status = {"startTime": now, "completionTime": now, "succeeded": 1, "conditions": conditions}
        await self.batch.patch_namespaced_job_status(f"{name}-prepare-1", "default", {"status": status})

    async def single(self, name: str) -> float:
        """Seconds from applying one object to its RayJob, without the time of its preparation."""
        start = time.perf_counter()
        await self.create(name)
        job = await self.jobs.reaches({name}, "Jobs")
        reported = time.perf_counter()
        await self.prepared(name)
        return job - start + await self.ray_jobs.reaches({name}, "RayJobs") - reported

    def writes(self) -> float:
        """Writing requests of the operator so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics") as response:
            lines = response.read().decode().splitlines()
        counts = [line for line in lines if line.startswith("raysmith_api_requests_total{") and 'verb="get"' not in line]
        return sum(float(line.rpartition(" ")[2]) for line in counts)

    def memory(self) -> float:
        """Resident MiB of the operator."""
        fields = Path(f"/proc/{self.operator.pid}/status").read_text().split("VmRSS:")[1].split()
        return int(fields[0]) / 1024

    def cpu(self) -> float:
        """Seconds of CPU that the operator has used."""
        fields = Path(f"/proc/{self.operator.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def together(calls: list[Any]) -> None:
    """Await all, AT_ONCE at a time."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(call: Any) -> None:
        async with limit:
            await call

    await asyncio.gather(*(one(call) for call in calls))


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def start_operator(kubeconfig: Path, folder: Path, port: int) -> subprocess.Popen[bytes]:
    """The operator, as the chart starts it."""
    settings = folder / "settings.yaml"
    settings.write_text(yaml.safe_dump({"metricsPort": port, "healthPort": free_port()}))
    command = [sys.executable, "-m", "raysmith.operator_main", "--settings", str(settings)]
    with (folder / "operator.log").open("ab") as output:
        return subprocess.Popen(command, env={**os.environ, "KUBECONFIG": str(kubeconfig)}, stdout=output, stderr=output)


@contextlib.asynccontextmanager
async def bench(folder: Path) -> AsyncIterator[tuple[Bench, Path]]:
    """A control plane without the controllers of Kubernetes, CRDs, and the operator."""
    cluster = [str(REPOSITORY / "hack/cluster/cluster"), "--state", str(folder / "cluster")]
    subprocess.run([*cluster, "up", "--control-plane-only", "--port", str(free_port())], check=True, stdout=sys.stderr)
    kubeconfig = folder / "cluster/credentials/admin.kubeconfig"
    try:
        _install_crds(kubeconfig)
        _stop_controllers(folder / "cluster")
        await config.load_kube_config(str(kubeconfig))
        port = free_port()
        operator = start_operator(kubeconfig, folder, port)
        async with client.ApiClient() as api:
            made = Bench(api, operator, port)
            watches = [
                asyncio.create_task(made.jobs.run(made.batch.list_namespaced_job, namespace="default")),
                asyncio.create_task(
                    made.ray_jobs.run(made.custom.list_namespaced_custom_object, namespace="default", **RAY_JOBS)
                ),
            ]
            yield made, kubeconfig
            for task in watches:
                task.cancel()
        made.operator.kill()
    finally:
        subprocess.run([*cluster, "down"], check=True, stdout=sys.stderr)


def _install_crds(kubeconfig: Path) -> None:
    module = "github.com/ray-project/kuberay/ray-operator"
    tool = REPOSITORY / "tests/tools/kuberay-check"
    command = ["go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module]
    kuberay = subprocess.run(command, cwd=tool, check=True, capture_output=True, text=True).stdout.strip()
    for folder in (REPOSITORY / "crds", Path(kuberay) / "config/crd/bases"):
        apply = ["kubectl", "--kubeconfig", str(kubeconfig), "apply", "--server-side", "-f", str(folder)]
        subprocess.run(apply, check=True, stdout=sys.stderr)


def _stop_controllers(state: Path) -> None:
    """Jobs are reported done by this program, so the Job controller must not say otherwise."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if Path(os.fsdecode(words[0])).name == "kube-controller-manager" and any(
                os.fsencode(state) in word for word in words
            ):
                os.kill(int(process.name), signal.SIGSTOP)


async def measure(folder: Path, objects: int, singles: int) -> list[tuple[str, str]]:
    """The rows of the table."""
    rows: list[tuple[str, str]] = []
    async with bench(folder) as (made, kubeconfig):
        await made.single("warm-up")
        rows.append(("apply to RayJob, nothing else there", _spread([await made.single(f"one-{i}") for i in range(singles)])))
        names = {f"many-{i}" for i in range(objects)}
        cpu, start = made.cpu(), time.perf_counter()
        await together([made.create(name) for name in sorted(names)])
        created = time.perf_counter() - start
        rows.append((f"{objects:,} applied at once: applying them", f"{created:.1f} s"))
        rows.append(("until all first children exist", f"{await made.jobs.reaches(names, 'Jobs') - start:.1f} s"))
        start = time.perf_counter()
        await together([made.prepared(name) for name in sorted(names)])
        rows.append((f"{objects:,} preparations done: reporting them", f"{time.perf_counter() - start:.1f} s"))
        rows.append(("until all RayJobs exist", f"{await made.ray_jobs.reaches(names, 'RayJobs') - start:.1f} s"))
        rows.append(("CPU of the operator for all of that", f"{made.cpu() - cpu:.0f} s"))
        rows.append((f"apply to RayJob, {objects:,} there", _spread([await made.single(f"more-{i}") for i in range(singles)])))
        rows.append(("memory of the operator", f"{made.memory():.0f} MiB"))
        rows += await _idle(made)
        rows.append(("restart with all of them until quiet", f"{await _restart(made, kubeconfig, folder):.1f} s"))
        rows.append(("writes of the new process", f"{made.writes():,.0f}"))
        rows.append((f"baseline: creating {objects:,} bare RayJobs", f"{await _bare(made, objects):.1f} s"))
    return rows


async def _idle(made: Bench) -> list[tuple[str, str]]:
    await _quiet(made)
    cpu, writes = made.cpu(), made.writes()
    await asyncio.sleep(60)
    return [
        ("writes in a minute without changes", f"{made.writes() - writes:.0f}"),
        ("CPU in a minute without changes", f"{made.cpu() - cpu:.1f} s"),
    ]


async def _quiet(made: Bench) -> None:
    """Until the operator has used next to no CPU for three seconds."""
    while True:
        before = made.cpu()
        await asyncio.sleep(3)
        if made.cpu() - before < 0.15:
            return


async def _restart(made: Bench, kubeconfig: Path, folder: Path) -> float:
    made.operator.kill()
    made.operator.wait()
    start = time.perf_counter()
    made.operator = start_operator(kubeconfig, folder, made.metrics_port)
    while "working" not in await asyncio.to_thread(_healthy, folder):
        await asyncio.sleep(0.2)
    await _quiet(made)
    return time.perf_counter() - start - 3


def _healthy(folder: Path) -> str:
    port = yaml.safe_load((folder / "settings.yaml").read_text())["healthPort"]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as response:
            return str(response.read().decode())
    except OSError:
        return ""


async def _bare(made: Bench, objects: int) -> float:
    raw = await made.custom.get_namespaced_custom_object(namespace="default", name="many-0-ft-1", **RAY_JOBS)
    spec = json.loads(json.dumps(raw["spec"]))
    bodies = [
        {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": f"bare-{i}"}, "spec": spec} for i in range(objects)
    ]
    start = time.perf_counter()
    await together([made.custom.create_namespaced_custom_object(namespace="default", body=body, **RAY_JOBS) for body in bodies])
    return time.perf_counter() - start


def _spread(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    return f"median {statistics.median(ordered):.2f} s, slowest of {len(ordered)} {ordered[-1]:.2f} s"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=1000, help="how many are applied at once (1000)")
    parser.add_argument("--singles", type=int, default=30, help="how many are applied one after the other (30)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = asyncio.run(measure(Path(folder), arguments.objects, arguments.singles))
    print("| what | measured |\n|---|--:|")
    print("\n".join(f"| {name} | {value} |" for name, value in rows))


if __name__ == "__main__":
    main()
