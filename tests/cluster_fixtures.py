"""A whole Kubernetes with KubeRay and our chart: the cluster of $KUBECONFIG, or one that is started on this machine."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from hack.cluster.processes import Processes

from api_server import ApiServer
from installation import SYSTEM, Installation
from support import require
from tenants import Tenant, forget, namespace
from traces import left_since, traces

REPOSITORY = Path(__file__).parents[1]
CLUSTER = [sys.executable, str(REPOSITORY / "hack" / "cluster" / "cluster")]
MAIN = import_module("hack.cluster.main")  # no plain import: mypy takes the folder programs/ beside it for programs.py
PROGRAMS = ("go", "kubectl", "etcd", "openssl", "mmdebstrap", *MAIN.NODE_PROGRAMS)


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[Path]:
    """The cluster's. One that runs already is used, and left running; of one that is started here nothing is left."""
    if given := os.environ.get("KUBECONFIG"):
        yield Path(given)
        return
    if os.geteuid() != 0:
        reason = "a node of Kubernetes needs root; or name a cluster in $KUBECONFIG"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    for program in PROGRAMS:
        require(program)
    running = subprocess.run([*CLUSTER, "status"], check=False, capture_output=True).returncode == 0
    before = traces(MAIN.STATE)
    try:
        started = _up()
        processes = _processes()
        assert _up() == started
        assert _processes() == processes, "`hack/cluster/cluster up` leaves alone what runs already, and it did not."
        subprocess.run([*CLUSTER, "images"], check=True)
        yield started
    finally:
        if not running:
            subprocess.run([*CLUSTER, "down"], check=True)
            left = left_since(before, MAIN.STATE)
            assert not left, f"`hack/cluster/cluster down` has left on this machine: {'; '.join(left)}."


def _up() -> Path:
    done = subprocess.run([*CLUSTER, "up"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(done.stdout.rpartition("KUBECONFIG=")[2].strip())


def _processes() -> dict[str, str]:
    """The cluster's processes that run, and of each its number and the time of its start."""
    processes = Processes(MAIN.STATE / "processes")
    return {name: (processes.folder / f"{name}.json").read_text() for name in processes.names() if processes.running(name)}


@pytest.fixture(scope="session")
def cluster(kubeconfig: Path) -> Iterator[ApiServer]:
    """The API server of the cluster, with our chart installed."""
    system = ApiServer(kubeconfig).within(SYSTEM)
    installation = Installation(kubeconfig)
    installation.install()
    yield system
    installation.uninstall()


@pytest.fixture(scope="session")
def operator(cluster: ApiServer) -> ApiServer:
    """The operator runs."""
    cluster.kubectl("rollout", "status", "deployment", "--timeout=120s")
    return cluster


@pytest.fixture
def tenant(operator: ApiServer) -> Iterator[Tenant]:
    """A namespace of the test's own, under the "restricted" Pod Security Standard."""
    made = namespace(operator, f"e2e-{uuid.uuid4().hex[:8]}")
    yield made
    forget(operator, made)


@pytest.fixture(scope="module")
def quick_tenant(operator: ApiServer) -> Iterator[Tenant]:
    """The same for a module whose tests look at one story."""
    made = namespace(operator, f"e2e-{uuid.uuid4().hex[:8]}")
    yield made
    forget(operator, made)
