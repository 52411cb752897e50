"""The Ray cluster inside a RayJob and a RayService."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raysmith.api.common import PodTemplate, Resources, to_wire
from raysmith.api.quantities import accelerators
from raysmith.config import Settings
from raysmith.render.pods import pod_template
from raysmith.render.volumes import Mounts


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What decides about a Ray cluster."""

    workers: int
    resources: Resources
    """Of one worker."""
    mounts: Mounts
    labels: Mapping[str, str]
    """Of all pods."""
    env: Mapping[str, str]
    """Of all pods, beyond what every pod has."""
    template: PodTemplate | None
    """The user's part of the pods."""
    head_identity: str | None = None
    """The service account whose token the head pod gets."""


def ray_cluster_spec(cluster: Cluster, settings: Settings) -> dict[str, Any]:
    """A RayClusterSpec: a head on which nothing is scheduled, and one group of workers of a fixed size."""
    image = settings.gpu_image if accelerators(cluster.resources) else settings.cpu_image
    template = cluster.template or PodTemplate()
    common: dict[str, Any] = {
        "image": image,
        "mounts": cluster.mounts,
        "labels": cluster.labels,
        "env": cluster.env,
        "settings": settings,
    }
    head = pod_template(resources=settings.head_resources, patch=template.head, identity=cluster.head_identity, **common)
    worker = pod_template(resources=to_wire(cluster.resources), patch=template.workers, **common)
    return {
        "rayVersion": settings.ray_version,
        "authOptions": {"mode": "token"},
        "headGroupSpec": {"rayStartParams": {"num-cpus": "0"}, "template": head},
        "workerGroupSpecs": [
            {
                "groupName": "workers",
                "replicas": cluster.workers,
                "minReplicas": cluster.workers,
                "maxReplicas": cluster.workers,
                "rayStartParams": _accelerator_params(cluster.resources),
                "template": worker,
            }
        ],
    }


def _accelerator_params(resources: Resources) -> dict[str, str]:
    """Said outright, because KubeRay does not know all names of MIG slices. The type of accelerator Ray finds by itself."""
    counts = accelerators(resources).values()
    return {"num-gpus": str(int(sum(counts)))} if counts else {}
