"""The operator itself: two replicas, kills at bad moments, a cluster without KubeRay, what it costs when nothing happens."""

import json
import re
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from hack.cluster.processes import Processes

from api_server import ApiServer, Operator, running, wait_for
from charts import Manifest, of_kind, rendered
from installation import SYSTEM
from objects import finetune, service
from played import RESULT, ROWS, child, end_pod, is_, may, prepared, ray_job_is, start, tell
from support import free_port, kuberay_crds

pytestmark = pytest.mark.cluster

REFUSED = re.compile(r'cannot (\w+) resource \\?"(\w+)/?(\w*)\\?" in API group \\?"([\w.]*)')
CLUSTER = Path(__file__).parents[2] / "hack" / "cluster" / "cluster"


@pytest.fixture
def alone(operator: Operator) -> Iterator[Operator]:
    """The tests' common operator stands aside."""
    operator.kill()
    yield operator
    operator.start()


Replica = Callable[[str], Operator]
Credentials = Callable[[list[Manifest]], Path]


@pytest.fixture
def replica(operators_kubeconfig: Path, tmp_path: Path) -> Replica:
    """A replica beside others of the test's own, not yet started. No earlier test's Lease has to run out first."""
    lease = f"replicas-{uuid.uuid4().hex[:8]}"

    def named(name: str) -> Operator:
        ports = {"metricsPort": free_port(), "healthPort": free_port()}
        return Operator(operators_kubeconfig, tmp_path / name, leaseNamespace=SYSTEM, leaseName=lease, **ports)

    return named


def text_of(operator: Operator, port: str, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{operator.settings[port]}{path}") as response:
        return response.read().decode()  # type: ignore[no-any-return]


def healthy(operator: Operator) -> str:
    try:
        return text_of(operator, "healthPort", "/healthz")
    except OSError:
        return ""


@pytest.mark.usefixtures("alone")
def test_of_two_replicas_one_works_and_the_other_takes_over_each_time_one_is_killed(api: ApiServer, replica: Replica) -> None:
    names = [f"run-{number}" for number in range(20)]
    one, two = replica("one"), replica("two")
    with running(one), running(two):
        for name in names:
            api.create(finetune(name=name, data=ROWS))
        wait_for(child(api, "Job", "prepare"), "the first preparation")
        (works,) = [each for each in (one, two) if "working" in healthy(each)]
        waits = two if works is one else one
        wait_for(lambda: "waiting for the Lease" in healthy(waits), "the other one to wait")
        works.kill()
        first = {job["metadata"]["uid"] for job in api.list("Job")}
        works.start()
        wait_for(lambda: "working" in healthy(waits), "the second one to work")
        waits.kill()
        wait_for(lambda: "working" in healthy(works), "the first one to work again")
        for name in names:
            is_(api, "Running", "False", "Preparing", name=name)
        wait_for(lambda: len(api.list("Job")) >= len(names), "a preparation for each")
        jobs = api.list("Job")
        assert sorted(job["metadata"]["labels"]["app.kubernetes.io/instance"] for job in jobs) == sorted(names)
        assert first <= {job["metadata"]["uid"] for job in jobs}, "nothing is done twice"
        assert {len(run["status"]["attempts"]) for run in api.list("LLMFineTune")} == {1}


@pytest.mark.usefixtures("alone")
def test_an_operator_that_is_killed_while_it_creates_updates_and_deletes_loses_nothing(
    api: ApiServer, replica: Replica
) -> None:
    names = [f"run-{number}" for number in range(20)]
    one = replica("one")
    with running(one):
        wait_for(lambda: "working" in healthy(one), "the operator to work")
        for name in names:
            api.create(finetune(name=name, data=ROWS))
        one.kill()
        one.start()
        wait_for(lambda: len(api.list("Job", "raysmith.io/step=prepare")) == 20, "a preparation for each", 90)
        for name in names[:10]:
            api.patch("LLMFineTune", name, {"spec": {"suspend": True}})
        one.kill()
        for name in names[10:]:
            api.delete("LLMFineTune", name)
        one.start()
        for name in names[:10]:
            is_(api, "Running", "False", "Suspended", name=name)
        wait_for(lambda: not api.list("Job"), "no Job to be left", 90)


@contextmanager
def api_server_down(kubeconfig: Path) -> Iterator[None]:
    """The API server is killed, and another one started on what etcd has kept."""
    state = kubeconfig.parents[1]
    port = urlsplit(yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]).port
    Processes(state / "processes").stop("kube-apiserver", patience=0)
    yield
    command = [sys.executable, str(CLUSTER), "--state", str(state), "up", "--control-plane-only", "--port", str(port)]
    subprocess.run(command, check=True)


def test_an_api_server_that_dies_in_the_middle_finds_its_operator_at_work_when_it_is_back(
    api: ApiServer, operator: Operator, kubeconfig: Path
) -> None:
    names = [f"run-{number}" for number in range(20)]
    for name in names:
        api.create(finetune(name=name, data=ROWS))
    first = wait_for(child(api, "Job", "prepare"), "the first preparation")
    with api_server_down(kubeconfig):
        time.sleep(5)  # requests fail, watches end, the Lease cannot be renewed
    if not operator.running:  # it ends when it has lost its Lease, and a kubelet starts it again
        operator.start()
    wait_for(lambda: len(api.list("Job", "raysmith.io/step=prepare")) == len(names), "a preparation for each", 90)
    assert first["metadata"]["uid"] in [job["metadata"]["uid"] for job in api.list("Job")], "nothing is done twice"
    for name in names:
        is_(api, "Running", "False", "Preparing", name=name)


@pytest.mark.usefixtures("alone")
def test_missing_kuberay_is_a_condition_that_clears_by_itself(api: ApiServer, cluster: ApiServer, replica: Replica) -> None:
    definitions = ("rayjobs.ray.io", "rayservices.ray.io", "rayclusters.ray.io", "raycronjobs.ray.io")
    api.kubectl("delete", "customresourcedefinition", *definitions, "--ignore-not-found")
    try:
        with running(replica("one")):
            api.create(finetune(data=ROWS))
            end_pod(api, wait_for(child(api, "Job", "prepare"), "the preparation"))
            found = is_(api, "Running", "False", "KubeRayMissing")
            assert "Install the KubeRay operator" in found["message"]
            cluster.install(*kuberay_crds())
            wait_for(lambda: ApiServer(api.kubeconfig, api.namespace).list("RayJob"), "the RayJob", 90)
    finally:
        cluster.install(*kuberay_crds())


def test_an_operator_with_nothing_to_do_writes_nothing(api: ApiServer, operator: Operator) -> None:
    api.create(finetune(data=ROWS))
    wait_for(child(api, "Job", "prepare"), "the preparation")

    def writes() -> float:
        lines = text_of(operator, "metricsPort", "/metrics").splitlines()
        counts = [line for line in lines if line.startswith("raysmith_api_requests_total{")]
        counts = [line for line in counts if 'verb="get"' not in line and 'kind="Lease"' not in line]
        return sum(float(line.rpartition(" ")[2]) for line in counts)

    is_(api, "Accepted", "True")
    time.sleep(5)
    before = writes()
    time.sleep(15)
    assert writes() == before


def test_metrics_count_objects_by_phase(api: ApiServer, operator: Operator) -> None:
    api.create(finetune(data=ROWS, objective="DPO"))
    is_(api, "Finished", "True")
    wait_for(
        lambda: 'raysmith_objects{kind="LLMFineTune",phase="Refused"}' in text_of(operator, "metricsPort", "/metrics"), "it"
    )


def test_the_operator_has_every_right_that_its_work_asked_for(api: ApiServer, operator: Operator) -> None:
    """An API server that has just been started refuses, too, what it allows a moment later: so each refusal is asked again."""
    api.create(finetune(data=ROWS))
    is_(api, "Accepted", "True")
    as_operator = ApiServer(operator.kubeconfig, api.namespace)
    for verb, resource, subresource, group in set(REFUSED.findall(operator.log.read_text())):
        kind = f"{resource}.{group}".rstrip(".")
        as_operator.kubectl("auth", "can-i", "--quiet", verb, kind, f"--subresource={subresource}")


@pytest.mark.usefixtures("alone")
def test_an_operator_of_one_namespace_works_there_with_no_rights_elsewhere_and_leaves_the_others_alone(
    api: ApiServer, cluster: ApiServer, credentials: Credentials, tmp_path: Path
) -> None:
    # Under another name, because the operator of that name may do everywhere what this one may do in its namespace.
    text = json.dumps(rendered({"namespaces": [api.namespace]})).replace("raysmith-operator", "raysmith-here")
    chart = json.loads(text)
    kubeconfig = credentials(chart)
    account = f"{SYSTEM}:raysmith-here"
    wait_for(lambda: may(api, account, "create", "jobs.batch"), "the rights to be known")
    (file,) = [made["data"] for made in of_kind(chart, "ConfigMap") if made["metadata"]["name"] == "raysmith-here"]
    settings = yaml.safe_load(file["settings.yaml"])
    elsewhere = cluster.within(f"{api.namespace}-not")
    start(elsewhere)
    with running(Operator(kubeconfig, tmp_path, metricsPort=free_port(), healthPort=free_port(), **settings)) as operator:
        start(api)
        ray_job_is(api, prepared(api), "Running")
        is_(api, "Running", "True")
        api.create(service())
        wait_for(lambda: api.list("RayService"), "the RayService")
        tell(api, result=RESULT)
        is_(api, "Succeeded", "True")
        assert REFUSED.findall(operator.log.read_text()) == []
        assert 'code="403"' not in text_of(operator, "metricsPort", "/metrics")
    assert not (elsewhere.get("LLMFineTune", "run") or {}).get("status")
    assert elsewhere.list("Job") == []
    assert not may(elsewhere, account, "get", "llmfinetunes.raysmith.io")


def test_settings_that_are_not_known_are_refused_with_their_name(tmp_path: Path, cluster: ApiServer) -> None:
    wrong = Operator(cluster.kubeconfig, tmp_path, metricPort=1)
    wrong.start()
    wait_for(lambda: not wrong.running, "it to end")
    assert "metricPort" in wrong.log.read_text()
