"""The only module that talks to the API server. Every write's answer goes into the store, so that we read our own writes."""

import json
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from aiohttp import ClientError
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.exceptions import ApiException as ApiError
from kubernetes.aio.dynamic import DynamicClient
from kubernetes.aio.dynamic.exceptions import (
    BadRequestError,
    ConflictError,
    DynamicApiError,
    ForbiddenError,
    NotFoundError,
    UnprocessibleEntityError,
)

from raysmith.metrics import API_REQUESTS
from raysmith.store import OWN_KINDS, Key, Object, Store, holds, key_of, owners

__all__ = ["UNREACHABLE", "ApiError", "Cluster", "KindMissing", "NameTaken", "Rejected", "Resource"]

FIELD_MANAGER: Final = "raysmith"
"""Who owns what the operator applies; the run has field managers of its own for its part of the status."""
APPLY: Final = "application/apply-patch+yaml"
REQUEST_SECONDS: Final = 30
UNREACHABLE: Final = (OSError, TimeoutError, ClientError)
"""What a request ends with when nobody answers."""
REFUSALS: Final = (BadRequestError, ForbiddenError, UnprocessibleEntityError)
"""What it ends with when the object is not taken."""


class Resource(NamedTuple):
    """Where the objects of a kind are at the API server."""

    group_version: str
    plural: str

    def path(self, key: Key, subresource: str = "") -> str:
        """The path of one object, or of all of its namespace if the name is empty."""
        prefix = self.everywhere().removesuffix(f"/{self.plural}")
        return f"{prefix}/namespaces/{key.namespace}/{self.plural}/{key.name}{subresource}".rstrip("/")

    def everywhere(self) -> str:
        """The path of all objects in all namespaces."""
        return f"{'/apis' if '/' in self.group_version else '/api'}/{self.group_version}/{self.plural}"


RESOURCES: Final[dict[str, Resource]] = {
    "LLMFineTune": Resource("raysmith.io/v1alpha1", "llmfinetunes"),
    "LLMService": Resource("raysmith.io/v1alpha1", "llmservices"),
    "ConfigMap": Resource("v1", "configmaps"),
    "Service": Resource("v1", "services"),
    "ServiceAccount": Resource("v1", "serviceaccounts"),
    "Role": Resource("rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": Resource("rbac.authorization.k8s.io/v1", "rolebindings"),
    "Job": Resource("batch/v1", "jobs"),
    "RayJob": Resource("ray.io/v1", "rayjobs"),
    "RayService": Resource("ray.io/v1", "rayservices"),
    "RayCluster": Resource("ray.io/v1", "rayclusters"),
    "Pod": Resource("v1", "pods"),
    "PersistentVolumeClaim": Resource("v1", "persistentvolumeclaims"),
    "Event": Resource("v1", "events"),
}
"""The kinds that are written or read. They are known, so nothing needs to be discovered, and none needs to be installed."""


class KindMissing(Exception):  # noqa: N818 - it is what was found
    """The API server does not have this kind (yet)."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class NameTaken(Exception):  # noqa: N818 - it is what was found
    """An object of this kind and name is there, and belongs to somebody else."""

    def __init__(self, key: Key) -> None:
        super().__init__(f"{key.kind} {key.name}")


class Rejected(Exception):  # noqa: N818 - it is what was found
    """The API server does not take an object: admission, a quota, a value that it refuses, a right that is missing."""

    def __init__(self, key: Key, error: ApiError) -> None:
        said = _said(error)
        self.kind, self.name, self.message = key.kind, key.name, str(said.get("message") or error.reason)
        causes = (said.get("details") or {}).get("causes") or []
        self.namespace_ends = any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
        super().__init__(f"{key.kind} {key.name}: {self.message}")


class Cluster:
    """Reads and writes objects. What the store says is so already is not written again."""

    def __init__(self, api: ApiClient, store: Store) -> None:
        self._client = DynamicClient(api)
        self.store = store

    async def get(self, key: Key) -> Object | None:
        """The object as it is now; None (only for 404) if there is none. It stays news to the store until a watch shows it."""
        try:
            return await self._request("get", key)
        except NotFoundError:
            self.store.remove(key)
            return None

    async def apply(self, manifest: Object) -> Object:
        """Make it so, by server-side apply, unless it is. Raises KindMissing, NameTaken and Rejected."""
        key = key_of(manifest)
        known = self.store.get(key) or await self.get(key)
        if known is not None and holds(_own(known, manifest), manifest):
            return known
        try:
            applied = await self._request("patch", key, manifest, content_type=APPLY, force_conflicts=True)
        except NotFoundError as error:
            raise KindMissing(key.kind) from error
        except REFUSALS as error:
            raise Rejected(key, error) from error
        self.store.put(applied)
        return applied

    async def create(self, manifest: Object) -> Object:
        """Create it, or find that it is there already and leave it as it is. Raises KindMissing, NameTaken and Rejected."""
        key = key_of(manifest)
        if known := self.store.get(key):
            return _own(known, manifest)
        try:
            created = await self._request("post", key._replace(name=""), manifest)
        except ConflictError:
            existing = await self.get(key)
            if existing is None:  # it was on its way out; the next look creates it
                raise
            return _own(existing, manifest)
        except NotFoundError as error:
            raise KindMissing(key.kind) from error
        except REFUSALS as error:
            raise Rejected(key, error) from error
        self.store.put(created)
        return created

    async def delete(self, obj: Object) -> None:
        """Delete this very object and, in the background, what it owns. It may be gone already, or on its way."""
        if obj["metadata"].get("deletionTimestamp"):
            return
        body = {"propagationPolicy": "Background", "preconditions": {"uid": obj["metadata"]["uid"]}}
        try:
            await self._request("delete", key_of(obj), body)
        except (NotFoundError, ConflictError):
            self.store.remove(key_of(obj), obj["metadata"]["uid"])

    async def apply_status(self, obj: Object, status: Mapping[str, Any], others: Collection[str] = ()) -> None:
        """Own `status`, whole, and leave its fields `others`, which are not ours. Nothing is sent if `obj` says so already."""
        said = {field: value for field, value in (obj.get("status") or {}).items() if field not in others}
        if said == status:
            return
        metadata = {name: obj["metadata"][name] for name in ("name", "namespace", "uid")}
        body = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata, "status": status}
        await self._write_own(obj, body, "/status")

    async def set_finalizers(self, obj: Object, finalizers: list[str]) -> None:
        """Own exactly these of the object's finalizers; others' stay."""
        metadata = {name: obj["metadata"][name] for name in ("name", "namespace", "uid")} | {"finalizers": finalizers}
        body = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata}
        await self._write_own(obj, body, field_manager=f"{FIELD_MANAGER}-finalizers")

    async def _write_own(self, obj: Object, body: Object, subresource: str = "", **more: Any) -> None:
        """Apply `body` to one of our own objects, unless it has gone meanwhile, or another one has its name."""
        options = {"content_type": APPLY, "force_conflicts": True, **more}
        try:
            self.store.put(await self._request("patch", key_of(obj), body, subresource, **options))
        except (NotFoundError, ConflictError):
            self.store.remove(key_of(obj), obj["metadata"]["uid"])

    async def versions(self, kind: str, namespace: str, label_selector: str | None = None) -> list[Object]:
        """The metadata of all objects of `kind`, in all namespaces if `namespace` is empty. Raises KindMissing."""
        resource = RESOURCES[kind]
        path = resource.path(Key(kind, namespace, "")) if namespace else resource.everywhere()
        accept = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
        try:
            listed = await self._send("get", kind, path, label_selector=label_selector, header_params=accept)
        except NotFoundError as error:
            raise KindMissing(kind) from error
        return [{**item, "apiVersion": resource.group_version, "kind": kind} for item in listed["items"] or ()]

    async def events_about(self, objects: list[Object]) -> list[Object]:
        """The core/v1 Events about `objects`."""
        found: list[Object] = []
        for obj in objects:
            key = Key("Event", obj["metadata"]["namespace"], "")
            selector = f"involvedObject.uid={obj['metadata']['uid']}"
            found += (await self._request("get", key, field_selector=selector))["items"]
        return found

    async def post_event(self, event: Object) -> None:
        """Add one Event. Raises ApiError."""
        key = Key("Event", event["metadata"]["namespace"], "")
        await self._request("post", key, event)

    async def _request(
        self, verb: str, key: Key, body: Mapping[str, Any] | None = None, subresource: str = "", **more: Any
    ) -> Object:
        options = {"field_manager": FIELD_MANAGER, **more} if verb in ("patch", "post") else more
        return await self._send(verb, key.kind, RESOURCES[key.kind].path(key, subresource), body, **options)

    async def _send(self, verb: str, kind: str, path: str, body: Mapping[str, Any] | None = None, **options: Any) -> Object:
        code = 0
        try:
            response = await self._client.request(
                verb, path, body=body, serialize=False, _request_timeout=REQUEST_SECONDS, **options
            )
            code, text = response.status, await response.read()
        except DynamicApiError as error:
            code = error.status
            raise
        finally:
            API_REQUESTS.labels(verb, kind, str(code or "none")).inc()
        loaded: Object = json.loads(text)
        return loaded


def _own(found: Object, manifest: Object) -> Object:
    """`found`, which has the name that `manifest` asks for, if it belongs to the same object. Otherwise raises NameTaken."""
    if owners(found, *OWN_KINDS) != owners(manifest, *OWN_KINDS):
        raise NameTaken(key_of(found))
    return found


def _said(error: ApiError) -> Object:
    """The API server's answer as data, a metav1.Status; empty if it is something else."""
    try:
        said = json.loads(error.body or "")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
