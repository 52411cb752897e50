"""What an installation decides, and no object can: images, versions, sizes of the pods that no field describes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.dataclasses import dataclass as checked_dataclass

from raysmith.api.engine import ALLOWED_ARGUMENTS
from raysmith.errors import RaysmithError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one installation. The defaults are those of the chart."""

    cpu_image: str = "raysmith-workloads:0.1.0-cpu"
    """Image of pods without accelerators."""
    gpu_image: str = "raysmith-workloads:0.1.0-gpu"
    """Image of Ray clusters whose workers have accelerators; the head runs it too, so that both ends have the same packages."""
    image_pull_policy: str = "IfNotPresent"
    """As in core/v1."""
    ray_version: str = "2.60.0"
    """Ray in both images. KubeRay chooses probes by it and refuses token authentication without it."""
    service_account: str | None = None
    """Service account of all pods; the namespace's default one if None. Its token is never mounted."""
    head_resources: Mapping[str, Mapping[str, str]] = field(
        default_factory=lambda: {"requests": {"cpu": "500m", "memory": "4Gi"}, "limits": {"memory": "4Gi"}}
    )
    """Of the Ray head pod. It runs the driver, never training; no CPU limit, because a throttled head looks dead to KubeRay."""
    preparation_resources: Mapping[str, Mapping[str, str]] = field(
        default_factory=lambda: {"requests": {"cpu": "1", "memory": "4Gi"}, "limits": {"memory": "4Gi"}}
    )
    """Of the pod that prepares the data. It never has an accelerator."""
    worker_requests: Mapping[str, str] = field(default_factory=lambda: {"cpu": "1", "memory": "4Gi"})
    """CPU and memory of a worker whose object asks for none."""
    pre_running_deadline_seconds: int = 1800
    """How long the pods of an attempt may take to start; beyond it, what keeps them waiting will not pass by itself."""
    ttl_seconds_after_finished: int = 300
    """How long the pods of a finished attempt stay, so that their logs can be read."""
    engine_arguments: frozenset[str] = frozenset(ALLOWED_ARGUMENTS)
    """The engine arguments that an LLMService may set."""


@checked_dataclass(
    frozen=True, kw_only=True, config=ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)
)
class OperatorSettings:
    """Settings of the operator's own process, and of what it makes."""

    objects: Settings = Field(default_factory=Settings)
    """What it makes."""
    namespaces: tuple[str, ...] = ()
    """The namespaces that it looks after; all of them if empty."""
    lease_namespace: str = "default"
    """Where the Lease lies that decides which replica works."""
    lease_name: str = "raysmith-operator"
    """Name of the Lease."""
    metrics_port: int = 8080
    """Where Prometheus reads `/metrics`."""
    health_port: int = 8081
    """Where the kubelet asks `/healthz`."""


def read_settings(path: Path | None) -> OperatorSettings:
    """The settings in the YAML file at `path`; the defaults without one. Raises RaysmithError for anything else."""
    if path is None:
        return OperatorSettings()
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return TypeAdapter(OperatorSettings).validate_python(document)
    except OSError as error:
        raise RaysmithError(f"{path} cannot be read ({error.strerror}); name the file with --settings.") from error
    except yaml.YAMLError as error:
        raise RaysmithError(f"{path} is no YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RaysmithError(f"{path}: {where}: {first['msg']}; see the values of the chart.") from error
