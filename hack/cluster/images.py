"""Our images, built from the Dockerfile straight into a node's image store: there is no registry to bring them from."""

import json
import platform
import subprocess
import sys
from pathlib import Path

from hack.cluster.machine import run
from hack.cluster.node import Node
from hack.cluster.programs import CACHE, program, require
from hack.cluster.static_images import image

REPOSITORY = Path(__file__).parents[2]
NAMES = {"operator": "localhost/raysmith-operator:0.1.0", "workloads": "localhost/raysmith-workloads:0.1.0-cpu"}
"""Target of the Dockerfile -> the name that `names.yaml` tells the chart. A kubelet adds nothing to names of `localhost/`."""


def build(nodes: list[Node], targets: list[str]) -> None:
    """Build some of the images on the first node, then copy them to the others."""
    if not nodes:
        sys.exit("The cluster does not run, and images are built into it. Start it first: make cluster-up.")
    _build(nodes[0], targets)
    for node in nodes[1:]:
        for target in targets:
            file = node.folder / "image.tar"
            nodes[0].ctr("images", "export", file, NAMES[target])
            node.ctr("images", "import", file)
            file.unlink()


def _build(node: Node, targets: list[str]) -> None:
    """Build with BuildKit, which runs no longer than that."""
    processes = node.plane.processes
    base = _base(node)
    socket = f"unix://{node.folder}/buildkitd.sock"
    (node.folder / "buildkitd.toml").write_text(_buildkitd(node, socket))
    buildctl = [program("buildctl", "buildkit"), "--addr", socket]
    processes.start("buildkitd", [program("buildkitd", "buildkit"), "--config", node.folder / "buildkitd.toml"])
    try:
        processes.wait("buildkitd", lambda: _answers(buildctl), seconds=60)
        for target in targets:
            run(*buildctl, "build", *_request(target, base))
    finally:
        processes.stop("buildkitd")


def _answers(buildctl: list[str]) -> bool:
    return subprocess.run([*buildctl, "debug", "workers"], check=False, capture_output=True).returncode == 0


def _request(target: str, base: str) -> list[str]:
    return [
        "--frontend=dockerfile.v0", f"--local=context={REPOSITORY}", f"--local=dockerfile={REPOSITORY}",
        f"--opt=target={target}", f"--opt=build-arg:BASE={base}", "--opt=image-resolve-mode=local", "--progress=plain",
        # Nobody downloads it, so compressing gigabytes would only take time.
        f"--output=type=image,name={NAMES[target]},unpack=true,compression=uncompressed",
    ]  # fmt: skip


def _base(node: Node) -> str:
    """An image of this machine's Debian with Python, made from packages, that trusts whom this machine trusts."""
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    name = f"localhost/base:{suite}"
    if not node.has(name):
        require("mmdebstrap")
        layer = node.folder / "base.tar"
        certificates = "/etc/ssl/certs/ca-certificates.crt"
        run("mmdebstrap", "--quiet", "--variant=minbase", "--include=python3-venv,ca-certificates",
            f"--customize-hook=copy-in {certificates} {Path(certificates).parent}", suite, layer)  # fmt: skip
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        node.ctr("images", "import", image(node.folder, name, layer.read_bytes(), {"Env": [path]}))
        layer.unlink()
    return name


def _buildkitd(node: Node, socket: str) -> str:
    """BuildKit's configuration. It takes TOML only; JSON's strings are TOML's, too."""
    return f"""
root = {json.dumps(str(CACHE / "buildkit"))}

[grpc]
address = [{json.dumps(socket)}]

[otel]
socketPath = {json.dumps(str(node.folder / "traces.sock"))}

[worker.oci]
enabled = false

[worker.containerd]
address = {json.dumps(str(node.socket))}
namespace = "k8s.io"
networkMode = "host"  # steps install packages as this machine does
defaultCgroupParent = "/raysmith"
"""
