"""A node: containerd, kubelet and kube-proxy. All they write is below the node's folder."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import machine
from hack.cluster.controlplane import ControlPlane
from hack.cluster.programs import program
from hack.cluster.static_images import PAUSE, pause_image

DNS = "10.96.0.10"


@dataclass(frozen=True)
class Node:
    """Node `number` of a cluster."""

    plane: ControlPlane
    number: int
    images: Path
    """containerd's store. It may outlive the cluster, so that images are built once."""

    @property
    def name(self) -> str:
        """As Kubernetes calls it."""
        return f"node-{self.number}"

    @property
    def folder(self) -> Path:
        """Where it writes."""
        return self.plane.folder / self.name

    @property
    def address(self) -> str:
        """On the nodes' own network."""
        return f"{machine.NODES}.{self.number}"

    @property
    def pods(self) -> str:
        """The addresses of its pods."""
        return f"10.244.{self.number}.0/24"

    @property
    def inside(self) -> list[str]:
        """What a command begins with to run on the node: the first node is the machine, others have a network of their own.

        `ip netns exec` would do that, too, but it hides the control groups from the command.
        """
        return [] if self.number == 1 else ["nsenter", f"--net={machine.network(self.name)}"]

    @property
    def running(self) -> bool:
        """Whether the node holds images and runs containers, at least."""
        return self.plane.processes.running(f"containerd-{self.name}")

    @property
    def socket(self) -> Path:
        """Where containerd listens."""
        return self.folder / "containerd.sock"

    def start(self) -> None:
        """Start the node's three processes, and wait until it takes pods."""
        if self.inside:
            machine.make_network(self.name, self.address, self.pods)
        self.folder.mkdir(parents=True, exist_ok=True)
        start, name = self.plane.processes.start, self.name
        self._write("containerd.toml", _containerd(self))
        self._write("cni/10-raysmith.conflist", json.dumps(_network(self)))
        self._start_containerd(self.inside)
        if not self.has(PAUSE):
            self.ctr("images", "import", pause_image(self.folder))
        self._write("kubelet.yaml", json.dumps(_kubelet(self)))
        start(f"kubelet-{name}", [*self.inside, *self._kubelet_command()])
        start(f"kube-proxy-{name}", [*self.inside, *self._proxy_command()])
        self.plane.processes.wait(f"kubelet-{name}", self._ready, seconds=60)

    def stop(self) -> None:
        """End the node's pods and its processes."""
        stop = self.plane.processes.stop
        stop(f"kube-proxy-{self.name}")
        stop(f"kubelet-{self.name}")
        if (self.folder / "containerd.toml").exists():
            # Containers have processes of their own that outlive containerd, and records that outlive all processes. Only
            # containerd knows them; if it has died, it comes back once more for this.
            self._start_containerd([])
            for kind, *how in (("tasks", "delete", "--force"), ("containers", "delete")):
                for one in self.ctr(kind, "list", "--quiet").split():
                    self.ctr(kind, *how, one, check=False)
        stop(f"containerd-{self.name}")

    def has(self, image: str) -> bool:
        """Whether an image of this name is in the node's store."""
        return image in self.ctr("images", "list", "--quiet").split()

    def ctr(self, *arguments: str | Path, check: bool = True) -> str:
        """What containerd's own client prints, in the namespace where kubelets keep their images and containers."""
        command = ["ctr", "--address", str(self.socket), "--namespace", "k8s.io", *map(str, arguments)]
        done = subprocess.run(
            command, check=check, text=True, stdout=subprocess.PIPE, stderr=None if check else subprocess.DEVNULL
        )
        return done.stdout

    def _start_containerd(self, inside: list[str]) -> None:
        name = f"containerd-{self.name}"
        self.plane.processes.start(name, [*inside, "containerd", "--config", self.folder / "containerd.toml"])
        self.plane.processes.wait(name, lambda: "Server" in self.ctr("version", check=False), seconds=30)

    def _ready(self) -> bool:
        condition = '{.status.conditions[?(@.type=="Ready")].status}'
        return self.plane.kubectl("get", "node", self.name, f"--output=jsonpath={condition}", check=False) == "True"

    def _kubelet_command(self) -> list[str | Path]:
        return [
            program("kubelet"), "--config", self.folder / "kubelet.yaml", "--root-dir", self.folder / "kubelet",
            "--cert-dir", self.folder / "kubelet-certificates", "--kubeconfig", self.plane.secret(f"{self.name}.kubeconfig"),
            f"--hostname-override={self.name}", f"--node-ip={self.address}",
        ]  # fmt: skip

    def _proxy_command(self) -> list[str | Path]:
        return [
            program("kube-proxy"), "--kubeconfig", self.plane.secret("proxy.kubeconfig"), "--proxy-mode=iptables",
            f"--hostname-override={self.name}", f"--cluster-cidr={machine.PODS}",
            f"--healthz-bind-address={self.address}:10256", f"--metrics-bind-address={self.address}:10249",
            # Settings of the kernel that it would change otherwise, and that are not its own.
            "--iptables-localhost-nodeports=false", "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s",
            "--conntrack-tcp-timeout-close-wait=0s",
        ]  # fmt: skip

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def _containerd(node: Node) -> str:
    """Configuration of containerd. It takes TOML only; JSON's strings are TOML's, too."""
    path = json.dumps
    return f"""
version = 2
root = {path(str(node.images))}
state = {path(str(node.folder / "containerd"))}
disabled_plugins = ["io.containerd.internal.v1.opt"]  # it makes a folder in /opt

[grpc]
address = {path(str(node.socket))}

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = {path(PAUSE)}
netns_mounts_under_state_dir = true
# Where root itself may not lower a process's score (it lacks CAP_SYS_RESOURCE), every pod would fail to start without this.
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = {path(str(node.folder / "cni"))}
"""


def _network(node: Node) -> dict[str, object]:
    """How pods are connected: each by a cable of its own to the machine, which routes.

    A bridge would need the kernel module br_netfilter: packets between its pods pass the rules that make Services work only
    with it, and not every kernel has it.
    """
    addresses = {
        "type": "host-local",
        "dataDir": str(node.folder / "addresses"),
        "ranges": [[{"subnet": node.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {"cniVersion": "1.0.0", "name": "raysmith", "plugins": [{"type": "ptp", "ipam": addresses}]}


def _kubelet(node: Node) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address,
        "healthzBindAddress": node.address,
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": str(node.plane.secret("ca.crt"))}},
        "containerRuntimeEndpoint": f"unix://{node.socket}",
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS],
        "resolvConf": _resolver(),
        "podLogsDir": str(node.folder / "logs"),
        "volumePluginDir": str(node.folder / "volume-plugins"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": machine.make_group(node.name),
        "failCgroupV1": False,  # machines with control groups of version 1 are still around
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,  # it measures the disk all the time
        # A developer's disk is always nearly full. Images are not to be deleted: there is no registry to get them from.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
    }


def _resolver() -> str:
    """The file that names real DNS servers: with systemd-resolved, /etc/resolv.conf names the machine itself."""
    resolved = Path("/run/systemd/resolve/resolv.conf")
    return str(resolved if resolved.exists() else Path("/etc/resolv.conf"))
