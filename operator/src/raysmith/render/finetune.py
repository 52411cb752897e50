"""LLMFineTune -> ConfigMap, Job that prepares the data, RayJob that trains."""

from typing import Any, Final

from raysmith.api import LLMFineTune
from raysmith.api.common import PodTemplate
from raysmith.api.finetune import LLMFineTuneStatus
from raysmith.config import Settings
from raysmith.render import names
from raysmith.render.addresses import FineTunes, addresses, reached_addresses, resolved_addresses
from raysmith.render.objects import OBJECT_PATH, Manifest, common_labels, config_map, metadata, queue_labels
from raysmith.render.pods import complete_resources, pod_template
from raysmith.render.ray_cluster import Cluster, ray_cluster_spec
from raysmith.render.template_rules import CONTAINER
from raysmith.render.volumes import Mounts, mounts

PREPARE: Final = ["python", "-m", "raysmith_workloads.prepare", "--object", OBJECT_PATH]
# Ray runs it through a shell, so it holds nothing that a shell would read.
FINETUNE: Final = f"python -m raysmith_workloads.finetune --object {OBJECT_PATH}"


def finetune_manifests(obj: LLMFineTune, settings: Settings, finetunes: FineTunes) -> list[Manifest]:
    """What one attempt is made of. The RayJob follows when the Job has succeeded, so that no accelerator waits for data."""
    attempt = (obj.status and obj.status.attempt) or 1
    obj = _completed(obj, settings, attempt)
    object_map = config_map(obj)
    named = [*addresses(obj), *resolved_addresses(obj), *reached_addresses(obj, finetunes)]
    pod_mounts = mounts(object_map["metadata"]["name"], named)
    labels = {"raysmith.io/finetune": obj.metadata.name, "raysmith.io/attempt": str(attempt)}
    return [
        object_map,
        _preparation(obj, settings, attempt, pod_mounts, labels),
        _ray_job(obj, settings, attempt, pod_mounts, labels),
    ]


def _completed(obj: LLMFineTune, settings: Settings, attempt: int) -> LLMFineTune:
    """The object with its attempt, and the resources that its workers get: pods and what runs in them count alike."""
    workers = obj.spec.workers.model_copy(update={"resources": complete_resources(obj.spec.workers.resources, settings)})
    status = (obj.status or LLMFineTuneStatus()).model_copy(update={"attempt": attempt})
    return obj.model_copy(update={"spec": obj.spec.model_copy(update={"workers": workers}), "status": status})


def _preparation(obj: LLMFineTune, settings: Settings, attempt: int, mounted: Mounts, labels: dict[str, str]) -> Manifest:
    template = pod_template(
        image=settings.cpu_image,
        resources=settings.preparation_resources,
        mounts=_with_shared_memory(mounted, settings.preparation_resources["limits"]["memory"]),
        labels=common_labels(obj) | labels,
        settings=settings,
        patch=_without_companions(obj.spec.pod_template),
    )
    template["spec"]["restartPolicy"] = "Never"
    template["spec"]["containers"][0]["command"] = PREPARE
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(obj, names.preparation_job(obj.metadata.name, attempt), labels | queue_labels(obj)),
        # Attempts are the operator's, which knows a lost node from refused data.
        "spec": {"backoffLimit": 0, **_deadline(obj), "template": template},
    }


def _ray_job(obj: LLMFineTune, settings: Settings, attempt: int, mounted: Mounts, labels: dict[str, str]) -> Manifest:
    cluster = Cluster(
        workers=obj.spec.workers.replicas or 1,
        resources=complete_resources(obj.spec.workers.resources, settings),
        mounts=mounted,
        labels=common_labels(obj) | labels,
        env={},
        template=obj.spec.pod_template,
    )
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": metadata(obj, names.ray_job(obj.metadata.name, attempt), labels | queue_labels(obj)),
        # No `suspend`: that field is Kueue's.
        "spec": {
            "submissionMode": "HTTPMode",
            "entrypoint": FINETUNE,
            "backoffLimit": 0,
            "preRunningDeadlineSeconds": settings.pre_running_deadline_seconds,
            **_deadline(obj),
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": settings.ttl_seconds_after_finished,
            "rayClusterSpec": ray_cluster_spec(cluster, settings),
        },
    }


def _deadline(obj: LLMFineTune) -> dict[str, Any]:
    seconds = obj.spec.active_deadline_seconds
    return {} if seconds is None else {"activeDeadlineSeconds": seconds}


def _without_companions(template: PodTemplate | None) -> dict[str, Any]:
    """The head's template without containers of the user's own: a Job ends when all of its containers have ended."""
    head = (template and template.head) or {}
    spec = head.get("spec", {})
    own = [container for container in spec.get("containers", []) if container["name"] == CONTAINER]
    return {**head, "spec": {**spec, "containers": own}}


def _with_shared_memory(mounted: Mounts, size: str) -> Mounts:
    """Ray's object store lives in /dev/shm, which has 64 MiB by itself. KubeRay sees to it in its own pods."""
    volume = {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": size}}
    mount = {"name": "shared-memory", "mountPath": "/dev/shm"}  # noqa: S108 - that is its name
    return Mounts([*mounted.volumes, volume], [*mounted.volume_mounts, mount], mounted.env)
