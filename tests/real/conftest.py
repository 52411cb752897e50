"""What the tests that really run things share: one Ray for the whole session, and starting workloads as processes."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from finetune_runs import Run
from preparing import Preparing, make_tokenizer
from tiny_models import make_llama

Workload = Callable[..., subprocess.CompletedProcess[str]]
Started = Callable[..., AbstractContextManager[subprocess.Popen[bytes]]]
Begun = Callable[[Run], AbstractContextManager[subprocess.Popen[bytes]]]
Finish = Callable[..., None]


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


@pytest.fixture(scope="session")
def run_workload(ray_address: str, tmp_path_factory: pytest.TempPathFactory) -> Workload:
    """`run_workload("prepare", "--object", file, **environment)` runs `python -m raysmith_workloads.prepare --object file`."""
    folder = tmp_path_factory.mktemp("workloads")

    def run(module: str, *args: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", f"raysmith_workloads.{module}", *map(str, args)],
            env={**os.environ, **environment},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    return run


@pytest.fixture(scope="session")
def start_workload(ray_address: str) -> Started:
    """`with start_workload("prepare", output, "--object", file) as process`: the same without waiting for the end.

    What it prints goes to the file `output`, and to pytest if the block fails. After the block it is killed if it still runs.
    """

    @contextmanager
    def start(module: str, output: Path, *args: str | Path) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", f"raysmith_workloads.{module}", *map(str, args)]
        with (
            output.open("wb") as file,
            subprocess.Popen(command, cwd=output.parent, stdout=file, stderr=subprocess.STDOUT) as process,
        ):
            try:
                yield process
            except BaseException:
                print(output.read_text())
                raise
            finally:
                process.kill()

    return start


@pytest.fixture
def preparing(tmp_path: Path, run_workload: Workload) -> Preparing:
    """A preparation of the test's own."""
    return Preparing(tmp_path, run_workload)


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder as far as preparing looks at it."""
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def begin(start_workload: Started) -> Begun:
    """`with begin(run) as process` is the fine-tune as a process, with its output in `run.output`."""
    return lambda run: start_workload("finetune", run.output, "--object", run.object_file)


@pytest.fixture(scope="session")
def finish(begin: Begun) -> Finish:
    """`finish(one, other)` does both fine-tunes to their end, side by side, because most of their time is their start."""

    def all_of(*runs: Run) -> None:
        with ExitStack() as going:
            processes = [going.enter_context(begin(run)) for run in runs]
            assert [process.wait(600) for process in processes] == [0] * len(runs)

    return all_of


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with 1,024 tokens."""
    return make_llama(tmp_path_factory.mktemp("llama"))
