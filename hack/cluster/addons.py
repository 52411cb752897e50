"""What a cluster runs for others, as pods: its DNS, and KubeRay."""

import json
import shutil
from pathlib import Path

from hack.cluster.controlplane import ControlPlane
from hack.cluster.node import Node
from hack.cluster.programs import built, fingerprint
from hack.cluster.static_images import program_image

MANIFESTS = Path(__file__).parent / "manifests"


def install(plane: ControlPlane, nodes: list[Node]) -> None:
    """Install both, and wait until they run."""
    dns = _put_on(nodes, "coredns", built("coredns") / "coredns", "/coredns")
    _apply(plane, MANIFESTS, {"resources": ["manifests/coredns.yaml"], "images": [{"name": "coredns", **dns}]})
    kuberay = _put_on(nodes, "kuberay", built("kuberay") / "ray-operator", "/manager")
    _apply(plane, built("kuberay") / "config", _kuberay(kuberay))
    for namespace, deployment in (("kube-system", "coredns"), ("kuberay-system", "kuberay-operator")):
        plane.kubectl("rollout", "status", "--namespace", namespace, f"deployment/{deployment}", "--timeout=120s")


def _kuberay(own_image: dict[str, str]) -> dict[str, object]:
    """KubeRay's own manifests, in the namespace that its chart would use."""
    container = "/spec/template/spec/containers/0"
    changes = [  # with 0.1 CPU, and the first probe after ten seconds, it takes long to start
        {"op": "replace", "path": f"{container}/image", "value": "{newName}:{newTag}".format(**own_image)},
        {"op": "replace", "path": f"{container}/resources/limits/cpu", "value": "1"},
        {"op": "replace", "path": f"{container}/readinessProbe/initialDelaySeconds", "value": 1},
        {"op": "replace", "path": f"{container}/readinessProbe/periodSeconds", "value": 1},
    ]
    return {
        "namespace": "kuberay-system",
        "resources": ["namespace.yaml", "config/default"],
        "patches": [{"target": {"kind": "Deployment"}, "patch": json.dumps(changes)}],
    }


def _put_on(nodes: list[Node], name: str, program: Path, entrypoint: str) -> dict[str, str]:
    """Put an image with one of our programs on the nodes, and return what Kustomize calls it."""
    tag = fingerprint(name)
    for node in nodes:
        if not node.has(f"localhost/{name}:{tag}"):
            node.ctr("images", "import", program_image(node.folder, f"localhost/{name}:{tag}", program, entrypoint))
    return {"newName": f"localhost/{name}", "newTag": tag}


def _apply(plane: ControlPlane, manifests: Path, kustomization: dict[str, object]) -> None:
    """Apply a copy of manifests, changed as the kustomization says. On the server's side: KubeRay's CRDs are too large else."""
    folder = plane.folder / "kustomize"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copytree(manifests, folder / manifests.name, copy_function=shutil.copyfile)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": kustomization.get("namespace", "default")}}
    (folder / "namespace.yaml").write_text(json.dumps(namespace))
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
    plane.kubectl("apply", "--server-side", "--force-conflicts", "--kustomize", folder)
