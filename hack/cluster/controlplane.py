"""etcd, the API server, the controllers and the scheduler. They need no root, so tests start control planes of their own."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import credentials
from hack.cluster.processes import Processes
from hack.cluster.programs import program

SERVICES = "10.96.0.0/16"
FIRST_SERVICE = "10.96.0.1"  # the API server's own Service always gets the first address


@dataclass(frozen=True)
class ControlPlane:
    """One control plane: a folder for all it writes, an address, and five ports in a row."""

    folder: Path
    address: str
    port: int

    @property
    def processes(self) -> Processes:
        """All processes of the cluster: a node's are here, too."""
        return Processes(self.folder / "processes")

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.secret("admin.kubeconfig")

    @property
    def server(self) -> str:
        """Where the API server answers."""
        return f"https://{self.address}:{self.port}"

    def secret(self, name: str) -> Path:
        """A key, certificate or kubeconfig."""
        return self.folder / "credentials" / name

    def kubectl(self, *arguments: str | Path, check: bool = True) -> str:
        """What kubectl prints as administrator; empty if it fails and `check` is off."""
        command = [program("kubectl"), "--kubeconfig", str(self.kubeconfig), *map(str, arguments)]
        done = subprocess.run(
            command, check=check, text=True, stdout=subprocess.PIPE, stderr=None if check else subprocess.DEVNULL
        )
        return done.stdout

    def start(self, *, scheduler: bool) -> None:
        """Start it and wait until it answers and its controllers work."""
        credentials.make(self.secret(""), server=self.server, addresses=["127.0.0.1", FIRST_SERVICE, self.address])
        self.processes.start("etcd", self._etcd())
        self.processes.start("kube-apiserver", self._apiserver())
        self.processes.wait("kube-apiserver", lambda: self.kubectl("get", "--raw=/readyz", check=False) == "ok", seconds=60)
        self.processes.start("kube-controller-manager", self._controller_manager())
        if scheduler:
            self.processes.start("kube-scheduler", self._scheduler())
        # The controllers make it. Before it is there, no pod is accepted.
        account = ("get", "serviceaccount", "default", "--output=name")
        self.processes.wait("kube-controller-manager", lambda: self.kubectl(*account, check=False) != "", seconds=60)

    def _etcd(self) -> list[str | Path]:
        client, peer = (f"http://127.0.0.1:{self.port + offset}" for offset in (1, 2))
        return [
            "etcd", "--data-dir", self.folder / "etcd", "--log-level=warn", "--logger=zap",
            f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",  # nobody mourns this cluster when the machine loses power, and a busy disk slows all else
        ]  # fmt: skip

    def _apiserver(self) -> list[str | Path]:
        return [
            program("kube-apiserver"),
            f"--etcd-servers=http://127.0.0.1:{self.port + 1}",
            f"--bind-address={self.address}", f"--advertise-address={self.address}", f"--secure-port={self.port}",
            f"--service-cluster-ip-range={SERVICES}", "--authorization-mode=Node,RBAC", "--allow-privileged",
            "--tls-cert-file", self.secret("apiserver.crt"), "--tls-private-key-file", self.secret("apiserver.key"),
            "--client-ca-file", self.secret("ca.crt"), "--token-auth-file", self.secret("tokens.csv"),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--service-account-key-file", self.secret("service-accounts.key"),
            "--service-account-signing-key-file", self.secret("service-accounts.key"),
            "--kubelet-client-certificate", self.secret("kubelet-client.crt"),
            "--kubelet-client-key", self.secret("kubelet-client.key"),
            "--kubelet-preferred-address-types=InternalIP",  # nobody resolves the nodes' names
        ]  # fmt: skip

    def _controller_manager(self) -> list[str | Path]:
        return [
            program("kube-controller-manager"), "--kubeconfig", self.secret("controller-manager.kubeconfig"),
            "--bind-address=127.0.0.1", f"--secure-port={self.port + 3}", "--leader-elect=false",
            "--use-service-account-credentials",  # each controller with its own rights only
            "--service-account-private-key-file", self.secret("service-accounts.key"), "--root-ca-file", self.secret("ca.crt"),
        ]  # fmt: skip

    def _scheduler(self) -> list[str | Path]:
        return [
            program("kube-scheduler"), "--kubeconfig", self.secret("scheduler.kubeconfig"),
            "--bind-address=127.0.0.1", f"--secure-port={self.port + 4}", "--leader-elect=false",
        ]  # fmt: skip
