"""What KubeRay's controllers refuse after the API server has accepted it, and what they accept and then never finish.

Found late, each of these costs a user a stuck object: a RayJob that was refused stays `ValidationFailed` for ever, and a
name of 48 characters has held accelerators for weeks. A test holds every rule against KubeRay's own code (v1.6.2).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from raysmith.api.common import NAME_LIMIT
from raysmith.api.patterns import LABEL_NAME, LABEL_VALUE

Finding = tuple[str, str]
"""Path of the manifest's field, and what is wrong with it as the rest of a sentence."""

SUBMISSION_MODES: Final = ("K8sJobMode", "HTTPMode", "SidecarMode", "InteractiveMode")
UPGRADE_TYPES: Final = ("None", "NewCluster", "NewClusterWithIncrementalUpgrade")
DEFAULT_PORTS: Final = frozenset({"gcs-server", "dashboard", "client", "serve"})
TOKEN_VERSION: Final = (2, 52)
"""First Ray with token authentication."""

_DNS_1035: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SIZE_PARAMS: Final = ("num-cpus", "num-gpus", "memory", "resources")


def kuberay_findings(manifest: Mapping[str, Any]) -> list[Finding]:
    """Everything that KubeRay would hold against a RayJob or a RayService; nothing for other kinds."""
    checks = {"RayJob": _ray_job, "RayService": _ray_service}
    check = checks.get(manifest["kind"])
    return [] if check is None else [*_metadata(manifest["metadata"]), *check(manifest["spec"])]


def _metadata(metadata: Mapping[str, Any]) -> Iterator[Finding]:
    name = metadata["name"]
    if len(name) > NAME_LIMIT:
        yield "metadata.name", f"has {len(name)} characters, and KubeRay takes {NAME_LIMIT}"
    if not _DNS_1035.fullmatch(name):
        yield "metadata.name", f"is {name}; it must start with a letter and hold lower-case letters, digits and '-' only"


def _ray_job(spec: Mapping[str, Any]) -> Iterator[Finding]:
    mode = spec.get("submissionMode", "K8sJobMode")
    if mode not in SUBMISSION_MODES:
        # Accepted by KubeRay 1.6, which then never submits anything.
        yield "spec.submissionMode", f"is {mode}; choose one of {', '.join(SUBMISSION_MODES)}"
    if mode == "InteractiveMode" and spec.get("backoffLimit", 0) > 0:
        yield "spec.backoffLimit", "must be 0 in InteractiveMode"
    if spec.get("suspend") and not spec.get("shutdownAfterJobFinishes"):
        yield "spec.suspend", "needs shutdownAfterJobFinishes: true"
    if spec.get("ttlSecondsAfterFinished", 0) > 0 and not spec.get("shutdownAfterJobFinishes"):
        yield "spec.ttlSecondsAfterFinished", "needs shutdownAfterJobFinishes: true"
    yield from _at_least(spec, {"activeDeadlineSeconds": 1, "preRunningDeadlineSeconds": 1})
    yield from _at_least(spec, {"backoffLimit": 0, "ttlSecondsAfterFinished": 0})
    if "rayClusterSpec" in spec:
        yield from _cluster(spec["rayClusterSpec"], "spec.rayClusterSpec")
    elif "clusterSelector" not in spec:
        yield "spec.rayClusterSpec", "is missing"


def _ray_service(spec: Mapping[str, Any]) -> Iterator[Finding]:
    cluster = spec["rayClusterConfig"]
    kind = spec.get("upgradeStrategy", {}).get("type", "NewCluster")
    if kind not in UPGRADE_TYPES:
        yield "spec.upgradeStrategy.type", f"is {kind}; choose one of {', '.join(UPGRADE_TYPES)}"
    yield from _at_least(spec, {"rayClusterDeletionDelaySeconds": 0})
    if cluster["headGroupSpec"].get("headService", {}).get("metadata", {}).get("name"):
        yield "spec.rayClusterConfig.headGroupSpec.headService.metadata.name", "must not be set"
    yield from _cluster(cluster, "spec.rayClusterConfig")


def _at_least(spec: Mapping[str, Any], minimums: Mapping[str, int]) -> Iterator[Finding]:
    for field, minimum in minimums.items():
        if spec.get(field, minimum) < minimum:
            yield f"spec.{field}", f"is {spec[field]}, and must be {minimum} or more"


def _cluster(spec: Mapping[str, Any], path: str) -> Iterator[Finding]:
    yield from _authentication(spec, path)
    head, head_path = spec["headGroupSpec"], f"{path}.headGroupSpec"
    autoscaled = bool(spec.get("enableInTreeAutoscaling"))
    yield from _group(head, head_path)
    if head["template"]["spec"]["containers"]:
        yield from _head_env(head["template"]["spec"]["containers"][0].get("env", []), head_path, autoscaled=autoscaled)
    for i, group in enumerate(spec.get("workerGroupSpecs", [])):
        yield from _group(group, f"{path}.workerGroupSpecs[{i}]")
        if not autoscaled:
            yield from _size(group, f"{path}.workerGroupSpecs[{i}]")


def _authentication(spec: Mapping[str, Any], path: str) -> Iterator[Finding]:
    options = spec.get("authOptions", {})
    if options.get("enableK8sTokenAuth"):
        yield f"{path}.authOptions.enableK8sTokenAuth", "works for a RayCluster only"
    if options.get("mode") == "token":
        version = re.match(r"(\d+)\.(\d+)", spec.get("rayVersion", ""))
        if version is None or (int(version[1]), int(version[2])) < TOKEN_VERSION:
            yield f"{path}.rayVersion", "must be set, to 2.52.0 or later, for token authentication"


def _group(group: Mapping[str, Any], path: str) -> Iterator[Finding]:
    params, containers = group.get("rayStartParams", {}), group["template"]["spec"]["containers"]
    if group.get("resources") and any(param in params for param in _SIZE_PARAMS):
        yield f"{path}.resources", "and rayStartParams both give resources; use one of them"
    if "labels" in params:
        yield f"{path}.rayStartParams.labels", "must be given as labels of the group"
    for key, value in group.get("labels", {}).items():
        if not re.fullmatch(LABEL_NAME, key) or not re.fullmatch(LABEL_VALUE, value):
            yield f"{path}.labels", f"{key}: {value} is no Kubernetes label"
    if not containers:
        yield f"{path}.template.spec.containers", "is empty"
        return
    ports = {port.get("name") for port in containers[0].get("ports", [])}
    if ports and not ports >= DEFAULT_PORTS:
        # Accepted by KubeRay, whose own defaults then go away: without the dashboard's port it cannot submit.
        missing = ", ".join(sorted(DEFAULT_PORTS - ports))
        yield f"{path}.template.spec.containers[0].ports", f"must be left out, or hold {missing} too"


def _head_env(env: Iterable[Mapping[str, Any]], path: str, *, autoscaled: bool) -> Iterator[Finding]:
    values = {variable["name"]: variable.get("value") for variable in env}
    field = f"{path}.template.spec.containers[0].env"
    if "RAY_REDIS_ADDRESS" in values:
        yield field, "holds RAY_REDIS_ADDRESS, which needs gcsFaultToleranceOptions"
    if "REDIS_USERNAME" in values:
        yield field, "holds REDIS_USERNAME; it belongs into gcsFaultToleranceOptions"
    if "RAY_AUTH_MODE" in values:  # KubeRay would leave it as it is
        yield field, "holds RAY_AUTH_MODE; only Ray's token keeps others from running code in the cluster"
    if not autoscaled and values.get("RAY_enable_autoscaler_v2") in ("1", "true"):
        yield field, "holds RAY_enable_autoscaler_v2, which needs enableInTreeAutoscaling: true"


def _size(group: Mapping[str, Any], path: str) -> Iterator[Finding]:
    least, most = group.get("minReplicas"), group.get("maxReplicas")
    if least is None or most is None:
        yield path, "must have minReplicas and maxReplicas"
    elif not 0 <= least <= most:
        yield path, f"has minReplicas {least} and maxReplicas {most}; 0 <= minReplicas <= maxReplicas must hold"
