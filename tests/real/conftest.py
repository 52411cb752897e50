"""What the tests that really run things share: one Ray for the whole session, and starting workloads as processes."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

Workload = Callable[..., subprocess.CompletedProcess[str]]
Started = Callable[..., AbstractContextManager[subprocess.Popen[bytes]]]


@pytest.fixture(scope="session")
def ray_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of one local Ray with six logical CPUs, started at first use and shared by all tests; also in RAY_ADDRESS.

    It lives as long as its standard input is open, so that it ends with pytest however that ends.
    """
    log = tmp_path_factory.mktemp("ray") / "ray.log"
    # Whoever shares this machine cannot run code in the session's Ray: it asks for a token of its own.
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "raysmith_workloads.local_ray", "--num-cpus", "6"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **settings},
        ) as ray,
    ):
        assert ray.stdout is not None
        line = ray.stdout.readline()
        assert line, f"Ray did not start: {log.read_text()}"
        address: str = json.loads(line)["address"]
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**settings, "RAY_ADDRESS": address}.items():
                patch.setenv(name, value)
            yield address


@pytest.fixture
def run_workload(ray_address: str, tmp_path: Path) -> Workload:
    """`run_workload("prepare", "--object", file, **environment)` runs `python -m raysmith_workloads.prepare --object file`."""

    def run(module: str, *args: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", f"raysmith_workloads.{module}", *map(str, args)],
            env={**os.environ, **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    return run


@pytest.fixture
def start_workload(ray_address: str, tmp_path: Path) -> Started:
    """`with start_workload("prepare", output, "--object", file) as process`: the same without waiting for the end.

    What it prints goes to the file `output`. At the end of the block it is killed, if it is still there.
    """

    @contextmanager
    def start(module: str, output: Path, *args: str | Path) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", f"raysmith_workloads.{module}", *map(str, args)]
        with (
            output.open("wb") as file,
            subprocess.Popen(command, cwd=tmp_path, stdout=file, stderr=subprocess.STDOUT) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    return start
