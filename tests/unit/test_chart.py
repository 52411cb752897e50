"""The chart as Helm renders it: every object is one that an API server takes, and what documents say of it is so.

Helm is Helm (tests/tools/helm); the API server speaks through its own code (tests/tools/chart-check).
"""

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts import CHART, ROOT, Manifest, checked, defaults, helm, named, of_kind, rendered
from raysmith.config import OperatorSettings, Settings, read_settings

MONITORING = ("monitoring.coreos.com/v1/ServiceMonitor", "monitoring.coreos.com/v1/PodMonitor")
EVERYTHING: dict[str, Any] = {
    "image": {"pullSecrets": [{"name": "registry"}], "tag": "1.2"},
    "namespaces": ["research", "support"],
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "control", "operator": "Exists", "effect": "NoSchedule"}],
    "priorityClassName": "system-cluster-critical",
    "podAnnotations": {"example.com/team": "a"},
    "store": {"create": True, "namespaces": ["research"], "storageClassName": "nfs"},
    "networkPolicy": {
        "ray": {"enabled": True, "serveFromNamespaces": ["gateway"], "metricsFromNamespaces": ["monitoring"]},
    },
    "monitoring": {"labels": {"release": "prometheus"}},
}
NOTHING: dict[str, Any] = {
    "replicas": 1,
    "crds": {"enabled": False},
    "admission": {"enabled": False},
    "rbac": {"aggregate": False},
    "networkPolicy": {"operator": {"enabled": False}},
    "monitoring": {"enabled": False, "dashboard": False},
}
VALUES: dict[str, dict[str, Any]] = {
    "the defaults": {},
    "everything": EVERYTHING,
    "nothing that can be left out": NOTHING,
    "a store beside the operator": {"store": {"create": True}},
    "a part of another chart": {"global": {"imageRegistry": "ours"}},
}


def manifests_of(name: str) -> list[Manifest]:
    return rendered(VALUES[name], MONITORING if name == "everything" else ())


@pytest.mark.parametrize("name", VALUES)
def test_helm_finds_nothing_to_say(name: str, tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(VALUES[name]))
    said = helm("lint", "--strict", "--quiet", str(CHART), "--values", str(tmp_path / "values.yaml"))
    assert said.returncode == 0, said.stdout


@pytest.mark.parametrize("name", VALUES)
def test_the_api_server_accepts_every_object_and_its_pods_are_restricted(name: str) -> None:
    manifests = [manifest for manifest in manifests_of(name) if manifest["kind"] != "CustomResourceDefinition"]
    found = dict(zip(map(named, manifests), checked(manifests).manifests, strict=True))
    assert found == {key: [] for key in found}


def test_the_judge_refuses_unknown_fields_wrong_values_and_pods_with_rights() -> None:
    (deployment,) = of_kind(manifests_of("the defaults"), "Deployment")
    misspelt = deployment | {"spec": deployment["spec"] | {"replica": 2}}
    negative = deployment | {"spec": deployment["spec"] | {"replicas": -1}}
    free = json.loads(json.dumps(deployment))
    del free["spec"]["template"]["spec"]["containers"][0]["securityContext"]
    unknown, wrong, unrestricted = checked([misspelt, negative, free]).manifests
    assert 'unknown field "spec.replica"' in unknown[0]
    assert "greater than or equal to 0" in wrong[0]
    assert any(sentence.startswith("restricted: ") for sentence in unrestricted)


def test_every_kind_is_rendered_with_everything() -> None:
    kinds = {manifest["kind"] for manifest in [*manifests_of("everything"), *manifests_of("the defaults")]}
    assert kinds == {
        "ClusterRole",
        "ClusterRoleBinding",
        "ConfigMap",
        "CustomResourceDefinition",
        "Deployment",
        "NetworkPolicy",
        "PersistentVolumeClaim",
        "Pod",
        "PodDisruptionBudget",
        "PodMonitor",
        "Role",
        "RoleBinding",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }


def test_monitors_are_made_only_where_the_cluster_knows_them() -> None:
    kinds = {manifest["kind"] for manifest in rendered({})}
    assert not kinds & {"ServiceMonitor", "PodMonitor"}


def test_definitions_are_those_of_the_repository_and_are_kept() -> None:
    wanted = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]
    found = of_kind(manifests_of("the defaults"), "CustomResourceDefinition")
    for definition in found:
        assert definition["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        assert definition["metadata"].pop("labels")["helm.sh/chart"]
    assert found == wanted
    given_up = of_kind(rendered({"crds": {"keep": False}}), "CustomResourceDefinition")
    assert all("annotations" not in definition["metadata"] for definition in given_up)


def test_a_packed_chart_holds_the_definitions_themselves(tmp_path: Path) -> None:
    assert helm("package", str(CHART), "--destination", str(tmp_path)).returncode == 0
    (packed,) = tmp_path.glob("raysmith-*.tgz")
    with tarfile.open(packed) as archive:
        assert {f"raysmith/files/crds/{path.name}" for path in (ROOT / "crds").iterdir()} <= set(archive.getnames())
    assert rendered({}, chart=packed) == rendered({})


@pytest.mark.parametrize("name", ["the defaults", "everything"])
def test_the_operator_reads_its_settings(name: str, tmp_path: Path) -> None:
    (config_map,) = [each for each in of_kind(manifests_of(name), "ConfigMap") if "settings.yaml" in each["data"]]
    file = tmp_path / "settings.yaml"
    file.write_text(config_map["data"]["settings.yaml"])
    expected = OperatorSettings(
        objects=Settings(),
        namespaces=tuple(VALUES[name].get("namespaces", ())),
        lease_namespace="raysmith-system",
        lease_name="raysmith-operator",
    )
    assert read_settings(file) == expected


def test_other_settings_mean_other_pods() -> None:
    before, after = (
        of_kind(rendered(values), "Deployment")[0]["spec"]["template"]["metadata"]["annotations"]
        for values in ({}, {"settings": {"rayVersion": "2.60.1"}})
    )
    assert before != after


def test_the_service_and_the_policy_select_the_operators_pods_and_not_the_tests() -> None:
    manifests = manifests_of("the defaults")
    labels = of_kind(manifests, "Deployment")[0]["spec"]["template"]["metadata"]["labels"].items()
    others = of_kind(manifests, "Pod")[0]["metadata"]["labels"].items()
    selectors = [
        of_kind(manifests, "Service")[0]["spec"]["selector"],
        of_kind(manifests, "NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"],
        of_kind(manifests, "PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels
        assert not selector.items() <= others


def test_closing_rays_pods_needs_to_know_where_they_are() -> None:
    said = helm("template", "raysmith", str(CHART), "--set", "networkPolicy.ray.enabled=true")
    assert said.returncode != 0
    assert "name them in networkPolicy.ray.namespaces" in said.stderr


def test_the_notes_teach_the_next_commands() -> None:
    notes = helm("install", "raysmith", str(CHART), "--namespace", "here", "--dry-run=client").stdout.partition("NOTES:")[2]
    assert "looks after all namespaces" in notes
    assert "KubeRay is not here yet" in notes
    for command in re.findall(r"^    (kubectl|helm) (.*)$", notes, re.MULTILINE):
        assert "<no value>" not in command[1]
    assert "kubectl --namespace default apply -f examples/quickstart/" in notes
    assert (ROOT / "examples" / "quickstart").is_dir()


TYPING_ERRORS = {
    "a misspelt value": {"replica": 2},
    "a misspelt value inside": {"store": {"creat": True}},
    "a misspelt setting": {"settings": {"cpuimage": "a"}},
    "a word that is not on the list": {"image": {"pullPolicy": "always"}},
    "a string for a number": {"replicas": "2"},
    "a number for an amount": {"settings": {"workerRequests": {"cpu": 1}}},
    "no limit of memory": {"settings": {"headResources": {"limits": None}}},
    "a namespace that is none": {"namespaces": ["a/b"]},
}


@pytest.mark.parametrize("name", TYPING_ERRORS)
def test_helm_refuses(name: str, tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(TYPING_ERRORS[name]))
    said = helm("template", "raysmith", str(CHART), "--values", str(tmp_path / "values.yaml"))
    assert said.returncode != 0
    assert "don't meet the specifications of the schema" in said.stderr


def test_the_schema_knows_the_values_and_no_others() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def resolved(piece: dict[str, Any]) -> dict[str, Any]:
        piece = schema["$defs"][piece["$ref"].rpartition("/")[2]] if "$ref" in piece else piece
        return resolved(piece["allOf"][0]) if "allOf" in piece else piece

    def compare(value: Any, piece: dict[str, Any], path: str) -> None:
        piece = resolved(piece)
        if piece.get("type") == "object" and "properties" in piece:
            assert piece["additionalProperties"] is False, path
            assert set(value) == set(piece["properties"]) - {"global"}, path
            for name in value:
                compare(value[name], piece["properties"][name], f"{path}.{name}")
        elif piece.get("type") == "object":
            assert "type" in resolved(piece["additionalProperties"]), path

    compare(defaults(), schema, "")
