"""What is refused although the schema allows it: settings that would break out of the pods, or that no pod can satisfy."""

from typing import Any

import pytest

from objects import finetune, service
from raysmith.api import KINDS, LLMFineTune, LLMService
from raysmith.api.engine import ALLOWED_ARGUMENTS, REFUSED_ARGUMENTS
from raysmith.config import Settings
from raysmith.render import RenderError, render
from raysmith.render.refusals import refusals

SETTINGS = Settings()
ROWS = {"train": [{"name": "rows", "source": "pvc://datasets/rows.jsonl"}]}
GPU = {"limits": {"nvidia.com/gpu": "1"}}


def _object(document: dict[str, Any]) -> LLMFineTune | LLMService:
    return KINDS[document["kind"]].model_validate(document)


def _run(**spec: Any) -> LLMFineTune | LLMService:
    return _object(finetune(**({"data": ROWS} | spec)))


def _refused(obj: LLMFineTune | LLMService) -> dict[str, str]:
    with pytest.raises(RenderError) as raised:
        render(obj, SETTINGS)
    return {refusal.field: refusal.message for refusal in raised.value.refusals}


def _workers(**spec: Any) -> LLMFineTune | LLMService:
    return _run(podTemplate={"workers": {"spec": spec}})


def _ray(**container: Any) -> LLMFineTune | LLMService:
    return _workers(containers=[{"name": "ray", **container}])


WORKERS = "spec.podTemplate.workers"
POD = f"{WORKERS}.spec"
TEMPLATES: dict[str, tuple[LLMFineTune | LLMService, str]] = {
    "an init container called like the one that works": (
        _workers(initContainers=[{"name": "ray"}]),
        f"{POD}.initContainers[0].name",
    ),
    "another service account": (_workers(serviceAccountName="admin"), f"{POD}.serviceAccountName"),
    "a mounted token": (_workers(automountServiceAccountToken=True), f"{POD}.automountServiceAccountToken"),
    "the machine's network": (_workers(hostNetwork=True), f"{POD}.hostNetwork"),
    "the machine's processes": (_workers(hostPID=True), f"{POD}.hostPID"),
    "the machine's memory": (_workers(hostIPC=True), f"{POD}.hostIPC"),
    "root": (_workers(securityContext={"runAsUser": 0}), f"{POD}.securityContext.runAsUser"),
    "perhaps root": (_workers(securityContext={"runAsNonRoot": False}), f"{POD}.securityContext.runAsNonRoot"),
    "kernel settings": (_workers(securityContext={"sysctls": []}), f"{POD}.securityContext.sysctls"),
    "a misspelt field": (_workers(nodeselector={"a": "b"}), f"{POD}.nodeselector"),
    "another restart policy": (_workers(restartPolicy="Always"), f"{POD}.restartPolicy"),
    "another command": (_ray(command=["sh"]), f"{POD}.containers[0].command"),
    "other arguments": (_ray(args=["-c"]), f"{POD}.containers[0].args"),
    "a privileged container": (_ray(securityContext={"privileged": True}), f"{POD}.containers[0].securityContext"),
    "a command in a hook": (_ray(lifecycle={"preStop": {}}), f"{POD}.containers[0].lifecycle"),
    "a command in a probe": (_ray(livenessProbe={"exec": {}}), f"{POD}.containers[0].livenessProbe"),
    "ports, which take KubeRay's away": (_ray(ports=[]), f"{POD}.containers[0].ports"),
    "accelerators that training does not see": (_ray(resources=GPU), f"{POD}.containers[0].resources"),
    "resources that are none": (_ray(resources={"limits": {"cpu": "many"}}), f"{POD}.containers[0].resources"),
    "another container's command": (
        _workers(containers=[{"name": "side", "image": "a", "command": ["sh"]}]),
        f"{POD}.containers[0].command",
    ),
    "another container without an image": (_workers(containers=[{"name": "side"}]), f"{POD}.containers[0].image"),
    "a privileged container at the start": (
        _workers(initContainers=[{"name": "first", "image": "a", "securityContext": {"privileged": True}}]),
        f"{POD}.initContainers[0].securityContext",
    ),
    "a folder of the machine": (
        _workers(volumes=[{"name": "root", "hostPath": {"path": "/"}}]),
        f"{POD}.volumes[0].hostPath",
    ),
    "a token in a volume": (
        _workers(volumes=[{"name": "token", "projected": {"sources": [{"serviceAccountToken": {}}]}}]),
        f"{POD}.volumes[0].projected",
    ),
    "a volume of Raysmith's": (_workers(volumes=[{"name": "object", "emptyDir": {}}]), f"{POD}.volumes[0].name"),
    "a volume named like /tmp's": (_workers(volumes=[{"name": "raysmith-tmp", "emptyDir": {}}]), f"{POD}.volumes[0].name"),
    "a volume named like a claim's": (_workers(volumes=[{"name": "claim-a", "emptyDir": {}}]), f"{POD}.volumes[0].name"),
    "a label of Ray's": (
        _run(podTemplate={"workers": {"metadata": {"labels": {"ray.io/cluster": "a"}}}}),
        f"{WORKERS}.metadata.labels[ray.io/cluster]",
    ),
    "an annotation that turns Ray off": (
        _run(podTemplate={"workers": {"metadata": {"annotations": {"ray.io/overwrite-container-cmd": "true"}}}}),
        f"{WORKERS}.metadata.annotations[ray.io/overwrite-container-cmd]",
    ),
    "a label that is a number": (
        _run(podTemplate={"workers": {"metadata": {"labels": {"a": 1}}}}),
        f"{WORKERS}.metadata.labels.a",
    ),
    "a finalizer": (
        _run(podTemplate={"workers": {"metadata": {"finalizers": ["a/b"]}}}),
        f"{WORKERS}.metadata.finalizers",
    ),
    "a null": (_workers(containers=None), f"{POD}.containers"),
    "a null deep inside": (_ray(env=[{"name": "A", "value": None}]), f"{POD}.containers[0].env[0].value"),
    "a text for a map": (_run(podTemplate={"workers": {"spec": "a"}}), POD),
    "a map for a list": (_workers(containers={"ray": {}}), f"{POD}.containers"),
    "a container without a name": (_workers(containers=[{"image": "a"}]), f"{POD}.containers"),
    "a container twice": (_workers(containers=[{"name": "ray"}, {"name": "ray"}]), f"{POD}.containers"),
    "variables as a map": (_ray(env={"A": "1"}), f"{POD}.containers[0].env"),
    "a variable that needs Redis": (_run(podTemplate={"head": {"spec": {"containers": [
        {"name": "ray", "env": [{"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"}]}
    ]}}}), "spec.podTemplate"),
    "a variable that takes Ray's token away": (_run(podTemplate={"head": {"spec": {"containers": [
        {"name": "ray", "env": [{"name": "RAY_AUTH_MODE", "value": "disabled"}]}
    ]}}}), "spec.podTemplate"),
}  # fmt: skip


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_pod_template_may_not_hold(name: str) -> None:
    obj, field = TEMPLATES[name]
    refused = _refused(obj)
    assert list(refused) == [field]
    assert field in refused[field]
    assert refused[field].endswith(".")


def test_a_pod_template_may_hold_what_places_a_pod_and_what_words_mean_elsewhere() -> None:
    obj = _workers(
        nodeSelector={"env": "prod", "volumes": "fast"},
        affinity={"nodeAffinity": {}},
        tolerations=[{"operator": "Exists"}],
        securityContext={"fsGroup": 2000, "runAsUser": 1001},
    )
    assert refusals(obj, SETTINGS) == []
    (worker,) = render(obj, SETTINGS)[-1]["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    pod = worker["template"]["spec"]
    assert pod["nodeSelector"] == {"env": "prod", "volumes": "fast"}
    assert pod["securityContext"]["runAsUser"] == 1001
    assert pod["securityContext"]["runAsNonRoot"] is True


@pytest.mark.parametrize("argument", [*REFUSED_ARGUMENTS, "a-setting-of-the-next-release"])
def test_an_engine_argument_that_is_not_on_the_list_is_refused(argument: str) -> None:
    obj = _object(service(engine={"args": {argument: "1"}}))
    field = f"spec.engine.args.{argument}"
    assert _refused(obj)[field].startswith(f"{field} is refused: ")


def test_every_allowed_engine_argument_is_accepted() -> None:
    for argument in ALLOWED_ARGUMENTS:
        assert refusals(_object(service(engine={"args": {argument: "1"}})), SETTINGS) == []


def test_an_installation_may_allow_fewer_or_other_engine_arguments() -> None:
    settings = Settings(engine_arguments=frozenset({"load-format"}))
    assert refusals(_object(service(engine={"args": {"load-format": "gguf"}})), settings) == []
    assert refusals(_object(service(engine={"args": {"seed": "1"}})), settings)


UNSATISFIABLE: dict[str, tuple[LLMFineTune | LLMService, str]] = {
    "two accelerators for one worker": (
        _run(workers={"resources": {"limits": {"nvidia.com/gpu": "2"}}}),
        "spec.workers.resources.limits",
    ),
    "half an accelerator": (
        _run(workers={"resources": {"limits": {"nvidia.com/gpu": "500m"}}}),
        "spec.workers.resources.limits",
    ),
    "more accelerators than a number can hold": (
        _run(workers={"resources": {"limits": {"nvidia.com/gpu": "9" * 64}}}),
        "spec.workers.resources.limits",
    ),
    "two kinds of accelerator": (
        _object(service(resources={"limits": {"nvidia.com/gpu": 1, "amd.com/gpu": 1}}, engine={"tensorParallel": 2})),
        "spec.resources.limits",
    ),
    "a type of accelerator and none asked for": (_run(workers={"accelerator": "H100"}), "spec.workers.accelerator"),
    "fewer accelerators than share the model": (
        _object(service(resources=GPU, engine={"tensorParallel": 4})),
        "spec.engine.tensorParallel",
    ),
    "more accelerators than share the model": (
        _object(service(resources={"limits": {"nvidia.com/gpu": 8}}, engine={"tensorParallel": 4})),
        "spec.engine.tensorParallel",
    ),
    "credentials for a volume": (
        _run(model={"source": "pvc://models/base", "secretRef": {"name": "token"}}),
        "spec.model.secretRef",
    ),
    "credentials beside a reference": (
        _run(model={"fineTune": {"name": "first"}, "secretRef": {"name": "token"}}),
        "spec.model.secretRef",
    ),
    "credentials beside an adapter's reference": (
        _object(service(adapters=[{"name": "a", "fineTune": {"name": "run"}, "secretRef": {"name": "token"}}])),
        "spec.adapters[0].secretRef",
    ),
    "two credentials for one hub": (
        _run(
            model={"source": "hf://a/b", "secretRef": {"name": "one"}},
            data={"train": [{"name": "rows", "source": "hf://datasets/a/b", "secretRef": {"name": "two"}}]},
        ),
        "spec.data.train[0].secretRef",
    ),
    "rows on this machine": (
        _run(data={"train": [{"name": "rows", "source": "file:///home/me/rows.jsonl"}]}),
        "spec.data.train[0].source",
    ),
    "a claim with a name that no claim has": (_run(model={"source": "pvc://My_Models/base"}), "spec.model.source"),
    "texts that no ConfigMap holds": (_run(evaluation={"prompts": ["a" * 32768] * 32}), "spec"),
}


@pytest.mark.parametrize("name", UNSATISFIABLE)
def test_no_pod_can_satisfy(name: str) -> None:
    obj, field = UNSATISFIABLE[name]
    refused = _refused(obj)
    assert list(refused) == [field]
    assert refused[field].endswith(".")


def test_all_refusals_are_said_at_once() -> None:
    obj = _run(
        model={"source": "file:///m"}, workers={"accelerator": "H100"}, podTemplate={"head": {"spec": {"hostPID": True}}}
    )
    assert len(_refused(obj)) == 3
