"""What a cluster changes on its machine, and how that is undone: kernel settings, a bridge, firewall rules, control groups."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

BRIDGE = "raysmith0"
NODES = "10.95.0"
"""The nodes' own network, on a bridge without a cable: a cluster needs no other network, and no other network sees it."""
PODS = "10.244.0.0/16"
MARK = "raysmith-cluster"
FIREWALL = (
    ("filter", "FORWARD", "-s", PODS, "-j", "ACCEPT"),  # Docker, for one, lets nothing pass that is not its own
    ("filter", "FORWARD", "-d", PODS, "-j", "ACCEPT"),
    ("nat", "POSTROUTING", "-s", PODS, "!", "-d", PODS, "-j", "MASQUERADE"),
)
SYSCTLS = (  # the first one for the pods' packets; the others are what every kubelet sets
    "net.ipv4.ip_forward",
    "vm.overcommit_memory",
    "vm.panic_on_oom",
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.keys.root_maxkeys",
    "kernel.keys.root_maxbytes",
)
LEFT_BEHIND = (  # by kubelet, containerd and the CNI plugins, wherever they are told to work; in the order in which it goes
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/lib/cni/results",
    "/run/containerd/runc/k8s.io",
)
LEFT_EMPTY = (
    "/var/lib/cni",
    "/run/containerd/runc",
    "/run/containerd/s",
    "/run/containerd/fifo",
    "/run/containerd",
    "/run/netns",
)


def prepare(state: Path) -> None:
    """Make the machine ready for nodes, and note in the state folder what was there before."""
    note = state / "machine.json"
    if not note.exists():
        _refuse_a_second_kubernetes()
        note.parent.mkdir(parents=True, exist_ok=True)
        there = [path for path in (*LEFT_BEHIND, *LEFT_EMPTY) if Path(path).exists()]
        note.write_text(json.dumps({"sysctls": {name: _sysctl(name).read_text() for name in SYSCTLS}, "there": there}))
    _sysctl("net.ipv4.ip_forward").write_text("1")
    if not Path("/sys/class/net", BRIDGE).exists():
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "address", "add", f"{NODES}.1/24", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")
    for rule in FIREWALL:
        put_rule(*rule)


def put_rule(table: str, chain: str, *rule: str, inside: Iterable[str] = ()) -> None:
    """Put a firewall rule before all others of its chain, unless it is there, marked as ours. `inside`: on another node."""
    iptables, marked = [*inside, "iptables", "-t", table], [*rule, "-m", "comment", "--comment", MARK]
    if subprocess.run([*iptables, "-C", chain, *marked], check=False, stderr=subprocess.DEVNULL).returncode:
        run(*iptables, "-I", chain, *marked)


def network(name: str) -> Path:
    """The network namespace of a node that is not the machine itself."""
    return Path("/run/netns", f"raysmith-{name}")


def make_network(name: str, address: str, pods: str) -> None:
    """Give a node a network of its own, on our bridge by a cable: `ip link set raysmith-<name> down` cuts the node off."""
    space, cable = network(name), f"raysmith-{name}"
    if space.exists():
        return
    run("ip", "netns", "add", space.name)
    run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space.name)
    run("ip", "link", "set", cable, "master", BRIDGE, "up")
    for command in (
        ("link", "set", "lo", "up"),
        ("link", "set", "eth0", "up"),
        ("address", "add", f"{address}/24", "dev", "eth0"),
        ("route", "add", "default", "via", f"{NODES}.1"),
    ):
        run("ip", "--netns", space.name, *command)
    run("nsenter", f"--net={space}", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    run("ip", "route", "add", pods, "via", address)


def clean(state: Path) -> None:
    """Undo all of `prepare`, and what pods, kubelets and proxies left: processes, mounts, interfaces, rules, groups."""
    _end_what_pods_left()
    for mount in reversed(mounts_below(state)):
        run("umount", "--lazy", mount)
    for space in network("*").parent.glob(network("*").name):
        run("ip", "netns", "delete", space.name)
    if Path("/sys/class/net", BRIDGE).exists():
        run("ip", "link", "delete", BRIDGE)
    for command in ("iptables", "ip6tables"):
        _take_rules_away(command)
    note = state / "machine.json"
    if note.exists():
        _restore(**json.loads(note.read_text()))


def make_group(name: str) -> str:
    """Make a control group below ours in every hierarchy, and return its path as a kubelet wants it."""
    for root in _hierarchies():
        for folder in (root / "raysmith", root / "raysmith" / name):
            folder.mkdir(exist_ok=True)
            for file in ("cpuset.cpus", "cpuset.mems"):  # in version 1 a new group has no CPUs, and takes no process
                ours = folder / file
                if root.name == "cpuset" and not ours.read_text().strip():
                    ours.write_text((folder.parent / file).read_text())
    return f"/raysmith/{name}"


def mounts_below(folder: Path) -> list[str]:
    """Where something is mounted in a folder, outer mounts first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    plain = [re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), point) for point in points]
    return [point for point in plain if Path(point).is_relative_to(folder)]


def run(*command: str | Path) -> None:
    """Run a command that must succeed; what it has to say against it is on the terminal."""
    if subprocess.run([str(part) for part in command], check=False, stdout=subprocess.DEVNULL).returncode:
        sys.exit(f"`{' '.join(map(str, command))}` failed; what it said is above.")


def _refuse_a_second_kubernetes() -> None:
    if Path("/sys/class/net", BRIDGE).exists():
        sys.exit(
            f"Another cluster of this kind runs on this machine (interface {BRIDGE}). Take it down first, with its --state."
        )
    rules = subprocess.run(["iptables-save"], check=True, capture_output=True, text=True).stdout
    if ":KUBE-" in rules:
        sys.exit(
            "Another Kubernetes has its firewall rules on this machine (chains KUBE-*), and two would fight. Stop it first."
        )


def _sysctl(name: str) -> Path:
    return Path("/proc/sys", *name.split("."))


def _restore(sysctls: dict[str, str], there: list[str]) -> None:
    for name, value in sysctls.items():
        _sysctl(name).write_text(value)
    for path in LEFT_BEHIND:
        if path not in there:
            shutil.rmtree(path, ignore_errors=True)
    for path in LEFT_EMPTY:
        folder = Path(path)  # by now it may serve somebody else, too
        if path not in there and folder.exists() and not any(folder.iterdir()):
            for mount in mounts_below(folder):
                run("umount", mount)
            folder.rmdir()


def _take_rules_away(command: str) -> None:
    """Load the rules that are there, without Kubernetes' own and ours."""
    rules = subprocess.run([f"{command}-save", "-c"], check=True, capture_output=True, text=True).stdout.splitlines()
    others = [line for line in rules if "KUBE-" not in line and MARK not in line]
    if others != rules:
        subprocess.run([f"{command}-restore", "-c"], input="\n".join([*others, ""]), check=True, text=True)


def _hierarchies() -> list[Path]:
    """Where control groups are mounted: one place in version 2, one for each controller in version 1."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [Path(fields[1]) for fields in mounts if fields[2] in ("cgroup", "cgroup2")]


def _end_what_pods_left() -> None:
    """Kill all processes in our control groups, then remove the groups, the innermost first."""
    for root in _hierarchies():
        groups = [Path(folder) for folder, _, _ in os.walk(root / "raysmith", topdown=False)]
        for pid in {int(pid) for group in groups for pid in (group / "cgroup.procs").read_text().split()}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for group in groups:
            _remove_group(group)


def _remove_group(group: Path) -> None:
    for _ in range(50):  # a killed process needs a moment to leave
        with suppress(OSError):
            group.rmdir()
        if not group.exists():
            return
        time.sleep(0.1)
