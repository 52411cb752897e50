"""Our images, built from the Dockerfile straight into a node's image store: there is no registry to bring them from."""

import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hack.cluster.machine import run
from hack.cluster.node import Node
from hack.cluster.programs import CACHE, program, require
from hack.cluster.static_images import image

MODULE = Path(__file__).parent
REPOSITORY = MODULE.parents[1]
NAMES = {"operator": "localhost/raysmith-operator:0.1.0", "workloads": "localhost/raysmith-workloads:0.1.0-cpu"}
"""Target of the Dockerfile -> the name that `names.yaml` tells the chart. A kubelet adds nothing to names of `localhost/`."""


def build(nodes: list[Node], targets: list[str]) -> None:
    """Build some of the images on the first node, then give them to the others: without vLLM, for no service runs there."""
    if not nodes:
        sys.exit("The cluster does not run, and images are built into it. Start it first: make cluster-up.")
    first, *others = nodes
    with _buildkit(first) as buildctl:
        base = _base(first)
        for target in targets:
            run(*buildctl, "build", *_request(target, base))
        for target in targets if others else ():
            file = first.folder / "image.tar"
            if target == "workloads":
                run(*buildctl, "build", *_without_vllm(file))
            else:
                first.ctr("images", "export", file, NAMES[target])
            for node in others:
                node.ctr("images", "import", file)
            file.unlink()


@contextmanager
def _buildkit(node: Node) -> Iterator[list[str]]:
    """BuildKit, which runs no longer than that: the command that asks it."""
    processes = node.plane.processes
    socket = f"unix://{node.folder}/buildkitd.sock"
    (node.folder / "buildkitd.toml").write_text(_buildkitd(node, socket))
    buildctl = [program("buildctl", "buildkit"), "--addr", socket]
    processes.start("buildkitd", [program("buildkitd", "buildkit"), "--config", node.folder / "buildkitd.toml"])
    try:
        processes.wait("buildkitd", lambda: _answers(buildctl), seconds=60)
        yield buildctl
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


def _without_vllm(file: Path) -> list[str]:
    return [
        "--frontend=dockerfile.v0", f"--local=context={MODULE}", f"--local=dockerfile={MODULE}",
        "--opt=filename=second-node.Dockerfile", f"--opt=build-arg:FULL={NAMES['workloads']}",
        "--opt=image-resolve-mode=local", "--progress=plain",
        f"--output=type=docker,name={NAMES['workloads']},compression=uncompressed,dest={file}",
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
