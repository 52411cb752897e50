"""Objects as a cluster has them, to be rendered, and what tests look at in the manifests."""

from collections.abc import Iterator
from typing import Any

from objects import finetune, service
from raysmith.api import KINDS, LLMFineTune, LLMService
from raysmith.config import Settings
from raysmith.render import Manifest

SETTINGS = Settings()
UID = "7f1d9a52-0f6d-4a3e-9d8a-2c2f6f0a1b11"
DIGEST = "sha256:" + "0" * 64
ROWS = {"train": [{"name": "rows", "source": "pvc://datasets/rows.jsonl"}]}


def _made(document: dict[str, Any], **more: Any) -> LLMFineTune | LLMService:
    document = document | {"metadata": document["metadata"] | more.pop("metadata", {})} | more
    return KINDS[document["kind"]].model_validate(document)


def finetune_run(name: str = "run", *, metadata: dict[str, Any] | None = None, status: Any = None, **spec: Any) -> LLMFineTune:
    obj = _made(finetune(name=name, **({"data": ROWS} | spec)), metadata=metadata or {}, status=status)
    assert isinstance(obj, LLMFineTune)
    return obj


def chat_service(*, metadata: dict[str, Any] | None = None, status: Any = None, **spec: Any) -> LLMService:
    obj = _made(service(**spec), metadata=metadata or {}, status=status)
    assert isinstance(obj, LLMService)
    return obj


def by_kind(manifests: list[Manifest]) -> dict[str, Manifest]:
    return {manifest["kind"]: manifest for manifest in manifests}


def pods_of(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Every pod's spec in a manifest."""
    spec = manifest["spec"] if manifest["kind"] in ("Job", "RayJob", "RayService") else {}
    cluster = spec.get("rayClusterSpec") or spec.get("rayClusterConfig")
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]] if cluster else [spec] if spec else []
    for group in groups:
        yield group["template"]["spec"]


def claims_of(manifests: list[Manifest]) -> dict[str, bool]:
    """Whether each mounted claim is read-only, over all pods."""
    found: dict[str, bool] = {}
    for pod in (pod for manifest in manifests for pod in pods_of(manifest)):
        named = {v["name"]: v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v}
        mounts = {mount["name"]: mount for mount in pod["containers"][0]["volumeMounts"]}
        found |= {claim: mounts[name].get("readOnly", False) for name, claim in named.items()}
    return found


def env_of(pod: dict[str, Any]) -> dict[str, Any]:
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in pod["containers"][0]["env"]}
