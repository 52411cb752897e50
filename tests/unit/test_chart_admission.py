"""The chart's policies refuse, when an object is applied, what the operator would refuse; both are given the same objects.

The policies are evaluated by the API server's own code, in the vocabulary of Kubernetes 1.30 and of the newest release.
"""

from functools import cache
from typing import Any

import pytest

from charts import checked, rendered
from objects import finetune, service
from raysmith.api import KINDS, to_wire
from raysmith.api.engine import ALLOWED_ARGUMENTS, REFUSED_ARGUMENTS
from raysmith.config import Settings
from raysmith.render.refusals import refusals
from rendering import cases, objects
from unit.test_render_refusals import TEMPLATES

Document = dict[str, Any]

# KubeRay's rules about variables are about the whole cluster; the operator renders it and asks them.
OPERATOR_ONLY = {"a variable that needs Redis", "a variable that takes Ray's token away"}
WELL_FORMED: Document = {"labels": {}, "annotations": {}, "securityContext": {}, "resources": {}, "metadata": {}, "spec": {}}
LISTS = ("containers", "initContainers", "volumes", "env", "envFrom", "volumeMounts")


def said_of(requests: dict[str, Document], values: Document | None = None) -> dict[str, list[str]]:
    """What the policies say to each request."""
    policies = [each for each in rendered(values or {}) if each["kind"] == "ValidatingAdmissionPolicy"]
    return dict(zip(requests, checked(policies, list(requests.values())).requests, strict=True))


def templated(group: str = "workers", **template: Any) -> Document:
    return finetune(podTemplate={group: template})


def refused_by_operator(document: Document) -> bool:
    return refusals(KINDS[document["kind"]].model_validate(document), Settings()) != []


@cache
def refused_templates() -> dict[str, Document]:
    found = {}
    for name, (obj, _) in TEMPLATES.items():
        template = obj.spec.pod_template
        assert template is not None
        pieces = {"head": template.head, "workers": template.workers}
        found[name] = finetune(podTemplate={group: piece for group, piece in pieces.items() if piece is not None})
    return found


@pytest.fixture(scope="module")
def said_of_refused_templates() -> dict[str, list[str]]:
    return said_of({name: {"object": document} for name, document in refused_templates().items()})


@pytest.mark.parametrize("name", sorted(TEMPLATES.keys() - OPERATOR_ONLY))
def test_a_pod_template_that_the_operator_refuses_is_refused_with_a_sentence(
    name: str, said_of_refused_templates: dict[str, list[str]]
) -> None:
    sentences = said_of_refused_templates[name]
    assert sentences
    for sentence in sentences:
        assert "spec.podTemplate" in sentence
        assert sentence.endswith(".")
        assert "expression" not in sentence  # a rule that failed instead of refusing


def test_what_only_the_operator_refuses_is_not_refused_by_accident(said_of_refused_templates: dict[str, list[str]]) -> None:
    assert not any(said_of_refused_templates[name] for name in OPERATOR_ONLY)


def fields_one_by_one() -> dict[str, Document]:
    """A template for every field that Kubernetes knows, at every place that the lists are about."""
    fields = checked([]).fields
    made: dict[str, Document] = {}

    def value(field: str) -> Any:
        return [] if field in LISTS else WELL_FORMED.get(field, "a")

    for group in ("head", "workers"):
        made |= {f"{group}.{f}": templated(group, **{f: value(f)}) for f in fields["PodTemplateSpec"]}
        made |= {f"{group}.metadata.{f}": templated(group, metadata={f: value(f)}) for f in fields["ObjectMeta"]}
        made |= {f"{group}.spec.{f}": templated(group, spec={f: value(f)}) for f in fields["PodSpec"]}
        for f in fields["PodSecurityContext"]:
            made[f"{group}.securityContext.{f}"] = templated(group, spec={"securityContext": {f: 1}})
        for kind in ("containers", "initContainers"):
            for f in fields["Container"]:
                container = {"image": "a", f: value(f)} | {"name": "side"}
                made[f"{group}.{kind}.{f}"] = templated(group, spec={kind: [container]})
        for f in fields["Volume"]:
            volume: Document = {f: {}} | {"name": "mine"}
            made[f"{group}.volumes.{f}"] = templated(group, spec={"volumes": [volume]})
    return made


def test_every_field_of_a_pod_is_allowed_by_both_or_refused_by_both() -> None:
    documents = fields_one_by_one()
    assert {"workers.spec.hostNetwork", "head.containers.command", "workers.volumes.hostPath"} <= documents.keys()
    said = said_of({name: {"object": document} for name, document in documents.items()})
    by_policy = {name for name, sentences in said.items() if sentences}
    by_operator = {name for name, document in documents.items() if refused_by_operator(document)}
    assert by_policy == by_operator
    assert 0 < len(by_operator) < len(documents)


ALLOWED = {
    "nothing": finetune(),
    "empty templates": finetune(podTemplate={"head": {}, "workers": {"metadata": {}, "spec": {}}}),
    "what places a pod": templated(
        spec={
            "nodeSelector": {"env": "prod", "volumes": "fast"},
            "affinity": {"nodeAffinity": {}},
            "tolerations": [{"operator": "Exists"}],
            "securityContext": {"fsGroup": 2000, "runAsUser": 1001},
        }
    ),
    "more of everything": templated(
        "head",
        metadata={"labels": {"team": "a"}, "annotations": {"example.com/a": "b"}},
        spec={
            "containers": [
                {
                    "name": "ray",
                    "env": [{"name": "A", "value": "1"}],
                    "resources": {"requests": {"cpu": 2}, "limits": {"memory": "1.5Gi", "nvidia.com/gpu": 0}},
                    "volumeMounts": [{"name": "mine", "mountPath": "/a"}, {"name": "mine", "mountPath": "/b"}],
                },
                {"name": "side", "image": "a", "resources": {"limits": {"nvidia.com/gpu": 1}}},
            ],
            "initContainers": [{"name": "first", "image": "a", "env": [{"name": f"N{i}", "value": "1"} for i in range(2000)]}],
            "volumes": [{"name": "mine", "projected": {"sources": [{"secret": {"name": "a"}}]}}],
        },
    ),
}


def test_what_the_operator_allows_is_allowed() -> None:
    published = {f"{case.name} {obj.metadata.name}": to_wire(obj) for case in cases() for obj in objects(case.source)}
    documents = ALLOWED | {name: document | {"status": {}} for name, document in published.items()}
    assert [name for name, document in ALLOWED.items() if refused_by_operator(document)] == []
    said = said_of({name: {"object": document} for name, document in documents.items()})
    assert said == {name: [] for name in documents}


def test_a_sentence_names_the_place_the_field_and_what_is_allowed() -> None:
    document = templated("head", spec={"containers": [{"name": "ray", "command": ["sh"], "args": []}]})
    (sentence,) = said_of({"it": {"object": document}})["it"]
    assert sentence.startswith("spec.podTemplate.head.spec.containers, ray: ")
    assert "command" in sentence
    assert sentence.endswith("allowed here are env, envFrom, image, imagePullPolicy, name, resources, volumeMounts.")


def test_an_object_from_before_may_change_but_for_its_spec() -> None:
    old = templated(spec={"hostNetwork": True})
    finalized = old | {"metadata": old["metadata"] | {"finalizers": ["raysmith.io/cleanup"]}}
    changed = finetune(podTemplate={"workers": {"spec": {"hostNetwork": True}}}, suspend=True)
    said = said_of({"finalizer": {"object": finalized, "old": old}, "spec": {"object": changed, "old": old}})
    assert said["finalizer"] == []
    assert said["spec"] != []


def test_engine_arguments_are_those_of_the_settings() -> None:
    names = [*ALLOWED_ARGUMENTS, *REFUSED_ARGUMENTS, "a-setting-of-the-next-release"]
    documents = {name: service(engine={"args": {name: "1"}}) for name in names}
    said = said_of({name: {"object": document} for name, document in documents.items()})
    assert {name for name, sentences in said.items() if not sentences} == set(ALLOWED_ARGUMENTS)
    assert {name for name, document in documents.items() if not refused_by_operator(document)} == set(ALLOWED_ARGUMENTS)
    (sentence,) = said["trust-remote-code"]
    assert sentence.startswith("spec.engine.args: trust-remote-code may not be set here; ")
    narrower = said_of({"seed": {"object": documents["seed"]}}, {"settings": {"engineArguments": ["dtype"]}})
    assert narrower["seed"] != []
