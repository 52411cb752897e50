"""Child processes: started with their output in a log file, stopped in order, explained when they fail."""

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import NoReturn, Self

from raysmith.cli.errors import Interrupted
from raysmith.errors import RaysmithError

STOP_ORDER = ((signal.SIGINT, 60.0), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0))
"""What a child gets when it has to stop, and the seconds that it then has. The first lets it save what it has."""


class Child:
    """`python -m MODULE ARGUMENTS` in a session of its own: Ctrl-C reaches this process alone, and children end in order."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        report: Path | None = None,
    ) -> None:
        """Start it. All that it prints goes to `log`, but for its standard output if there is a `report` to take that."""
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        with ExitStack() as files:
            output = files.enter_context(log.open("wb"))
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=files.enter_context(report.open("wb")) if report else output,
                stderr=output,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def exit_code(self, wait_seconds: float) -> int | None:
        """The exit code, negative for a signal, or None if the child still runs after `wait_seconds`."""
        try:
            return self._process.wait(wait_seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """End the child: SIGINT, then SIGTERM, then SIGKILL. Another Ctrl-C goes on to the next one at once."""
        for number, seconds in STOP_ORDER:
            if self._process.poll() is not None:
                return
            self._process.send_signal(number)
            try:
                self._process.wait(seconds)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                continue


def last_words(log: Path) -> str:
    """The last `error: ` line of a child's output, without the prefix; else its last line; else where to look."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or ["it printed nothing"])[-1]


def signal_name(exit_code: int) -> str:
    """`SIGKILL` for -9."""
    return signal.Signals(-exit_code).name


def interrupt_on_signals() -> None:
    """Let SIGTERM and a closed terminal (SIGHUP) end this process as Ctrl-C does, so that children never stay behind."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)


def require_workloads() -> None:
    """Raises RaysmithError if the workloads are not installed beside the command line."""
    if importlib.util.find_spec("raysmith_workloads") is None:
        raise RaysmithError(
            "this needs raysmith-workloads, which is not installed; install it with: pip install 'raysmith-workloads[cpu]' "
            "(or [gpu])."
        )


def interrupted(name: str, step: int, total: int, resumes_from: int) -> Interrupted:
    """The sentence that a stopped run ends in."""
    where = f"interrupted at step {step} of {total}" if total else "interrupted before the first step"
    start = f"the checkpoint after step {resumes_from}" if resumes_from else "the start, because there is no checkpoint yet"
    return Interrupted(f"{name}: {where}; the same command goes on from {start}.")


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
