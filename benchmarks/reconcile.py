"""The operator under load: from an applied object to its children, and what it costs.

    python -m benchmarks.reconcile [--objects 1000] [--singles 100]

Starts a real etcd, kube-apiserver and the operator on this machine, no node, no KubeRay and none of Kubernetes' controllers:
this program plays the Job controller and the scheduler. Beside it, apart, as a baseline: KubeRay's own operator, which makes
a RayCluster of each of as many bare RayJobs.
"""

import argparse
import asyncio
import signal
import statistics
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hack.cluster.programs import built  # type: ignore[attr-defined]  # mypy takes the folder programs/ for it

from benchmarks.control_plane import Program, Seen, Server, connected, control_plane, operator, together
from support import free_port

SPEC = {
    "model": {"source": "builtin://tiny"},
    "data": {"train": [{"name": "rows", "source": "pvc://datasets/rows.jsonl"}]},
    "method": {"full": {}},
}
AIMS = {1000: (10, 20), 10_000: (120, 240)}
"""Objects applied at once -> seconds until all first children exist, and from there until all RayJobs do."""
LULL_SECONDS = 90
"""No KubeRay runs here, and the operator finds that out when it looks the next time after a minute."""
WAITING = 1000
"""How many of them wait for a node."""


class Bench:
    """One control plane, one operator, and what this program does to them."""

    def __init__(self, server: Server, kubeconfig: Path, folder: Path) -> None:
        self.server, self.kubeconfig, self.folder = server, kubeconfig, folder
        self.rows: list[tuple[str, str]] = []
        self.took: list[float] = []
        self.jobs, self.ray_jobs, self.unschedulable = Seen(), Seen(), Seen(_unschedulable)
        self.start_operator()

    def start_operator(self) -> None:
        """A new process, with counters that begin at zero."""
        self.metrics_port, self.health_port = free_port(), free_port()
        self.operator = operator(self.kubeconfig, self.folder, self.metrics_port, self.health_port)

    def add(self, what: str, measured: str) -> None:
        """One row of the table; shown at once, too, because all of them take minutes."""
        self.rows.append((what, measured))
        print(f"{what}: {measured}", file=sys.stderr, flush=True)

    async def watch(self) -> None:
        """Look at what the operator makes until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.server.watch("Job", self.jobs.see))
            group.create_task(self.server.watch("RayJob", self.ray_jobs.see))
            group.create_task(self.server.watch("LLMFineTune", self.unschedulable.see))

    async def create(self, name: str) -> None:
        """Create one LLMFineTune."""
        body = {"apiVersion": "raysmith.io/v1alpha1", "kind": "LLMFineTune", "metadata": {"name": name}, "spec": SPEC}
        await self.server.send("post", "LLMFineTune", body=body)

    async def prepared(self, name: str) -> None:
        """Say, as the Job controller does, that the preparation is done."""
        now = _now()
        condition = {"status": "True", "lastTransitionTime": now, "lastProbeTime": now, "reason": "Done"}
        conditions = [{"type": kind, **condition} for kind in ("SuccessCriteriaMet", "Complete")]
        status = {"startTime": now, "completionTime": now, "succeeded": 1, "conditions": conditions}
        await self.server.send("patch", "Job", f"{name}-prepare-1/status", {"status": status})

    async def wait_for_a_node(self, name: str) -> None:
        """Make the pod of the preparation, and say, as the scheduler does, that no node fits it."""
        job = await self.server.send("get", "Job", f"{name}-prepare-1")
        pod = await self.server.send("post", "Pod", body=_pod(name, job))
        reason, message = "Unschedulable", "0/3 nodes are available: 3 Insufficient cpu."
        condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
        await self.server.send("post", "Event", body=_event(pod, "FailedScheduling", message))
        await self.server.send("patch", "Pod", f"{name}/status", {"status": {"conditions": [condition]}})

    async def single(self, name: str) -> float:
        """Seconds from applying one object to its RayJob, without the time of its preparation."""
        start = time.perf_counter()
        await self.create(name)
        job = await self.jobs.all([name], "its Job")
        reported = time.perf_counter()
        await self.prepared(name)
        return job - start + await self.ray_jobs.all([name], "its RayJob") - reported

    async def singles(self, count: int, there: str) -> None:
        """One after the other."""
        seconds = [await self.single(f"one-{len(self.rows)}-{number}") for number in range(count)]
        cuts = statistics.quantiles(seconds, n=100, method="inclusive")
        self.add(f"apply to RayJob, {there}: median, p99", f"{cuts[49] * 1000:.0f} ms, {cuts[98] * 1000:.0f} ms")

    def health(self) -> str:
        """What the operator says about itself; nothing as long as it starts."""
        try:
            return _page(self.health_port, "healthz")
        except OSError:
            return ""

    async def all_told(self) -> None:
        """Wait until the operator has nothing to write: Events come last, and after a minute, that KubeRay says nothing."""
        before, written = -1.0, self.requests(writes=True)
        while before < written:
            await asyncio.sleep(LULL_SECONDS)
            before, written = written, self.requests(writes=True)

    def requests(self, *, writes: bool) -> float:
        """Requests of the operator so far: those that write, or those that do not."""
        lines = _page(self.metrics_port, "metrics").splitlines()
        # The Lease is renewed every two seconds, whatever else happens.
        counts = [line for line in lines if line.startswith("raysmith_api_requests_total{") and 'kind="Lease"' not in line]
        return sum(float(line.rpartition(" ")[2]) for line in counts if ('verb="get"' not in line) is writes)


def _aim(names: list[str], part: int) -> str:
    return f" (aim: {AIMS[len(names)][part]} s)" if len(names) in AIMS else ""


def _page(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}") as response:
        return str(response.read().decode())


def _unschedulable(obj: dict[str, Any]) -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or []
    return any(condition["reason"] == "Unschedulable" for condition in conditions)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _pod(name: str, job: dict[str, Any]) -> dict[str, Any]:
    template = job["spec"]["template"]
    return {"metadata": {"name": name, "labels": template["metadata"]["labels"]}, "spec": template["spec"]}


def _event(pod: dict[str, Any], reason: str, message: str) -> dict[str, Any]:
    about = {"kind": "Pod", **{key: pod["metadata"][key] for key in ("name", "namespace", "uid")}}
    said = {"type": "Warning", "reason": reason, "message": message, "lastTimestamp": _now()}
    return {"metadata": {"generateName": "waits-"}, "involvedObject": about, **said}


async def measure(bench: Bench, objects: int, singles: int) -> None:
    """The rows about our operator."""
    await bench.single("warm-up")
    await bench.singles(singles, "nothing else there")
    names = [f"many-{number}" for number in range(objects)]
    before, requests = bench.operator.cpu(), bench.requests(writes=True) + bench.requests(writes=False)
    await _all_at_once(bench, names)
    await _unscheduled(bench, names[:WAITING])
    await _all_prepared(bench, names)
    await bench.operator.quiet()
    bench.add("CPU of the operator for all of that", f"{bench.operator.cpu() - before:.0f} s")
    requests = bench.requests(writes=True) + bench.requests(writes=False) - requests
    bench.add("requests for each of them", f"{requests / objects:.1f}")
    await bench.singles(singles, f"{objects:,} there")
    bench.add("memory of the operator (aim: under 250 MB)", f"{bench.operator.memory():.0f} MB")
    await bench.all_told()
    await _minute(bench, "without changes")
    await _restart(bench)


async def _all_at_once(bench: Bench, names: list[str]) -> None:
    start = time.perf_counter()
    await together(map(bench.create, names))
    bench.add(f"{len(names):,} applied at once: applying them", f"{time.perf_counter() - start:.1f} s")
    seconds = await bench.jobs.all(names, "Jobs") - start
    bench.took.append(seconds)
    bench.add(f"until all their first children exist{_aim(names, 0)}", f"{seconds:.1f} s")


async def _unscheduled(bench: Bench, names: list[str]) -> None:
    await bench.operator.quiet()
    start, before = time.perf_counter(), bench.operator.cpu()
    await together(map(bench.wait_for_a_node, names))
    bench.add(f"{len(names):,} of them find no node: making their pods", f"{time.perf_counter() - start:.1f} s")
    seconds = await bench.unschedulable.all(names, "objects that say Unschedulable") - start
    bench.add("until all say so", f"{seconds:.1f} s")
    bench.add("CPU of the operator for that", f"{bench.operator.cpu() - before:.1f} s")
    await bench.all_told()
    await _minute(bench, "while they wait")


async def _all_prepared(bench: Bench, names: list[str]) -> None:
    start = time.perf_counter()
    await together(map(bench.prepared, names))
    bench.add(f"{len(names):,} preparations done: reporting them", f"{time.perf_counter() - start:.1f} s")
    seconds = await bench.ray_jobs.all(names, "RayJobs") - start
    bench.took.append(seconds)
    bench.add(f"until all their RayJobs exist{_aim(names, 1)}", f"{seconds:.1f} s")


async def _minute(bench: Bench, when: str) -> None:
    """What a minute costs in which nothing changes."""
    cpu, reads, writes = bench.operator.cpu(), bench.requests(writes=False), bench.requests(writes=True)
    await asyncio.sleep(60)
    read, wrote = bench.requests(writes=False) - reads, bench.requests(writes=True) - writes
    bench.add(
        f"a minute {when}: CPU, reads, writes (but the Lease)", f"{bench.operator.cpu() - cpu:.1f} s, {read:.0f}, {wrote:.0f}"
    )


async def _restart(bench: Bench) -> None:
    bench.operator.kill()
    bench.start_operator()
    while "working" not in await asyncio.to_thread(bench.health):
        await asyncio.sleep(0.1)
    start = time.perf_counter()
    seconds = await bench.operator.quiet() - start
    bench.add("killed and started again: from the Lease until quiet", f"{seconds:.1f} s")
    bench.add("CPU, writes of the new process", f"{bench.operator.cpu():.1f} s, {bench.requests(writes=True):.0f}")


async def kuberay(server: Server, kubeconfig: Path, folder: Path, objects: int, example: str) -> float:
    """Seconds from applying bare RayJobs until KubeRay has made all their RayClusters."""
    spec = (await server.send("get", "RayJob", example))["spec"]
    bare = server.within("bare")
    await server.send("post", "Namespace", body={"metadata": {"name": bare.namespace}})
    for account in ("default", spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["serviceAccountName"]):
        await bare.send("post", "ServiceAccount", body={"metadata": {"name": account}})
    head = {"apiVersion": "ray.io/v1", "kind": "RayJob"}
    documents: list[dict[str, Any]] = [
        head | {"metadata": {"name": f"bare-{number}"}, "spec": spec} for number in range(objects)
    ]
    ports = [f"--metrics-addr=127.0.0.1:{free_port()}", f"--health-probe-bind-address=127.0.0.1:{free_port()}"]
    command = [str(built("kuberay") / "ray-operator"), "--enable-leader-election=false", "--watch-namespace=bare", *ports]
    program = Program(command, folder / "kuberay.log", KUBECONFIG=str(kubeconfig), ENABLE_WEBHOOKS="false")
    made = Seen()
    watching = asyncio.create_task(bare.watch("RayCluster", made.see))
    try:
        await program.quiet()
        start = time.perf_counter()
        await together(bare.send("post", "RayJob", body=document) for document in documents)
        return await made.all([document["metadata"]["name"] for document in documents], "RayClusters") - start
    finally:
        program.kill()
        watching.cancel()


async def compare(folder: Path, kubeconfig: Path, objects: int, singles: int) -> list[tuple[str, str]]:
    """All rows of the table: ours, then KubeRay's."""
    async with connected(kubeconfig) as server:
        bench = Bench(server, kubeconfig, folder)
        watching = asyncio.create_task(bench.watch())
        measuring = asyncio.create_task(measure(bench, objects, singles))
        try:
            await asyncio.wait([watching, measuring], return_when=asyncio.FIRST_COMPLETED)
            (measuring if measuring.done() else watching).result()
        finally:
            bench.operator.kill()
            watching.cancel()
        seconds = await kuberay(server, kubeconfig, folder, objects, "warm-up-ft-1")
        bench.add(f"baseline: {objects:,} bare RayJobs, until KubeRay has made all RayClusters", f"{seconds:.1f} s")
        bench.add("ours to that: first children, RayJobs", ", ".join(f"{own / seconds:.2f}" for own in bench.took))
        return bench.rows


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=1000, help="how many are applied at once (1000)")
    parser.add_argument("--singles", type=int, default=100, help="how many are applied one after the other (100)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started ends with this program
    with tempfile.TemporaryDirectory() as temporary, control_plane(Path(temporary) / "cluster") as kubeconfig:
        rows = asyncio.run(compare(Path(temporary), kubeconfig, arguments.objects, arguments.singles))
    print("| what | measured |\n|---|--:|")
    print("\n".join(f"| {name} | {value} |" for name, value in rows))


if __name__ == "__main__":
    main()
