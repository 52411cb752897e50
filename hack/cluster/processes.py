"""Processes that outlive the command that started them, and are found again by number and time of start."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path


class Processes:
    """The processes of one cluster. What each printed is in <folder>/<name>.log, who it is in <folder>/<name>.json."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, name: str, command: Iterable[str | Path]) -> None:
        """Start a process under a name, unless it runs already."""
        if self.running(name):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                start_new_session=True,  # Ctrl-C in the terminal of `up` is not for the cluster
            )  # fmt: skip
        self._record(name).write_text(json.dumps({"pid": process.pid, "started": _started(process.pid)}))

    def running(self, name: str) -> bool:
        """Whether the process that was started under this name still lives."""
        return self._pid(name) is not None

    def names(self) -> list[str]:
        """All that were started, in the order of their start."""
        records = sorted(self.folder.glob("*.json"), key=lambda record: record.stat().st_mtime_ns)
        return [record.stem for record in records]

    def stop(self, name: str, *, patience: float = 10) -> None:
        """End a process, politely at first."""
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            if (pid := self._pid(name)) is not None:
                os.kill(pid, number)
                _poll(lambda: not self.running(name), seconds)
        self._record(name).unlink(missing_ok=True)

    def wait(self, name: str, ready: Callable[[], bool], *, seconds: float) -> None:
        """Wait until a process is ready. If it ends instead, or takes too long, end with a sentence."""
        if _poll(lambda: ready() or not self.running(name), seconds) and self.running(name):
            return
        log = self.folder / f"{name}.log"
        state = f"is not ready after {seconds:.0f} s" if self.running(name) else "has ended"
        last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
        sys.exit(f"{name} {state}. The end of its log {log}:\n{last}\n`down` cleans up.")

    def _record(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _pid(self, name: str) -> int | None:
        """Number of the process while it lives. Numbers are used again, so the time of its start must fit, too."""
        try:
            record = json.loads(self._record(name).read_text())
        except FileNotFoundError:
            return None
        started = _started(record["pid"])
        return record["pid"] if started is not None and started == record["started"] else None


def _started(pid: int) -> int | None:
    """When a process started, in clock ticks since the machine did. None if there is none, or only its remains (a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # the name before may hold anything
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[19])


def _poll(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not (reached := condition()) and time.monotonic() < end:
        time.sleep(0.1)
    return reached
