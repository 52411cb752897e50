"""One object's status at the API server. The driver may patch it, and may read nothing but what comes back."""

import math
from typing import Any, Final, Protocol, cast

from raysmith.api import LLMFineTune
from raysmith.api.schema import GROUP, VERSION
from raysmith_workloads.kept_output import in_pod

READER: Final = "raysmith-driver"
"""Field manager that owns nothing: what it applies is empty and changes nothing, and the answer is the object."""

Json = dict[str, Any]


class Endpoint(Protocol):
    """The status of one object at the API server."""

    def apply(self, status: Json, manager: str) -> Json:
        """Make `status` all that `manager` says, and return the whole object. Raises whatever the client raises."""


class ClusterEndpoint:
    """The status of one LLMFineTune, through the Kubernetes client."""

    def __init__(self, api: Any, obj: LLMFineTune) -> None:
        self._api = api
        self._obj = obj

    def apply(self, status: Json, manager: str) -> Json:
        """As in `Endpoint`. With an empty `status` and READER, it only reads."""
        metadata = self._obj.metadata
        body: Json = {"apiVersion": self._obj.api_version, "kind": self._obj.kind, "metadata": {"name": metadata.name}}
        if status:
            body["status"] = _finite(status)
        answer = self._api.patch_namespaced_custom_object_status(
            *(GROUP, VERSION, metadata.namespace, LLMFineTune.names.plural, metadata.name, body),
            field_manager=manager,
            force=True,
            _content_type="application/apply-patch+yaml",
            _request_timeout=(5, 15),
        )
        return cast("Json", answer)


def _finite(value: Any) -> Any:
    """`value` without numbers that JSON has no word for: the loss of a run that has diverged."""
    if isinstance(value, dict):
        kept = {key: _finite(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner is not None}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def endpoint_here(obj: LLMFineTune) -> Endpoint | None:
    """The status of `obj` as it can be reached from here; None without a token, as anywhere outside of a cluster."""
    if not in_pod():
        return None
    from kubernetes import client, config

    settings = client.Configuration()
    settings.retries = False
    try:
        config.load_incluster_config(client_configuration=settings)
    except config.ConfigException:
        return None
    return ClusterEndpoint(client.CustomObjectsApi(client.ApiClient(settings)), obj)


def is_ours(seen: Json, obj: LLMFineTune) -> bool:
    """Whether `seen` is the object that this run works for, and no later attempt has taken over."""
    attempt = seen.get("status", {}).get("attempt") or 0
    return seen["metadata"].get("uid") == obj.metadata.uid and attempt <= obj.attempt


def in_short(error: Exception) -> str:
    """The error in one line; the client's own words are pages long."""
    status = getattr(error, "status", None)
    said = f"{status} {getattr(error, 'reason', '')}" if status else str(error).partition("\n")[0][:300]
    return f"{type(error).__name__}: {said}".strip()
