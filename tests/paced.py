"""Training that waits for the test, so that what happens to it in the middle happens in the middle on every machine.

The attempt's `metrics.jsonl` is a pipe that holds some 25 steps. When it is full, training waits until the test reads on.
"""

import fcntl
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raysmith.api import layout

Process = subprocess.Popen[Any]


class Pace:
    """What training has written so far, as far as the test has read it."""

    def __init__(self, attempt: Path, pipe: int) -> None:
        self._stop = attempt / layout.STOP
        self._pipe = pipe
        self.text = ""

    def wait_for_step(self, step: int, process: Process) -> None:
        """Read until training, which goes on while `process` does, has done `step`. It gets no more than 30 steps further."""
        while not re.search(rf'^{{"step": {step},.*\n', self.text, re.MULTILINE):
            assert process.poll() is None, f"exit code {process.returncode} before step {step}"
            self._read()

    def let_go(self, process: Process) -> int:
        """Let training go on until `process` ends; its exit code."""
        while process.poll() is None:
            self._read()
        return int(process.returncode)

    def interrupt(self, process: Process) -> int:
        """Send Ctrl-C while training waits, and let it go on when the run has heard of it; the exit code."""
        process.send_signal(signal.SIGINT)
        while not self._stop.exists():
            assert process.poll() is None, f"exit code {process.returncode} without another word to the workers"
            time.sleep(0.02)
        return self.let_go(process)

    def read_the_rest(self) -> None:
        """Read what is there, without waiting for more."""
        while self._read():
            pass

    def _read(self) -> bool:
        try:
            self.text += os.read(self._pipe, 1 << 16).decode()
        except BlockingIOError:
            time.sleep(0.02)
            return False
        return True


@contextmanager
def paced(attempt: Path) -> Iterator[Pace]:
    """The attempt in the folder `attempt`, which has not begun to train, waits for what the block reads.

    Nobody must train when the block ends: then what was read becomes the file that it seemed to be.
    """
    metrics = attempt / layout.METRICS
    attempt.mkdir(parents=True, exist_ok=True)
    os.mkfifo(metrics)
    pipe = os.open(metrics, os.O_RDWR | os.O_NONBLOCK)  # for writing too, so that nobody waits for the other to open it
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 12)
        pace = Pace(attempt, pipe)
        yield pace
        pace.read_the_rest()
        beside = metrics.with_suffix(".whole")
        beside.write_text(pace.text)
        beside.replace(metrics)
    finally:
        os.close(pipe)
