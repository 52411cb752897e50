"""The programs of the cluster: Go modules built once into the user's cache, and what comes with Debian."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

MODULES = Path(__file__).parent / "programs"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "raysmith" / "cluster"
MODULE_NAMES = ("kubernetes", "coredns", "kuberay", "networkpolicies")
"""What a cluster with nodes needs; BuildKit only builds images."""
KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
DEBIAN = {
    "etcd": "etcd-server",
    "openssl": "openssl",
    "containerd": "containerd",
    "runc": "runc",
    "iptables-save": "iptables",
    "conntrack": "conntrack",
    "nsenter": "util-linux",
    "ip": "iproute2",
    "busybox": "busybox-static",
    "mmdebstrap": "mmdebstrap",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
}
"""Program -> the Debian package that brings it."""


def require(*names: str) -> None:
    """End with a sentence if some of these programs are not there."""
    missing = [DEBIAN[name] for name in names if shutil.which(name) is None]
    if missing:
        sys.exit(
            f"The cluster needs programs that are not installed. On Debian and Ubuntu: apt-get install {' '.join(missing)}"
        )


def program(name: str, module: str = "kubernetes") -> str:
    """Path of one of the programs of a Go module in programs/."""
    return str(built(module) / name)


def built(module: str) -> Path:
    """Folder with the programs of a Go module in programs/, built at most once for each state of its sources."""
    folder = CACHE / f"{module}-{fingerprint(module)}"
    if not folder.exists():
        if shutil.which("go") is None:
            sys.exit("The cluster's programs are built from their sources: install Go 1.26 or newer, from https://go.dev/dl.")
        print(f"Building {module} into {folder}. This takes a few minutes and happens once.", flush=True)
        part = folder.with_name(f"{folder.name}.{os.getpid()}")  # what an interrupted build leaves is never taken for a program
        _build(MODULES / module, part)
        part.rename(folder)
    return folder


def fingerprint(module: str) -> str:
    """Short hash of everything that decides what a module's programs are."""
    content = b"".join(path.read_bytes() for path in sorted((MODULES / module).iterdir()))
    return hashlib.sha256(content).hexdigest()[:12]


def _build(sources: Path, into: Path) -> None:
    own = (sources / "main.go").exists()  # otherwise the module only names, as its tools, what others wrote
    flags = "-s -w"
    if sources.name == "kubernetes":  # without its version in it, it takes itself for a development build
        version = _go(sources, "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
        flags += f" -X k8s.io/component-base/version.gitVersion={version}"
    _go(sources, "build", "-trimpath", "-ldflags", flags, "-o", f"{into}/", "." if own else "tool")
    if sources.name == "kubernetes":  # one program that does what the name says by which it is called
        for name in KUBERNETES:
            (into / name).symlink_to("kubernetes")
    if sources.name == "kuberay":  # its module brings its manifests, too
        config = Path(_go(sources, "list", "-m", "-f", "{{.Dir}}", "github.com/ray-project/kuberay/ray-operator"), "config")
        shutil.copytree(config, into / "config", copy_function=shutil.copyfile)


def _go(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "CGO_ENABLED": "0"}
    done = subprocess.run(["go", *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"`go {arguments[0]}` failed in {folder}; what it said is above.")
    return done.stdout.strip()
