"""A real kube-apiserver with etcd and the controllers of Kubernetes, without a node: pods are made, and never run."""

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from api_server import ApiServer, Operator, running, wait_for
from charts import Manifest, of_kind, rendered
from installation import SYSTEM
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


Credentials = Callable[[list[Manifest]], Path]


@pytest.fixture(scope="session")
def credentials(cluster: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    """The kubeconfig for the operator of a chart: it may do here what that chart lets it do, and nothing else."""

    def made(chart: list[Manifest]) -> Path:
        system = cluster.within(SYSTEM)
        for kind in ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"):
            for manifest in of_kind(chart, kind):
                system.apply(manifest)
        (account,) = of_kind(chart, "ServiceAccount")
        token = system.kubectl("create", "token", account["metadata"]["name"], "--duration=3h").strip()
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
        file = tmp_path_factory.mktemp("operator") / "kubeconfig"
        file.write_text(yaml.safe_dump(config))
        return file

    return made


@pytest.fixture(scope="session")
def operators_kubeconfig(credentials: Credentials) -> Path:
    """For the operator of the chart as it is."""
    return credentials(rendered({}))


@pytest.fixture(scope="session")
def operator(operators_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator that looks after all namespaces while the tests run."""
    own = {"metricsPort": free_port(), "healthPort": free_port(), "leaseNamespace": SYSTEM}
    with running(Operator(operators_kubeconfig, tmp_path_factory.mktemp("operator"), **own)) as started:
        yield started
