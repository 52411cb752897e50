"""Programs that tests need and Python does not bring: found, or built once, or the test says why it is skipped."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
from functools import cache
from pathlib import Path

import pytest

TOOLS = Path(__file__).parent / "tools"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "raysmith" / "tools"


def require(program: str) -> str:
    """Path of `program`. Without it the test is skipped; on a CI machine (variable CI) that would hide it, so it fails."""
    path = shutil.which(program)
    if path is None:
        reason = f"{program} is not installed"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@cache
def go_tool(name: str) -> Path:
    """The program of the Go module tests/tools/<name>, built at most once for each state of its sources."""
    go, sources = require("go"), TOOLS / name
    content = b"".join(path.read_bytes() for path in sorted(sources.iterdir()) if path.suffix in (".go", ".mod", ".sum"))
    built = CACHE / f"{name}-{hashlib.sha256(content).hexdigest()[:16]}"
    if not built.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = built.with_suffix(f".{os.getpid()}")
        command = [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(part), "."]
        subprocess.run(command, cwd=sources, check=True, env={**os.environ, "CGO_ENABLED": "0"})
        part.rename(built)
    return built


def go_module_folder(tool: str, module: str) -> Path:
    """Folder of a Go module that the tool tests/tools/<tool> is built from; modules bring more than code."""
    command = [require("go"), "mod", "download", "-json", module]  # `go list` names no folder before the first build
    found = subprocess.run(command, cwd=TOOLS / tool, check=True, capture_output=True, text=True)
    return Path(json.loads(found.stdout)["Dir"])


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def kuberay_crds() -> list[Path]:
    """The CRDs of the KubeRay that tests run."""
    module = go_module_folder("kuberay-check", "github.com/ray-project/kuberay/ray-operator")
    return sorted((module / "config" / "crd" / "bases").glob("*.yaml"))
