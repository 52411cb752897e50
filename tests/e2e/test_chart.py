"""The chart's own life: installed, tested by `helm test`, upgraded from the version before, uninstalled, installed again."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from api_server import ApiServer, wait_for
from installation import SYSTEM, Installation, former_chart
from objects import finetune

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.timeout(900)]

SUSPENDED = {"suspend": True, "data": {"train": [{"name": "rows", "source": "builtin://dates-us"}]}}
OPERATOR = "app.kubernetes.io/name=raysmith,app.kubernetes.io/component=operator"
TTL = "{.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.ttlSecondsAfterFinished.type}"


@pytest.fixture(scope="module")
def system(kubeconfig: Path) -> ApiServer:
    return ApiServer(kubeconfig).within(SYSTEM)


@pytest.fixture(scope="module")
def former(kubeconfig: Path, system: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The version before this one runs. In the end this one does, as the other tests need it."""
    installation = Installation(kubeconfig)
    installation.uninstall()
    # Its CRDs are kept by uninstalling, and an upgrade must be seen to change them.
    system.kubectl("delete", "customresourcedefinition", "llmfinetunes.raysmith.io", "--ignore-not-found")
    installation.install(former_chart(tmp_path_factory.mktemp("former")))
    yield installation
    installation.install()


@pytest.fixture(scope="module")
def api(former: Installation, system: ApiServer) -> Iterator[ApiServer]:
    name = f"chart-{uuid.uuid4().hex[:8]}"
    yield system.within(name)
    system.kubectl("delete", "namespace", name, "--wait=false")


def accepted(api: ApiServer, name: str) -> bool:
    return api.condition("LLMFineTune", name, "Accepted").get("status") == "True"


def field_of_today(system: ApiServer) -> bool:
    return bool(system.kubectl("get", "customresourcedefinition", "llmfinetunes.raysmith.io", "--output", f"jsonpath={TTL}"))


def test_an_upgrade_brings_the_definitions_up_to_date_and_keeps_the_objects(
    former: Installation, system: ApiServer, api: ApiServer
) -> None:
    before = api.create(finetune(name="before", **SUSPENDED))
    wait_for(lambda: accepted(api, "before"), "the former operator to accept it")
    assert not field_of_today(system)
    former.install()
    wait_for(lambda: field_of_today(system), "the field that this version has")
    assert (api.get("LLMFineTune", "before") or {})["metadata"]["uid"] == before["metadata"]["uid"]
    api.create(finetune(name="after", ttlSecondsAfterFinished=3600, **SUSPENDED))
    wait_for(lambda: accepted(api, "after"), "the new operator to accept it")


def test_helm_test_passes(former: Installation) -> None:
    assert "Succeeded" in former.test()


def test_uninstalling_keeps_the_objects_and_installing_again_takes_them_up(
    former: Installation, system: ApiServer, api: ApiServer
) -> None:
    former.uninstall()
    wait_for(lambda: not system.list("Pod", OPERATOR), "the operator's pods to go")
    assert api.get("LLMFineTune", "before")
    api.create(finetune(name="meanwhile", **SUSPENDED))
    former.install()
    wait_for(lambda: accepted(api, "meanwhile"), "what was applied without an operator to be taken up")
