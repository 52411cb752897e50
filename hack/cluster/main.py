"""The command line: `up`, `down`, `status` and `images`."""

import argparse
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from hack.cluster import addons, images, machine, policies, programs
from hack.cluster.controlplane import ControlPlane
from hack.cluster.node import Node

STATE = programs.CACHE / "state"
NODE_PROGRAMS = ("containerd", "runc", "iptables-save", "conntrack", "ip", "busybox", "/usr/lib/cni/ptp")


def main() -> None:
    """Do what the command line says."""
    options = _parser().parse_args()
    options.state = options.state.resolve()
    commands = {"up": up, "down": down, "status": status, "images": build}
    commands[options.command](options)


def up(options: argparse.Namespace) -> None:
    """Start what is not running yet, and say where the kubeconfig is."""
    began = time.monotonic()
    if options.state.exists() and any(options.state.iterdir()) and not _is_ours(options.state):
        sys.exit(f"{options.state} holds something else than a cluster. `down` would delete it; name another folder.")
    plane = ControlPlane(options.state, "127.0.0.1" if options.control_plane_only else f"{machine.NODES}.1", options.port)
    programs.require("etcd", "openssl")
    if options.control_plane_only:
        plane.start(scheduler=False)
    else:
        _start_all(plane, options.nodes)
    print(f"The cluster is up after {time.monotonic() - began:.0f} s.\nexport KUBECONFIG={plane.kubeconfig}")


def _start_all(plane: ControlPlane, count: int) -> None:
    _require_root("A node", " Or start the control plane alone: --control-plane-only.")
    programs.require(*NODE_PROGRAMS)
    for module in programs.MODULE_NAMES:
        programs.built(module)  # all that takes minutes first, before anything runs
    machine.prepare(plane.folder)
    plane.start(scheduler=True)
    nodes = _nodes(plane)[:count]
    for node in nodes:
        node.start()
    policies.enforce(plane, nodes)
    addons.install(plane, nodes)


def down(options: argparse.Namespace) -> None:
    """End everything that `up` started, and take away what it left. Programs and images stay in the cache."""
    if not _is_ours(options.state):
        print(f"There is no cluster in {options.state}.")
        return
    plane = ControlPlane(options.state, "", 0)
    if (options.state / "machine.json").exists():
        _require_root("Ending a node")
        for node in _nodes(plane):
            node.stop()
    for name in reversed(plane.processes.names()):
        plane.processes.stop(name)
    if (options.state / "machine.json").exists():
        machine.clean(options.state)
    if mounted := machine.mounts_below(options.state):  # deleting would go on inside of them
        sys.exit(
            f"Something is still mounted at {mounted[0]}, so the folder is not deleted. Unmount it, then run `down` again."
        )
    shutil.rmtree(options.state)


def status(options: argparse.Namespace) -> None:
    """Print what runs."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # whoever reads only the first lines of it may
    plane = ControlPlane(options.state, "", 0)
    processes = plane.processes
    names = processes.names()
    for name in names:
        print(f"{name:24} {'runs' if processes.running(name) else f'has ended; see {processes.folder}/{name}.log'}")
    print(f"export KUBECONFIG={plane.kubeconfig}" if names else f"There is no cluster in {options.state}.")
    sys.exit(0 if names and all(map(processes.running, names)) else 1)


def build(options: argparse.Namespace) -> None:
    """Build our images into the running cluster."""
    _require_root("Building images")
    nodes = _nodes(ControlPlane(options.state, "", 0))
    images.build([node for node in nodes if node.running], options.targets or list(images.NAMES))


def _nodes(plane: ControlPlane) -> list[Node]:
    """All nodes that a cluster can have. Their images outlive it."""
    return [Node(plane, number, images=programs.CACHE / f"images-{number}") for number in (1, 2)]


def _is_ours(folder: Path) -> bool:
    return (folder / "credentials").is_dir() or (folder / "machine.json").exists()


def _require_root(what: str, otherwise: str = "") -> None:
    if os.geteuid() != 0:
        sys.exit(f"{what} needs root, for mounts, network interfaces and firewall rules: use sudo.{otherwise}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hack/cluster/cluster", description="A real Kubernetes on this machine, without Docker."
    )
    parser.add_argument("--state", type=Path, default=STATE, help="folder of this cluster (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start it; what runs already is left alone")
    start.add_argument(
        "--control-plane-only", action="store_true", help="no node: pods are accepted and never run; needs no root"
    )
    start.add_argument("--port", type=int, default=6443, help="of the API server; the four after it are used, too")
    start.add_argument("--nodes", type=int, choices=(1, 2), default=1, help="the second one has a network of its own")
    commands.add_parser("down", help="end it, and leave nothing behind")
    commands.add_parser("status", help="what runs")
    build_images = commands.add_parser("images", help="build our images into the running cluster")
    build_images.add_argument(
        "targets", nargs="*", metavar="TARGET", choices=[*images.NAMES, []], help="operator, workloads; or both"
    )
    return parser
