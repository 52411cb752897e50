"""NetworkPolicies that hold: rules that hand new connections over, and on each node a program that lets them pass or not."""

import platform
import re
import subprocess
from pathlib import Path

from hack.cluster import credentials, machine
from hack.cluster.controlplane import ControlPlane
from hack.cluster.node import Node
from hack.cluster.programs import program

NAME = "networkpolicies"
USER = f"raysmith:{NAME}"
MANIFEST = Path(__file__).parent / "manifests" / f"{NAME}.yaml"
QUEUE = "6443"  # any number that nobody else on the machine takes

# Only the first packet of a connection is handed over: replies belong to what has been allowed. And if nobody reads the
# queue, everything passes, so that a cluster does not stand still because of this.
_NEW = ("-m", "conntrack", "--ctstate", "NEW", "-j", "NFQUEUE", "--queue-num", QUEUE, "--queue-bypass")
RULES = (
    # This table comes before the one with the rules that accept, ours and kube-proxy's, and after the one in which a Service's
    # address becomes a pod's: a policy speaks of pods.
    ("mangle", "FORWARD", "-s", machine.PODS, *_NEW),
    ("mangle", "FORWARD", "!", "-s", machine.PODS, "-d", machine.PODS, *_NEW),
    # What a pod sends to the node itself is not forwarded. The API server is there, and where else it would not be exempt.
    ("mangle", "INPUT", "-s", machine.PODS, *_NEW),
)
"""What the node itself sends, a kubelet's probes for example, always passes, as Kubernetes wants it."""
# Questions for names come in pairs, for both kinds of addresses. Before Linux 6.12, one of two packets that wait in the queue
# side by side can be lost (bug 1766 of Netfilter), and a lookup takes five seconds. There, no policy stops them.
NAMES = ("mangle", "FORWARD", "-p", "udp", "-m", "multiport", "--dports", "53,5353", "-j", "ACCEPT")


def enforce(plane: ControlPlane, nodes: list[Node]) -> None:
    """Start the programs and wait until they decide. Where no policy selects a pod, that changes nothing."""
    credentials.add(plane.secret(""), NAME, USER, server=plane.server)
    plane.kubectl("apply", "--server-side", "--filename", MANIFEST)
    for node in nodes:
        for rule in (*RULES, *([NAMES] if _loses_packets(platform.release()) else [])):
            machine.put_rule(*rule, inside=node.inside)
        plane.processes.start(_process(node), [*node.inside, *_command(plane, node)])
    for node in nodes:
        plane.processes.wait(_process(node), lambda node=node: _decides(node), seconds=30)  # type: ignore[misc]


def _loses_packets(kernel: str) -> bool:
    return [int(number) for number in re.findall(r"\d+", kernel)[:2]] < [6, 12]


def _process(node: Node) -> str:
    return f"{NAME}-{node.name}"


def _command(plane: ControlPlane, node: Node) -> list[str | Path]:
    kubeconfig = plane.secret(f"{NAME}.kubeconfig")
    return [program(NAME, NAME), "--kubeconfig", kubeconfig, "--node", node.name, "--queue", QUEUE]


def _decides(node: Node) -> bool:
    """Whether somebody reads the node's queue."""
    command = [*node.inside, "cat", "/proc/net/netfilter/nfnetlink_queue"]
    queues = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return any(queue.split()[0] == QUEUE for queue in queues)
