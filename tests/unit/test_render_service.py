"""What users rely on in the manifests of a service: its address, its revisions, its volumes."""

import ast
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from manifests import DIGEST, SETTINGS, UID, by_kind, chat_service, claims_of, env_of, finetune_run, pods_of
from raysmith.config import Settings
from raysmith.render import render, render_notes
from raysmith.render.service import IMPORT_PATH, serve_config


def test_serve_imports_a_function_that_is_there() -> None:
    module, function = IMPORT_PATH.split(":")
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    names = {node.name for node in ast.parse(Path(spec.origin).read_text()).body if isinstance(node, ast.FunctionDef)}
    assert function in names


def test_ray_knows_every_key_of_the_serve_configuration() -> None:
    from ray.serve.schema import ServeDeploySchema

    config = yaml.safe_load(by_kind(render(chat_service(), SETTINGS))["RayService"]["spec"]["serveConfigV2"])
    assert config == serve_config()
    assert _unknown(ServeDeploySchema, config) == []
    assert _unknown(ServeDeploySchema, config | {"aplications": []}) == ["aplications"]
    wrong = deepcopy(config)
    wrong["applications"][0]["route_prefx"] = "/"
    assert _unknown(ServeDeploySchema, wrong) == ["applications.route_prefx"]


def _unknown(schema: type[BaseModel], data: dict[str, Any]) -> list[str]:
    """Keys that Ray's schema would ignore. Raises ValidationError for wrong values."""
    parsed = schema.model_validate(data)
    found = [key for key in data if key not in schema.model_fields]
    for key, value in data.items():
        inner = getattr(parsed, key, None)
        for item, model in zip(value, inner, strict=True) if isinstance(value, list) and inner else [(value, inner)]:
            if isinstance(model, BaseModel):
                found += [f"{key}.{name}" for name in _unknown(type(model), item)]
    return found


def test_an_adapter_brings_the_volumes_of_the_models_below_it() -> None:
    first = finetune_run("first", model={"source": "pvc://models/base"}, method={"lora": {}}, output={"storage": "pvc://one/m"})
    second = finetune_run(
        "second", model={"fineTune": {"name": "first"}}, method={"lora": {}}, output={"storage": "pvc://two/m"}
    )
    runs = {"first": first, "second": second}
    chat = chat_service(model={"fineTune": {"name": "second"}})
    assert claims_of(render(chat, SETTINGS, runs)) == {"one": True, "two": True, "models": True}


def test_a_full_model_does_not_need_the_volume_that_it_started_from() -> None:
    run = finetune_run("first", model={"source": "pvc://models/base"}, method={"full": {}}, output={"storage": "pvc://one/m"})
    assert claims_of(render(chat_service(model={"fineTune": {"name": "first"}}), SETTINGS, {"first": run})) == {"one": True}


def test_a_resolved_reference_is_mounted_and_an_unresolved_one_is_noted() -> None:
    known = chat_service(
        metadata={"uid": UID},
        model={"fineTune": {"name": "run"}},
        status={"model": {"uri": "pvc://store/models/default/run-01234567", "digest": DIGEST}},
    )
    assert claims_of(render(known, SETTINGS)) == {"store": True}
    assert render_notes(known) == []
    unknown = chat_service(metadata={"uid": UID}, model={"fineTune": {"name": "run"}})
    assert claims_of(render(unknown, SETTINGS)) == {}
    (note,) = render_notes(unknown)
    assert "spec.model.fineTune" in note
    assert "not mounted" in note


def test_an_adapters_service_gets_the_credentials_of_the_run_that_downloaded_the_base() -> None:
    run = finetune_run("run", model={"source": "hf://a/b", "secretRef": {"name": "hub"}}, method={"lora": {}})
    manifests = render(chat_service(model={"fineTune": {"name": "run"}}), SETTINGS, {"run": run})
    assert all("HF_TOKEN" in env_of(pod) for manifest in manifests for pod in pods_of(manifest))


def test_a_service_without_replicas_keeps_its_address() -> None:
    (only,) = render(chat_service(replicas=0), SETTINGS)
    assert (only["kind"], only["metadata"]["name"]) == ("Service", "chat")
    assert any("replicas is 0" in note for note in render_notes(chat_service(replicas=0)))


def test_the_service_in_front_selects_the_serving_pods_of_one_revision() -> None:
    manifests = by_kind(render(chat_service(replicas=2), SETTINGS))
    selector = manifests["Service"]["spec"]["selector"]
    cluster = manifests["RayService"]["spec"]["rayClusterConfig"]
    (group,) = cluster["workerGroupSpecs"]
    assert selector.pop("ray.io/serve") == "true"
    assert selector.items() <= group["template"]["metadata"]["labels"].items()
    assert manifests["RayService"]["metadata"]["name"] == f"chat-sv-{selector['raysmith.io/revision']}"
    assert group["replicas"] == 2


SAME_PODS: dict[str, dict[str, Any]] = {
    "a label": {"metadata": {"labels": {"team": "a"}}},
    "a new generation": {"metadata": {"generation": 2}},
    "what was observed": {"status": {"phase": "Ready", "readyReplicas": 1}},
    "how it is upgraded": {"upgrade": {"deadlineSeconds": 60}},
    "a default that is written down": {"engine": {"tensorParallel": 1}},
}
OTHER_PODS: dict[str, dict[str, Any]] = {
    "another model": {"model": {"source": "hf://owner/other"}},
    "another engine setting": {"engine": {"maxModelLength": 512}},
    "more memory": {"resources": {"requests": {"memory": "16Gi"}}},
    "another pod template": {"podTemplate": {"workers": {"spec": {"nodeSelector": {"a": "b"}}}}},
    "another result of the same run": {"status": {"model": {"uri": "pvc://store/a", "digest": DIGEST}}},
}


@pytest.mark.parametrize("name", SAME_PODS)
def test_the_revision_stays_with(name: str) -> None:
    assert (
        by_kind(render(chat_service(**SAME_PODS[name]), SETTINGS))["Service"]
        == by_kind(render(chat_service(), SETTINGS))["Service"]
    )


@pytest.mark.parametrize("name", OTHER_PODS)
def test_the_revision_changes_with(name: str) -> None:
    assert (
        by_kind(render(chat_service(**OTHER_PODS[name]), SETTINGS))["Service"]
        != by_kind(render(chat_service(), SETTINGS))["Service"]
    )


def test_a_new_image_is_a_new_revision() -> None:
    other = Settings(cpu_image="example/workloads:2")
    assert by_kind(render(chat_service(), other))["Service"] != by_kind(render(chat_service(), SETTINGS))["Service"]
