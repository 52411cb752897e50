"""What the chart's NetworkPolicies let pass and what they stop, tried by pods in a cluster that enforces them."""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from api_server import ApiServer, wait_for
from charts import of_kind, rendered
from network_pods import PORTS, NetworkPod, reached
from objects import finetune

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.timeout(600)]

RAYSMITH = {"app.kubernetes.io/managed-by": "raysmith"}
OPERATOR = {f"app.kubernetes.io/{key}": value for key, value in
            {"name": "raysmith", "instance": "raysmith", "component": "operator"}.items()}  # fmt: skip
KUBERAY = "kuberay-system"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
UNNAMED = 22
"""A port at which nothing listens, and that no policy names."""

Pods = dict[str, NetworkPod]


@pytest.fixture(scope="module")
def pods(operator: ApiServer) -> Iterator[Pods]:
    """`ray` in a namespace with two others, and one pod each elsewhere; `twin` is to every policy the operator itself."""
    mark = f"policies-{uuid.uuid4().hex[:8]}"
    tenant, others, kuberay = (ApiServer(operator.kubeconfig, name) for name in (mark, f"{mark}-others", KUBERAY))
    image = operator.kubectl("get", "deployment", "--output=jsonpath={.items[0].spec.template.spec.containers[0].image}")
    try:
        for api in (tenant, others):
            metadata = {"name": api.namespace, "labels": RESTRICTED}
            api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        made = {
            "ray": NetworkPod.start(tenant, "ray", image, RAYSMITH),
            "mate": NetworkPod.start(tenant, "mate", image, RAYSMITH),
            "stranger": NetworkPod.start(tenant, "stranger", image, {}),
            "foreigner": NetworkPod.start(others, "foreigner", image, {}),
            "kuberay": NetworkPod.start(kuberay, mark, image, {}),
            "twin": NetworkPod.start(operator, mark, image, OPERATOR, metrics=8080, health=8081),
        }
        made["ray"].serve()
        for pod in made.values():
            pod.api.kubectl("wait", "--for=condition=Ready", f"pod/{pod.name}", "--timeout=120s")
        yield made
    finally:
        for api in (operator, kuberay):
            api.kubectl("delete", "pod", mark, "--ignore-not-found")
        operator.kubectl("delete", "namespace", tenant.namespace, others.namespace, "--wait=false", "--ignore-not-found")


@pytest.fixture(scope="module", autouse=True)
def enforced(pods: Pods) -> None:
    """Somebody else's cluster may have a network that knows no policies."""
    if "KUBECONFIG" not in os.environ:
        return
    api = pods["ray"].api
    nobody = {"podSelector": {}, "policyTypes": ["Ingress"]}
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "nobody"}, "spec": nobody}
    api.apply(policy)
    try:
        wait_for(lambda: reached(pods["ray"].service, [pods["stranger"]]) == [set()], "a policy to be enforced", 30)
    except AssertionError:
        pytest.skip("the network of this cluster enforces no NetworkPolicies")
    finally:
        api.kubectl("delete", "networkpolicy", "nobody")


@contextmanager
def closed(pods: Pods, **settings: Any) -> Iterator[None]:
    """The tenant's namespace with the policy that the chart makes of `settings`."""
    api = pods["ray"].api
    ray = {"enabled": True, "namespaces": [api.namespace], **settings}
    policies = of_kind(rendered({"networkPolicy": {"ray": ray}}), "NetworkPolicy")
    api.apply(next(policy for policy in policies if policy["metadata"]["name"] == "raysmith-ray"))
    yield
    api.kubectl("delete", "networkpolicy", "raysmith-ray")


def expect(pods: Pods, target: str, **expected: set[int]) -> None:
    """Who reaches which ports of `target`. What a policy or a Service changes takes a moment to come true."""
    deadline = time.monotonic() + 60
    while True:
        found = dict(zip(expected, reached(target, [pods[name] for name in expected]), strict=True))
        if found == expected or time.monotonic() > deadline:
            break
    assert found == expected


def test_without_a_policy_everybody_reaches_everything(pods: Pods) -> None:
    all_ports = set(PORTS)
    expect(pods, pods["ray"].service, mate=all_ports, stranger=all_ports, foreigner=all_ports, kuberay=all_ports)


def test_rays_ports_are_closed_to_all_but_raysmiths_own_pods_and_kuberay(pods: Pods) -> None:
    with closed(pods):
        expect(
            pods,
            pods["ray"].service,
            mate=set(PORTS),
            stranger={8000},
            foreigner={8000},
            kuberay={8000, 8265, 52365},
            twin={8000},
        )
    expect(pods, pods["ray"].service, stranger=set(PORTS))


def test_services_and_metrics_can_be_closed_to_all_but_some_namespaces(pods: Pods) -> None:
    some = [pods["foreigner"].api.namespace]
    with closed(pods, serveFromNamespaces=some, metricsFromNamespaces=some):
        expect(
            pods,
            pods["ray"].service,
            mate=set(PORTS),
            stranger=set(),
            foreigner={8000, 8080},
            kuberay={8000, 8265, 52365},
            twin={8000},
        )


def test_the_operator_is_reached_at_its_metrics_and_its_health_only(operator: ApiServer, pods: Pods) -> None:
    expect(pods, pods["twin"].address, stranger={8080, 8081})
    real = operator.list("Pod", "app.kubernetes.io/component=operator,!tests.raysmith.io/pod")[0]
    address, open_to_all = real["status"]["podIP"], f"{pods['foreigner'].address}:{UNNAMED}"
    assert pods["stranger"].connect(f"{address}:8080", f"{address}:8081", f"{address}:{UNNAMED}", open_to_all) == {
        f"{address}:8080": "passed",
        f"{address}:8081": "passed",
        f"{address}:{UNNAMED}": "stopped",
        open_to_all: "refused",
    }


def test_the_operator_reaches_names_the_api_server_and_services_only(pods: Pods) -> None:
    ray, foreigner, server = pods["ray"].service, f"{pods['foreigner'].address}:8000", "kubernetes.default.svc:443"
    targets = [server, f"{ray}:8000", f"{ray}:8265", foreigner]
    assert pods["stranger"].connect(*targets) == dict.fromkeys(targets, "passed")
    passed, stopped = dict.fromkeys(targets[:2], "passed"), dict.fromkeys(targets[2:], "stopped")
    assert pods["twin"].connect(*targets) == passed | stopped


def test_the_operator_works_behind_its_policy(pods: Pods) -> None:
    api = pods["ray"].api
    api.create(finetune(name="idle", suspend=True, data={"train": [{"name": "rows", "source": "builtin://dates-us"}]}))
    accepted = lambda: api.condition("LLMFineTune", "idle", "Accepted").get("status") == "True"  # noqa: E731
    wait_for(accepted, "the operator to accept an object")
