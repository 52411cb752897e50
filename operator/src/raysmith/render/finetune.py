"""LLMFineTune -> ConfigMap, identity, Job that prepares the data, RayJob that trains; and the Jobs that clear up after it."""

from typing import Any, Final, NamedTuple

from raysmith.api import LLMFineTune
from raysmith.api.common import PodTemplate
from raysmith.api.finetune import LLMFineTuneStatus
from raysmith.config import Settings
from raysmith.render import names
from raysmith.render.addresses import FineTunes, addresses, reached_addresses, resolved_addresses
from raysmith.render.identity import identity_manifests
from raysmith.render.objects import OBJECT_PATH, Manifest, common_labels, config_map, metadata, queue_labels
from raysmith.render.pods import complete_resources, pod_template
from raysmith.render.ray_cluster import Cluster, ray_cluster_spec
from raysmith.render.template_rules import CONTAINER
from raysmith.render.volumes import Mounts, mounts

PREPARE: Final = ["python", "-m", "raysmith_workloads.prepare", "--object", OBJECT_PATH]
DELETE: Final = ["python", "-m", "raysmith_workloads.delete", "--object", OBJECT_PATH]
TERMINATION_LOG: Final = "/dev/termination-log"
"""Where the kubelet reads what a container has to say at its end."""
# Ray runs it through a shell, so it holds nothing that a shell would read.
FINETUNE: Final = f"python -m raysmith_workloads.finetune --object {OBJECT_PATH}"


def finetune_manifests(obj: LLMFineTune, settings: Settings, finetunes: FineTunes) -> list[Manifest]:
    """What one attempt is made of. The RayJob follows when the Job has succeeded, so that no accelerator waits for data."""
    parts = _parts(obj, settings, finetunes)
    return [parts.object_map, *identity_manifests(obj), _preparation(parts, settings), _ray_job(parts, settings)]


def recovery_job(obj: LLMFineTune, settings: Settings, finetunes: FineTunes) -> Manifest:
    """The Job that tells the result of a run that has ended: the run itself once more, which finds its record and tells it."""
    parts = _parts(obj, settings, finetunes)
    name = names.recovery_job(obj.metadata.name, parts.attempt)
    return _job(parts, settings, name, "recover", FINETUNE.split(), identity=names.identity(obj.metadata.name))


def deletion_manifests(obj: LLMFineTune, settings: Settings, finetunes: FineTunes) -> list[Manifest]:
    """The Job that deletes what the run left in storage, and the ConfigMap that it reads."""
    parts = _parts(obj, settings, finetunes)
    return [parts.object_map, _job(parts, settings, names.deletion_job(obj.metadata.name), "delete", DELETE)]


class _Parts(NamedTuple):
    """What all manifests of an attempt share."""

    obj: LLMFineTune
    attempt: int
    object_map: Manifest
    mounts: Mounts
    labels: dict[str, str]


def _parts(obj: LLMFineTune, settings: Settings, finetunes: FineTunes) -> _Parts:
    attempt = obj.attempt
    obj = _completed(obj, settings, attempt)
    object_map = config_map(obj)
    named = [*addresses(obj), *resolved_addresses(obj), *reached_addresses(obj, finetunes)]
    labels = {"raysmith.io/finetune": obj.metadata.name, "raysmith.io/attempt": str(attempt)}
    object_map["metadata"]["labels"] |= labels  # it goes with its attempt
    return _Parts(obj, attempt, object_map, mounts(object_map["metadata"]["name"], named), labels)


def _completed(obj: LLMFineTune, settings: Settings, attempt: int) -> LLMFineTune:
    """The object with its attempt, and the resources that its workers get: pods and what runs in them count alike."""
    workers = obj.spec.workers.model_copy(update={"resources": complete_resources(obj.spec.workers.resources, settings)})
    status = (obj.status or LLMFineTuneStatus()).model_copy(update={"attempt": attempt})
    return obj.model_copy(update={"spec": obj.spec.model_copy(update={"workers": workers}), "status": status})


def _preparation(parts: _Parts, settings: Settings) -> Manifest:
    made = _job(parts, settings, names.preparation_job(parts.obj.metadata.name, parts.attempt), "prepare", PREPARE)
    made["metadata"]["labels"] |= queue_labels(parts.obj)
    return made


def _job(
    parts: _Parts, settings: Settings, name: str, step: str, command: list[str], *, identity: str | None = None
) -> Manifest:
    """One pod without accelerator that runs `command`, once: attempts are the operator's, which knows why one failed."""
    labels = parts.labels | {"raysmith.io/step": step}
    template = pod_template(
        image=settings.cpu_image,
        resources=settings.preparation_resources,
        mounts=_with_shared_memory(parts.mounts, settings.preparation_resources["limits"]["memory"]),
        labels=common_labels(parts.obj) | labels,
        settings=settings,
        patch=_without_companions(parts.obj.spec.pod_template),
        env={"RAYSMITH_TERMINATION_LOG": TERMINATION_LOG},
        identity=identity,
    )
    template["spec"]["restartPolicy"] = "Never"
    container = template["spec"]["containers"][0]
    container["command"] = command
    # For what never comes so far as to write its reason.
    container["terminationMessagePolicy"] = "FallbackToLogsOnError"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(parts.obj, name, labels),
        "spec": {"backoffLimit": 0, **_deadline(parts.obj), "template": template},
    }


def _ray_job(parts: _Parts, settings: Settings) -> Manifest:
    obj = parts.obj
    cluster = Cluster(
        workers=obj.spec.workers.replicas or 1,
        resources=complete_resources(obj.spec.workers.resources, settings),
        mounts=parts.mounts,
        labels=common_labels(obj) | parts.labels,
        env={},
        template=obj.spec.pod_template,
        head_identity=names.identity(obj.metadata.name),
    )
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": metadata(obj, names.ray_job(obj.metadata.name, parts.attempt), parts.labels | queue_labels(obj)),
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
