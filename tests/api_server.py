"""A real API server, as tests talk to it, and the operator that works on it, as a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from kubernetes import config, dynamic
from kubernetes.dynamic.exceptions import NotFoundError, ResourceNotFoundError

from support import require

Seen = TypeVar("Seen")
MERGE = "application/merge-patch+json"


class ApiServer:
    """Reads and writes objects as a user with kubectl does; `namespace` is where, unless an object says so itself."""

    def __init__(self, kubeconfig: Path, namespace: str = "default") -> None:
        self.kubeconfig, self.namespace = kubeconfig, namespace
        self._client = dynamic.DynamicClient(config.new_client_from_config(str(kubeconfig)))

    def within(self, namespace: str) -> "ApiServer":
        """The same in another namespace, which is made."""
        other = ApiServer(self.kubeconfig, namespace)
        other.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        return other

    def apply(self, document: dict[str, Any], *, manager: str = "tester", **options: Any) -> dict[str, Any]:
        """Server-side apply."""
        resource = self._resource(document["apiVersion"], document["kind"])
        where = {"namespace": document["metadata"].get("namespace", self.namespace)} if resource.namespaced else {}
        done = resource.server_side_apply(body=document, field_manager=manager, force_conflicts=True, **where, **options)
        return done.to_dict()  # type: ignore[no-any-return]

    def create(self, document: dict[str, Any], **options: Any) -> dict[str, Any]:
        """Create; unknown fields are refused, as kubectl asks for."""
        resource = self._resource(document["apiVersion"], document["kind"])
        where = {"namespace": document["metadata"].get("namespace", self.namespace)} if resource.namespaced else {}
        strict = [("fieldValidation", "Strict")]
        return resource.create(body=document, query_params=strict, **where, **options).to_dict()  # type: ignore[no-any-return]

    def patch(self, kind: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Merge `body` into the object."""
        resource = self._kind(kind)
        return resource.patch(body=body, name=name, namespace=self.namespace, content_type=MERGE).to_dict()  # type: ignore[no-any-return]

    def patch_status(self, kind: str, name: str, status: dict[str, Any]) -> dict[str, Any]:
        """Merge `status` into the object's status, as its controller would."""
        resource = self._kind(kind)
        body = {"status": status}
        return resource.status.patch(body=body, name=name, namespace=self.namespace, content_type=MERGE).to_dict()  # type: ignore[no-any-return]

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """The object, or None."""
        try:
            return self._kind(kind).get(name=name, namespace=self.namespace).to_dict()  # type: ignore[no-any-return]
        except NotFoundError:
            return None

    def list(self, kind: str, selector: str | None = None) -> list[dict[str, Any]]:
        """The namespace's objects of `kind`."""
        found = self._kind(kind).get(namespace=self.namespace, label_selector=selector).to_dict()
        return list(found["items"])

    def delete(self, kind: str, name: str) -> None:
        """Delete, and do not wait."""
        self._kind(kind).delete(name=name, namespace=self.namespace)

    def kubectl(self, *arguments: str) -> str:
        """What kubectl prints."""
        command = [require("kubectl"), "--kubeconfig", str(self.kubeconfig), "--namespace", self.namespace, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def condition(self, kind: str, name: str, type_: str) -> dict[str, Any]:
        """The condition, empty if there is none yet."""
        conditions = ((self.get(kind, name) or {}).get("status") or {}).get("conditions") or []
        return next((found for found in conditions if found["type"] == type_), {})

    def install(self, *files: Path) -> None:
        """Apply every document of `files`."""
        for file in files:
            for document in yaml.safe_load_all(file.read_text()):
                if document:
                    self.apply(document)

    def _kind(self, kind: str) -> Any:
        versions = {
            "LLMFineTune": "raysmith.io/v1alpha1",
            "LLMService": "raysmith.io/v1alpha1",
            "RayJob": "ray.io/v1",
            "RayService": "ray.io/v1",
            "RayCluster": "ray.io/v1",
            "Job": "batch/v1",
            "Role": "rbac.authorization.k8s.io/v1",
            "RoleBinding": "rbac.authorization.k8s.io/v1",
        }
        return self._resource(versions.get(kind, "v1"), kind)

    def _resource(self, api_version: str, kind: str) -> Any:
        def look() -> Any:
            try:
                return self._client.resources.get(api_version=api_version, kind=kind)
            except ResourceNotFoundError:  # a kind that has just been defined is not there at once
                return None

        return wait_for(look, f"the kind {kind}", 20)


def wait_for(look: Callable[[], Seen | None], what: str, seconds: float = 60) -> Seen:
    """What `look` returns as soon as that is something. Fails with the last it saw."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}; last seen: {seen!r}"
        time.sleep(0.1)
    return seen


class Operator:
    """`python -m raysmith.operator_main` with settings of its own. Every replica has a port pair and a log of its own."""

    def __init__(self, kubeconfig: Path, folder: Path, **settings: Any) -> None:
        self.kubeconfig, self.folder, self.settings = kubeconfig, folder, settings
        self.log = folder / "operator.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it works when it holds the Lease."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "settings.yaml"
        file.write_text(yaml.safe_dump(self.settings))
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "raysmith.operator_main", "--settings", str(file)],
                env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
                stdout=output,
                stderr=output,
            )

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it, at once unless told otherwise."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None


@contextmanager
def running(operator: Operator) -> Iterator[Operator]:
    """The operator, started, and ended at the end."""
    operator.start()
    try:
        yield operator
    finally:
        operator.kill()
