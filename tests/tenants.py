"""Namespaces of a real cluster for tests: each with a store of its own, and nothing left behind."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from api_server import ApiServer


class Tenant(ApiServer):
    """A namespace with a claim `raysmith-store` on a folder of this machine, under the "restricted" Pod Security Standard."""

    store: Path
    cleanups: list[Callable[[], object]]
    """What takes away what a test made outside of the namespace."""


def namespace(api: ApiServer, name: str) -> Tenant:
    """A namespace and its store."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    tenant = Tenant(api.kubeconfig, name)
    tenant.cleanups = []
    tenant.store = Path("/var/lib") / f"raysmith-{name}"
    tenant.store.mkdir()
    os.chown(tenant.store, 1000, 1000)
    size = {"storage": "10Gi"}
    volume = {"capacity": size, "accessModes": ["ReadWriteMany"], "hostPath": {"path": str(tenant.store)}}
    claimed = {"claimRef": {"namespace": name, "name": "raysmith-store"}, "storageClassName": ""}
    api.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": volume | claimed})
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": size}, "storageClassName": "", "volumeName": name}
    tenant.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "raysmith-store"}, "spec": claim})
    return tenant


def forget(api: ApiServer, tenant: Tenant) -> None:
    """Everything of the namespace goes."""
    for clean in tenant.cleanups:
        clean()
    api.kubectl("delete", "namespace", tenant.namespace, "--wait=true", "--timeout=180s", "--ignore-not-found")
    api.kubectl("delete", "persistentvolume", tenant.namespace)
    shutil.rmtree(tenant.store)
