"""LLMService -> ConfigMap and RayService of one revision, and the Service in front that clients talk to."""

from typing import Any, Final

import yaml

from raysmith.api import LLMService
from raysmith.api.common import Resources
from raysmith.config import Settings
from raysmith.render import names
from raysmith.render.addresses import FineTunes, addresses, reached_addresses, resolved_addresses
from raysmith.render.objects import OBJECT_PATH, Manifest, common_labels, config_map, metadata, queue_labels
from raysmith.render.pods import complete_resources
from raysmith.render.ray_cluster import Cluster, ray_cluster_spec
from raysmith.render.volumes import Mounts, mounts

PORT: Final = 8000
APPLICATION: Final = "openai"
IMPORT_PATH: Final = "raysmith_workloads.serve.app:build"

# ray.serve.llm writes every prompt into its log unless told otherwise.
_ENV: Final = {"RAYLLM_ENABLE_REQUEST_PROMPT_LOGS": "0"}


def service_manifests(obj: LLMService, settings: Settings, finetunes: FineTunes) -> list[Manifest]:
    """The revision that the object asks for, and the Service whose selector points to it.

    A revision is named after a hash of everything that its pods are made of. With no replicas there is no revision; the
    Service stays, so that the address does.
    """
    if obj.spec.replicas == 0:
        return [_service(obj, "none")]
    obj = obj.model_copy(update={"spec": obj.spec.model_copy(update={"resources": _resources(obj, settings)})})
    object_map = config_map(obj)
    named = [*addresses(obj), *resolved_addresses(obj), *reached_addresses(obj, finetunes)]
    pod_mounts = mounts(object_map["metadata"]["name"], named)
    revision = names.digest(_ray_service_spec(obj, settings, pod_mounts, {}))
    labels = _revision_labels(obj, revision)
    object_map["metadata"]["labels"] |= labels  # it goes with its revision
    ray_service = {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": metadata(obj, names.ray_service(obj.metadata.name, revision), labels | queue_labels(obj)),
        "spec": _ray_service_spec(obj, settings, pod_mounts, labels),
    }
    return [object_map, ray_service, _service(obj, revision)]


def _resources(obj: LLMService, settings: Settings) -> Resources:
    return complete_resources(obj.spec.resources, settings)


def _revision_labels(obj: LLMService, revision: str) -> dict[str, str]:
    return {"raysmith.io/service": obj.metadata.name, "raysmith.io/revision": revision}


def _ray_service_spec(obj: LLMService, settings: Settings, mounted: Mounts, labels: dict[str, str]) -> dict[str, Any]:
    cluster = Cluster(
        workers=obj.spec.replicas or 1,
        resources=_resources(obj, settings),
        mounts=mounted,
        labels=common_labels(obj) | labels,
        env=_ENV,
        template=obj.spec.pod_template,
    )
    return {
        "serveConfigV2": yaml.safe_dump(serve_config(), sort_keys=False),
        # A revision never changes into another: the operator makes the new one beside it and moves the Service.
        "upgradeStrategy": {"type": "None"},
        "excludeHeadPodFromServeSvc": True,
        "rayClusterConfig": ray_cluster_spec(cluster, settings),
    }


def serve_config() -> dict[str, Any]:
    """Ray's ServeDeploySchema: the application reads all it needs from the mounted object."""
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": PORT},  # noqa: S104 - the pod's own network
        "applications": [
            {"name": APPLICATION, "route_prefix": "/", "import_path": IMPORT_PATH, "args": {"object": OBJECT_PATH}},
        ],
    }


def _service(obj: LLMService, revision: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(obj, names.service(obj.metadata.name), {"raysmith.io/service": obj.metadata.name}),
        "spec": {
            "type": "ClusterIP",
            # KubeRay marks the pods that serve; the head, which does not, is left out by it.
            "selector": _revision_labels(obj, revision) | {"ray.io/serve": "true"},
            "ports": [{"name": "http", "port": PORT, "targetPort": PORT, "protocol": "TCP"}],
        },
    }
