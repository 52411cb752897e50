"""What users rely on in the manifests of a run, whatever else is in them."""

import json
from importlib.util import find_spec
from typing import Any

import pytest
import yaml

from manifests import SETTINGS, UID, by_kind, chat_service, claims_of, env_of, finetune_run, pods_of
from raysmith.api import LLMFineTune
from raysmith.config import Settings
from raysmith.render import render, render_notes
from raysmith.render.finetune import FINETUNE, PREPARE
from rendering import Case, cases, rendered


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_every_pod_is_confined(case: Case) -> None:
    pods = [pod for manifest in yaml.safe_load_all(rendered(case)) for pod in pods_of(manifest)]
    assert pods
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        for container in pod["containers"]:
            own = {"readOnlyRootFilesystem": True} if container["name"] == "ray" else {}
            assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}} | own


def test_only_the_head_of_a_run_has_a_token_and_it_may_write_the_status_of_its_object_alone() -> None:
    manifests = by_kind(render(finetune_run(), SETTINGS))
    head, worker = pods_of(manifests["RayJob"])
    (preparation,) = pods_of(manifests["Job"])
    assert [pod["automountServiceAccountToken"] for pod in (head, worker, preparation)] == [True, False, False]
    assert head["serviceAccountName"] == manifests["ServiceAccount"]["metadata"]["name"]
    assert manifests["Role"]["rules"] == [
        {
            "apiGroups": ["raysmith.io"],
            "resources": ["llmfinetunes/status"],
            "resourceNames": ["run"],
            "verbs": ["patch"],
        }
    ]
    assert manifests["RoleBinding"]["subjects"][0]["name"] == head["serviceAccountName"]
    service = next(case for case in cases() if case.name.endswith("service-minimal/input.yaml"))
    served = [pod for manifest in yaml.safe_load_all(rendered(service)) for pod in pods_of(manifest)]
    assert [pod["automountServiceAccountToken"] for pod in served] == [False, False]


def test_the_mounted_object_is_the_object_with_its_defaults() -> None:
    obj = finetune_run(
        metadata={"uid": UID, "labels": {"team": "a"}, "generation": 7}, status={"attempt": 3, "phase": "Running"}
    )
    mounted = json.loads(by_kind(render(obj, SETTINGS))["ConfigMap"]["data"]["object.json"])
    again = LLMFineTune.model_validate(mounted)
    assert mounted["metadata"] == {"name": "run", "namespace": "default", "uid": UID}
    assert mounted["status"] == {"attempt": 3}
    assert again.spec.workers.resources is not None
    assert again.spec == obj.spec.model_copy(update={"workers": again.spec.workers})


def test_every_pod_mounts_the_object_where_its_command_looks_for_it() -> None:
    manifests = render(finetune_run(), SETTINGS)
    name = by_kind(manifests)["ConfigMap"]["metadata"]["name"]
    for pod in (pod for manifest in manifests for pod in pods_of(manifest)):
        (volume,) = [volume for volume in pod["volumes"] if "configMap" in volume]
        assert volume["configMap"]["name"] == name
        (mount,) = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == volume["name"]]
        assert (mount["mountPath"], mount["readOnly"]) == ("/etc/raysmith", True)
    assert PREPARE[-1] == "/etc/raysmith/object.json"
    assert FINETUNE.endswith("--object /etc/raysmith/object.json")


@pytest.mark.parametrize("module", [PREPARE[2], FINETUNE.split()[2]])
def test_the_commands_name_modules_that_are_there(module: str) -> None:
    assert find_spec(f"{module}.__main__") is not None


def test_what_belongs_to_an_object_goes_when_it_goes() -> None:
    for obj in (finetune_run(metadata={"uid": UID}), chat_service(metadata={"uid": UID})):
        for manifest in render(obj, SETTINGS):
            (owner,) = manifest["metadata"]["ownerReferences"]
            assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == (obj.kind, obj.metadata.name, UID, True)


def test_an_object_without_a_uid_has_no_owner_references_and_a_note_says_so() -> None:
    assert all("ownerReferences" not in manifest["metadata"] for manifest in render(finetune_run(), SETTINGS))
    (note,) = render_notes(finetune_run())
    assert "uid" in note


def test_the_operator_owns_attempts_and_kubernetes_never_repeats_one() -> None:
    manifests = by_kind(render(finetune_run(status={"attempt": 4}, activeDeadlineSeconds=60), SETTINGS))
    assert manifests["RayJob"]["metadata"]["name"] == "run-ft-4"
    assert manifests["RayJob"]["spec"]["backoffLimit"] == 0
    assert manifests["RayJob"]["spec"]["activeDeadlineSeconds"] == 60
    assert "suspend" not in manifests["RayJob"]["spec"]
    assert manifests["Job"]["spec"]["backoffLimit"] == 0
    assert manifests["Job"]["spec"]["activeDeadlineSeconds"] == 60
    assert manifests["Job"]["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_data_is_prepared_without_an_accelerator() -> None:
    obj = finetune_run(workers={"replicas": 2, "resources": {"limits": {"nvidia.com/gpu": 1}}})
    manifests = by_kind(render(obj, SETTINGS))
    (preparation,) = pods_of(manifests["Job"])
    assert preparation["containers"][0]["image"] == SETTINGS.cpu_image
    assert "nvidia.com/gpu" not in preparation["containers"][0]["resources"]["limits"]
    head, worker = pods_of(manifests["RayJob"])
    assert {pod["containers"][0]["image"] for pod in (head, worker)} == {SETTINGS.gpu_image}
    assert worker["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    (group,) = manifests["RayJob"]["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert group["rayStartParams"] == {"num-gpus": "1"}
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (2, 2, 2)


def test_only_kueues_labels_are_handed_on() -> None:
    labels = {"kueue.x-k8s.io/queue-name": "gpus", "team": "a"}
    for obj, kinds in (
        (finetune_run(metadata={"labels": labels}), ("Job", "RayJob")),
        (chat_service(metadata={"labels": labels}), ("RayService",)),
    ):
        manifests = by_kind(render(obj, SETTINGS))
        for kind in kinds:
            assert manifests[kind]["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
            assert "team" not in manifests[kind]["metadata"]["labels"]


def test_volumes_are_read_only_where_nothing_writes() -> None:
    obj = finetune_run(model={"source": "pvc://models/base"}, output={"storage": "pvc://store/models"})
    assert claims_of(render(obj, SETTINGS)) == {"datasets": True, "models": True, "store": False}


def test_a_claim_that_is_read_and_written_is_writable() -> None:
    assert claims_of(render(finetune_run(output={"storage": "pvc://datasets/models"}), SETTINGS)) == {"datasets": False}


def test_two_runs_that_refer_to_each_other_are_rendered_all_the_same() -> None:
    one = finetune_run("one", model={"fineTune": {"name": "two"}}, method={"lora": {}})
    two = finetune_run("two", model={"fineTune": {"name": "one"}}, method={"lora": {}})
    assert render(one, SETTINGS, {"one": one, "two": two})


def test_the_hubs_credentials_reach_the_pods_that_download_and_no_manifest() -> None:
    obj = finetune_run(model={"source": "hf://a/b", "secretRef": {"name": "hub"}})
    for manifest in render(obj, SETTINGS):
        for pod in pods_of(manifest):
            assert env_of(pod)["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "HF_TOKEN"}}
    assert not any("HF_TOKEN" in env_of(pod) for manifest in render(finetune_run(), SETTINGS) for pod in pods_of(manifest))


@pytest.mark.parametrize(("cpu", "threads"), [(None, "1"), ("500m", "1"), ("1500m", "1"), (4, "4"), ("16", "16")])
def test_a_worker_uses_as_many_threads_as_it_has_cores(cpu: Any, threads: str) -> None:
    resources = {} if cpu is None else {"resources": {"requests": {"cpu": cpu}}}
    _, worker = pods_of(by_kind(render(finetune_run(workers=resources), SETTINGS))["RayJob"])
    assert env_of(worker)["OMP_NUM_THREADS"] == threads


def test_memory_always_has_a_limit_because_ray_sizes_its_store_by_it() -> None:
    _, worker = pods_of(
        by_kind(render(finetune_run(workers={"resources": {"requests": {"memory": "9Gi"}}}), SETTINGS))["RayJob"]
    )
    assert worker["containers"][0]["resources"]["limits"]["memory"] == "9Gi"


def test_a_suspended_run_has_no_pods_and_a_note_says_so() -> None:
    assert render(finetune_run(suspend=True), SETTINGS) == []
    assert "spec.suspend is true, so nothing runs." in render_notes(finetune_run(suspend=True))


def test_an_installations_service_account_is_used_and_its_token_is_not_mounted() -> None:
    manifests = by_kind(render(finetune_run(), Settings(service_account="tuner")))
    _head, worker = pods_of(manifests["RayJob"])
    for pod in (worker, *pods_of(manifests["Job"])):
        assert pod["serviceAccountName"] == "tuner"
        assert pod["automountServiceAccountToken"] is False


def test_the_preparation_takes_the_heads_template_without_the_containers_that_would_keep_it_from_ending() -> None:
    containers = [{"name": "ray", "image": "example/own:1"}, {"name": "log-shipper", "image": "example/log-shipper:1"}]
    head = {"spec": {"containers": containers, "priorityClassName": "batch"}}
    manifests = by_kind(render(finetune_run(podTemplate={"head": head}), SETTINGS))
    (preparation,) = pods_of(manifests["Job"])
    assert preparation["priorityClassName"] == "batch"
    assert [container["image"] for container in preparation["containers"]] == ["example/own:1"]
    ray_head, _ = pods_of(manifests["RayJob"])
    assert [container["name"] for container in ray_head["containers"]] == ["ray", "log-shipper"]
