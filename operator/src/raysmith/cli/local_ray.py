"""The one Ray of a local run: a child process that keeps it, started when first needed, gone when this process is."""

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Self

from raysmith.api.layout import VOLUMES_VARIABLE
from raysmith.cli.errors import RunFailed
from raysmith.cli.processes import last_words

START_SECONDS = 120
STOP_SECONDS = 30

# Ray keeps to the loopback address: nobody else on the network can reach it. (Ray's own switch for that is named after
# the systems on which it is the default.)
LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_COLOR_PREFIX": "0"}  # the second: log files are read without a terminal


class LocalRay:
    """Starts `python -m raysmith_workloads.local_ray` at the first `environment()`; ends it on exit.

    The keeper lives until its stdin closes, so that even a killed command line leaves no Ray behind.
    """

    def __init__(self, *, log: Path, volumes: Path, num_cpus: int) -> None:
        """`num_cpus` is what Ray may hand out; it may be more than there are, since serving mostly waits."""
        self._log = log
        self._num_cpus = num_cpus
        # Whoever shares this machine cannot run code in this Ray: it asks for a token of its own.
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self._common = {**QUIET, **LOOPBACK_ONLY, **token, VOLUMES_VARIABLE: str(volumes)}
        self._keeper: subprocess.Popen[str] | None = None
        self._address: str | None = None
        self.start_seconds: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def environment(self) -> dict[str, str]:
        """What children need in their environment. Starts Ray if it does not run yet; raises RunFailed if that fails."""
        if self._address is None:
            self._address = self._start()
        return {**self._common, "RAY_ADDRESS": self._address}

    def stop(self) -> None:
        """Close the keeper's stdin and wait until Ray has gone."""
        if self._keeper is None:
            return
        with self._keeper as keeper:
            if keeper.stdin is not None:
                keeper.stdin.close()
            try:
                keeper.wait(STOP_SECONDS)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                keeper.kill()
        self._keeper = None

    def _start(self) -> str:
        started = time.monotonic()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("w") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", "raysmith_workloads.local_ray", "--num-cpus", str(self._num_cpus)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self._common},
                start_new_session=True,
                text=True,
            )
        assert self._keeper.stdout is not None  # noqa: S101 - PIPE was asked for
        line = _first_line(self._keeper.stdout, START_SECONDS)
        if not line:
            raise RunFailed(f"Ray did not start on this machine: {last_words(self._log)} The whole story is in {self._log}.")
        self.start_seconds = time.monotonic() - started
        return str(json.loads(line)["address"])


def _first_line(stream: IO[str], seconds: float) -> str:
    """The first line of `stream`, or "" if there is none after `seconds` or the stream ends before."""
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.append(stream.readline()), daemon=True)
    reader.start()
    reader.join(seconds)
    return lines[0] if lines else ""
