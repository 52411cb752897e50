"""A real kube-apiserver with etcd and the controllers of Kubernetes, without a node: pods are made, and never run."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from api_server import ApiServer, Operator, running, wait_for
from support import free_port, kuberay_crds, require

REPOSITORY = Path(__file__).parents[2]
CLUSTER = REPOSITORY / "hack" / "cluster" / "cluster"


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A control plane that these tests have for themselves."""
    require("go")
    require("etcd")
    state = tmp_path_factory.mktemp("control-plane")
    command = [sys.executable, str(CLUSTER), "--state", str(state)]
    subprocess.run([*command, "up", "--control-plane-only", "--port", str(free_port())], check=True)
    try:
        yield state / "credentials" / "admin.kubeconfig"
    finally:
        subprocess.run([*command, "down"], check=True)


@pytest.fixture(scope="session")
def cluster(kubeconfig: Path) -> ApiServer:
    """The API server with our CRDs and KubeRay's."""
    api = ApiServer(kubeconfig)
    api.install(*sorted((REPOSITORY / "crds").glob("*.yaml")), *kuberay_crds())
    for group, plural in (("raysmith.io", "llmservices"), ("ray.io", "rayservices")):
        # A kind that has just been defined is not discovered at once, and the operator looks when it starts.
        wait_for(lambda group=group, plural=plural: plural in api.kubectl("api-resources", f"--api-group={group}"), plural)  # type: ignore[misc]
    return api


@pytest.fixture
def api(cluster: ApiServer) -> ApiServer:
    """The API server in a namespace of the test's own."""
    return cluster.within(f"test-{uuid.uuid4().hex[:8]}")


@pytest.fixture(scope="session")
def api_dry(cluster: ApiServer) -> ApiServer:
    """The API server for tests that only ask."""
    return cluster


@pytest.fixture(scope="session")
def operator(cluster: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator that looks after all namespaces while the tests run."""
    ports = {"metricsPort": free_port(), "healthPort": free_port()}
    with running(Operator(cluster.kubeconfig, tmp_path_factory.mktemp("operator"), **ports)) as started:
        yield started
