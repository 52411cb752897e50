"""The CRDs at a real API server: every rule with objects that keep and that break it, and the defaults."""

import copy
from typing import Any

import pytest
from kubernetes.dynamic.exceptions import DynamicApiError

from admission_cases import ACCEPTED, REFUSED
from api_server import ApiServer
from objects import finetune
from raysmith.api import KINDS, to_wire

pytestmark = pytest.mark.cluster


def created(api: ApiServer, document: dict[str, Any]) -> dict[str, Any]:
    return api.create(copy.deepcopy(document), dry_run="All")


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_right_is_accepted(api_dry: ApiServer, name: str) -> None:
    made = created(api_dry, ACCEPTED[name])
    assert made["spec"] == to_wire(KINDS[made["kind"]].model_validate(made))["spec"], "defaulting equals the models'"


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_refused(api_dry: ApiServer, name: str) -> None:
    with pytest.raises(DynamicApiError) as refused:
        created(api_dry, REFUSED[name])
    assert refused.value.status in (400, 422)


def test_a_typo_is_refused_by_name_as_kubectl_asks_for(api_dry: ApiServer) -> None:
    document = finetune()
    document["spec"]["trainning"] = {"epochs": 1}
    with pytest.raises(DynamicApiError, match="trainning"):
        created(api_dry, document)


def test_a_spec_cannot_change_but_for_suspending(api: ApiServer) -> None:
    api.create(finetune(training={"epochs": 1}))
    api.patch("LLMFineTune", "run", {"spec": {"suspend": True}})
    with pytest.raises(DynamicApiError, match="training cannot change after creation"):
        api.patch("LLMFineTune", "run", {"spec": {"training": {"epochs": 2}}})


def test_the_status_is_not_written_with_the_object(api: ApiServer) -> None:
    api.create({**finetune(), "status": {"phase": "Mine"}})
    found = api.get("LLMFineTune", "run") or {}
    assert (found.get("status") or {}).get("phase") != "Mine"


def test_short_names_and_the_category_are_known_to_kubectl(api: ApiServer) -> None:
    api.create(finetune(suspend=True))
    for what in ("lft", "raysmith"):
        assert "run" in api.kubectl("get", what)
