"""What a cluster of hack/cluster can leave on its machine: mounts, network interfaces, firewall rules, processes."""

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path


def traces(state: Path) -> Counter[str]:
    """All of them that are there now, each in words; of processes those whose command line names the cluster's folder."""
    return Counter([*_mounts(), *_interfaces(), *_rules(), *_processes(state)])


def left_since(before: Counter[str], state: Path, *, patience: float = 30) -> list[str]:
    """What is there and was not there before. The kernel takes the interface of an ended pod away after a moment."""
    deadline = time.monotonic() + patience
    while (left := traces(state) - before) and time.monotonic() < deadline:
        time.sleep(0.5)
    return sorted(left.elements())


def _mounts() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        yield f"the mount {line.split()[4]}"


def _interfaces() -> Iterator[str]:
    for name in os.listdir("/sys/class/net"):
        yield f"the network interface {name}"


def _rules() -> Iterator[str]:
    """Rules and chains of somebody's own, without counters and comments. The kernel's own chains stay once they were used."""
    for program in ("iptables-save", "ip6tables-save"):
        table = ""
        for line in subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines():
            if line.startswith("*"):
                table = f"in the table {line[1:]} of {program.removesuffix('-save')}"
            elif line.startswith("-"):
                yield f"the rule {line} {table}"
            elif line.startswith(":") and line.split()[1] == "-":  # it has no policy, so it is somebody's own
                yield f"the chain {line.split()[0][1:]} {table}"


def _processes(state: Path) -> Iterator[str]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        if str(state) in command:
            yield f"the process {folder.name}: {command[:100]}"
