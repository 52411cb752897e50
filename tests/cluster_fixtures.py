"""A whole Kubernetes with KubeRay and our chart: the cluster of $KUBECONFIG, or one that is started on this machine."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from api_server import ApiServer
from installation import SYSTEM, Installation
from support import require
from tenants import Tenant, forget, namespace

REPOSITORY = Path(__file__).parents[1]
CLUSTER = [sys.executable, str(REPOSITORY / "hack" / "cluster" / "cluster")]


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[Path]:
    """The cluster's. One that runs already is used, and left running."""
    if given := os.environ.get("KUBECONFIG"):
        yield Path(given)
        return
    if os.geteuid() != 0:
        reason = "a node of Kubernetes needs root; or name a cluster in $KUBECONFIG"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    for program in ("go", "etcd", "containerd", "runc", "mmdebstrap"):
        require(program)
    running = subprocess.run([*CLUSTER, "status"], check=False, capture_output=True, text=True).returncode == 0
    started = subprocess.run([*CLUSTER, "up"], check=True, capture_output=True, text=True)
    try:
        subprocess.run([*CLUSTER, "images"], check=True)
        yield Path(started.stdout.rpartition("KUBECONFIG=")[2].strip())
    finally:
        if not running:
            subprocess.run([*CLUSTER, "down"], check=True)


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
