"""What documents say of the chart: the rights of the operator, the values, the metrics of the dashboard."""

import json
import re
from collections.abc import Iterator
from typing import Any

import prometheus_client
import pytest
import yaml

from charts import CHART, ROOT, Manifest, defaults, of_kind, rendered
from objects import finetune
from raysmith import metrics
from raysmith.api import LLMFineTune
from raysmith.render.identity import identity_manifests

SECURITY = ROOT / "docs" / "security.md"
README = CHART / "README.md"
TABLE = re.compile(r"(<!-- values: [^\n]*-->\n).*(<!-- /values -->)", re.DOTALL)

Right = tuple[str, str, str, str]
"""Where, API group, resource, verb."""


def rights_in_document(wheres: set[str]) -> set[Right]:
    rows = [line.strip("| ").split(" | ") for line in SECURITY.read_text().splitlines() if line.count(" | ") == 4]
    return {
        (where, "" if group == "core" else group, resource, verb)
        for where, group, resources, verbs, because in rows
        if where in wheres and because
        for resource in resources.split()
        for verb in verbs.split()
    }


def rights(role: Manifest, where: str) -> set[Right]:
    return {
        (where, group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def roles_of_operator(manifests: list[Manifest]) -> Iterator[Manifest]:
    """The roles that a binding gives to the operator, each bound where it lies."""
    for binding in [*of_kind(manifests, "RoleBinding"), *of_kind(manifests, "ClusterRoleBinding")]:
        (subject,) = binding["subjects"]
        assert subject == {"kind": "ServiceAccount", "name": "raysmith-operator", "namespace": "raysmith-system"}
        place = binding["metadata"].get("namespace")
        for role in of_kind(manifests, binding["roleRef"]["kind"]):
            if role["metadata"]["name"] == binding["roleRef"]["name"] and role["metadata"].get("namespace") == place:
                yield role


@pytest.mark.parametrize("namespaces", [[], ["a", "b"], ["raysmith-system"]], ids=["everywhere", "in two", "in its own"])
def test_the_operators_rights_are_those_of_the_table(namespaces: list[str]) -> None:
    found: set[tuple[str | None, Right]] = set()
    for role in roles_of_operator(rendered({"namespaces": namespaces})):
        name, place = role["metadata"]["name"], role["metadata"].get("namespace")
        where = {"raysmith-operator-discovery": "cluster", "raysmith-operator-lease": "own namespace"}.get(name, "namespaces")
        found |= {(place, right) for right in rights(role, where)}
    places: list[str | None] = [*namespaces] or [None]
    expected: set[tuple[str | None, Right]] = {(None, right) for right in rights_in_document({"cluster"})}
    expected |= {("raysmith-system", right) for right in rights_in_document({"own namespace"})}
    expected |= {(place, right) for place in places for right in rights_in_document({"namespaces"})}
    assert found == expected


def test_the_operator_may_neither_read_secrets_nor_give_rights_that_it_has_not() -> None:
    everything = {right for role in roles_of_operator(rendered({})) for right in rights(role, "")}
    assert not {resource for _, _, resource, _ in everything} & {"secrets", "*", "pods/exec", "pods/attach"}
    assert not {verb for _, _, _, verb in everything} & {"*", "escalate", "bind", "impersonate"}


def test_a_runs_rights_are_those_of_the_table_and_ones_that_the_operator_has() -> None:
    document = finetune()
    document["metadata"] |= {"uid": "7f1d9a52-0f6d-4a3e-9d8a-2c2f6f0a1b11"}
    (role,) = of_kind(identity_manifests(LLMFineTune.model_validate(document)), "Role")
    assert all(rule["resourceNames"] == ["run"] for rule in role["rules"])
    assert rights(role, "own object") == rights_in_document({"own object"})
    assert rights(role, "namespaces") <= rights_in_document({"namespaces"})


def test_who_may_edit_a_namespace_may_edit_objects_and_no_status() -> None:
    roles = [role for role in of_kind(rendered({}), "ClusterRole") if "raysmith-operator" not in role["metadata"]["name"]]
    labels = [key for role in roles for key in role["metadata"]["labels"] if key.startswith("rbac.")]
    assert labels == [f"rbac.authorization.k8s.io/aggregate-to-{role}" for role in ("view", "edit")]
    resources = {resource for role in roles for _, _, resource, _ in rights(role, "")}
    assert resources == {"llmfinetunes", "llmservices", "llmservices/scale"}


def commented_values() -> dict[str, str]:
    """The `# -- ` comment of every value, by its path."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    comment = ""
    for line in (CHART / "values.yaml").read_text().splitlines():
        if said := re.fullmatch(r" *# -- (.*)", line):
            comment = said[1]
        elif key := re.match(r"( *)([A-Za-z]+):", line):
            path = [(indent, name) for indent, name in path if indent < len(key[1])] + [(len(key[1]), key[2])]
            if comment:
                found[".".join(name for _, name in path)] = comment
            comment = ""
    return found


def values_table() -> str:
    rows = ["| value | default | |", "|---|---|---|"]
    for path, comment in commented_values().items():
        default: Any = defaults()
        for name in path.split("."):
            default = default[name]
        shown = "see [values.yaml](values.yaml)" if path == "settings.engineArguments" else f"`{json.dumps(default)}`"
        rows.append(f"| `{path}` | {shown} | {comment} |")
    return "\n".join(rows) + "\n"


def uncommented(values: dict[str, Any], path: str = "") -> Iterator[str]:
    """The values that have neither a comment nor one above them."""
    for name, value in values.items():
        if f"{path}{name}" in commented_values():
            continue
        if isinstance(value, dict) and value:
            yield from uncommented(value, f"{path}{name}.")
        else:
            yield f"{path}{name}"


def test_every_value_has_a_comment_that_is_a_sentence() -> None:
    assert list(uncommented(defaults())) == []
    assert [comment for comment in commented_values().values() if not re.match(r"[A-Z].*[.`]$", comment)] == []


def test_the_readme_lists_every_value(update_golden: bool) -> None:
    text = README.read_text()
    wanted = TABLE.sub(lambda found: found[1] + values_table() + found[2], text)
    if update_golden:
        README.write_text(wanted)
    assert README.read_text() == wanted, "run pytest tests/unit/test_chart_documents.py --update-golden"


def test_the_dashboard_asks_for_metrics_that_the_operator_has() -> None:
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text())
    asked = {
        metric
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for metric in re.findall(r"\braysmith_[a-z_]+", target["expr"])
    }
    exported = {
        name
        for metric in vars(metrics).values()
        if isinstance(metric, prometheus_client.metrics.MetricWrapperBase)
        for name in series(metric)
    }
    assert asked
    assert asked <= exported
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def series(metric: prometheus_client.metrics.MetricWrapperBase) -> list[str]:
    (described,) = metric.describe()
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    return [described.name + suffix for suffix in suffixes.get(described.type, [""])]


def test_the_dashboard_is_handed_over_as_it_is() -> None:
    (config_map,) = [each for each in of_kind(rendered({}), "ConfigMap") if "raysmith.json" in each["data"]]
    assert config_map["data"]["raysmith.json"] == (CHART / "files" / "dashboard.json").read_text()


def test_the_chart_is_of_the_projects_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (ROOT / "operator" / "pyproject.toml").read_text()
    assert f'version = "{chart["version"]}"' in project
    assert chart["appVersion"] == chart["version"]
