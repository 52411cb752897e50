"""What goes wrong in clusters, each fault made for real: what is applied, and what its object must come to say."""

import os
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from objects import finetune, service
from tenants import Tenant
from tiny_models import make_llama


class Fault(NamedTuple):
    """What is applied, and what its condition must come to say."""

    document: dict[str, Any]
    condition: str
    reason: str
    words: str
    prepare: Callable[[Tenant], object] = lambda tenant: tenant


def told(api: Tenant, fault: Fault) -> dict[str, Any]:
    """The condition if it says the fault's reason by now, otherwise nothing."""
    found = api.condition(fault.document["kind"], fault.document["metadata"]["name"], fault.condition)
    return found if found.get("reason") == fault.reason else {}


def _rows(source: str) -> dict[str, Any]:
    return {"train": [{"name": "rows", "source": source}]}


def _file(name: str, text: str) -> Callable[[Tenant], object]:
    def write(tenant: Tenant) -> None:
        path = tenant.store / name
        path.write_text(text)
        os.chown(path, 1000, 1000)

    return write


def _damaged_model(tenant: Tenant) -> None:
    """A model whose weights were cut off, as by a copy that was interrupted."""
    folder = make_llama(tenant.store / "damaged")
    weights = folder / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)


def _quota(tenant: Tenant) -> None:
    spec = {"hard": {"pods": "0"}}
    tenant.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight"}, "spec": spec})


def _limits(tenant: Tenant) -> None:
    spec = {"limits": [{"type": "Container", "max": {"memory": "64Mi"}}]}
    tenant.create({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"}, "spec": spec})


def _unbound_claim(tenant: Tenant) -> None:
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""}
    tenant.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "unbound"}, "spec": spec})


def _meddler(tenant: Tenant) -> None:
    """A policy of the cluster's that changes every RayJob of the namespace into one that KubeRay does not take."""
    group, name = "admissionregistration.k8s.io", f"meddler-{tenant.namespace}"
    rule = {"apiGroups": ["ray.io"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["rayjobs"]}
    change = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": MEDDLING}}
    only_here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": tenant.namespace}}}
    policy = {
        "matchConstraints": {"resourceRules": [rule], **only_here},
        "mutations": [change],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
    }
    for kind, spec in (
        ("MutatingAdmissionPolicy", policy),
        ("MutatingAdmissionPolicyBinding", {"policyName": name}),
    ):
        document = {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        tenant.apply(document)
    tenant.cleanups.append(
        lambda: tenant.kubectl("delete", "mutatingadmissionpolicy,mutatingadmissionpolicybinding", name, "--ignore-not-found")
    )


def _image(name: str) -> dict[str, Any]:
    container = {"name": "ray", "image": name, "imagePullPolicy": "IfNotPresent"}
    return {"head": {"spec": {"containers": [container]}}}


def _memory(part: str, limit: str) -> dict[str, Any]:
    container = {"name": "ray", "resources": {"requests": {"memory": limit}, "limits": {"memory": limit}}}
    return {part: {"spec": {"containers": [container]}}}


def _variable(name: str, value: str) -> dict[str, Any]:
    return {"workers": {"spec": {"containers": [{"name": "ray", "env": [{"name": name, "value": value}]}]}}}


MEDDLING: Final = "Object{spec: Object.spec{shutdownAfterJobFinishes: false}}"
"""KubeRay refuses a RayJob with `ttlSecondsAfterFinished` that is not to be shut down."""
DATES: Final = _rows("builtin://dates-us") | {"maxLength": 128}
GOOD: Final = "pvc://raysmith-store/rows.jsonl"
BAD_ROW: Final = '{"prompt": "1", "completion": "one"}\n{"prompt": \n'
HUB: Final = {"source": "hf://owner/name", "secretRef": {"name": "hub-token"}}
ONCE: Final[dict[str, Any]] = {"faultTolerance": {"attempts": 1, "workerFailures": 0}}
FAULTS: Final = {
    "an image that cannot be pulled": Fault(
        finetune(data=DATES, podTemplate=_image("registry.invalid/nothing:1")),
        *("Prepared", "ImagePullFailed", "cannot be pulled"),
    ),
    "a claim that is not there": Fault(finetune(data=_rows("pvc://nowhere/rows.jsonl")), "Prepared", "ClaimMissing", "nowhere"),
    "a claim without a volume": Fault(
        finetune(data=_rows("pvc://unbound/rows.jsonl")), "Prepared", "ClaimUnbound", "unbound", _unbound_claim
    ),
    "a secret that is not there": Fault(finetune(model=HUB, data=DATES), "Prepared", "SecretMissing", "hub"),
    "a quota that has no room": Fault(finetune(data=DATES), "Prepared", "QuotaExceeded", "tight", _quota),
    "a limit that the pods do not keep to": Fault(finetune(data=DATES), "Prepared", "AdmissionDenied", "LimitRange", _limits),
    "more CPUs than any node has": Fault(
        service(model={"source": GOOD}, resources={"requests": {"cpu": "1000"}}), "Ready", "Unschedulable", "too little cpu"
    ),
    "a row that is no JSON": Fault(
        finetune(data=_rows(GOOD)), "Finished", "DataRefused", "rows.jsonl:2", _file("rows.jsonl", BAD_ROW)
    ),
    "too little memory": Fault(
        finetune(data=DATES, podTemplate=_memory("head", "80Mi"), **ONCE), "Finished", "OutOfMemory", "memory"
    ),
    "too little memory for a process of a pod that lives on": Fault(
        finetune(data=DATES, podTemplate=_memory("workers", "800Mi"), **ONCE),
        "Finished",
        "OutOfMemory",
        "spec.workers.resources",
    ),
    "an exception in the run": Fault(
        finetune(data=DATES, podTemplate=_variable("TORCH_DISTRIBUTED_DEBUG", "LOUD"), **ONCE),
        *("Finished", "TrainingFailed", "ValueError"),
    ),
    "a deadline that passes": Fault(
        finetune(data=DATES, activeDeadlineSeconds=1), "Finished", "DeadlineExceeded", "activeDeadlineSeconds"
    ),
    "a RayJob that KubeRay does not take": Fault(
        finetune(data=DATES), "Finished", "SpecRefused", "shutdownAfterJobFinishes", _meddler
    ),
    "a model that is not there": Fault(
        finetune(model={"source": "pvc://raysmith-store/no-model"}, data=DATES), "Finished", "ModelNotFound", "no-model"
    ),
    "an engine that does not start": Fault(
        service(model={"source": "pvc://raysmith-store/damaged"}), "Ready", "EngineFailed", "damaged", _damaged_model
    ),
}
"""All faults that tests/e2e provokes side by side and benchmarks/faults.py one after the other."""
