"""Keeps what a process prints beside the artefact, so that it can be read when the pods are gone.

`python -m raysmith_workloads.kept_output FILE DESCRIPTOR` passes its input on and keeps the last part in FILE. It is a process
of its own, because the last words before a crash are the ones that matter, and no thread of the crashed process writes them.
"""

import io
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from raysmith.api import LLMFineTune
from raysmith_workloads.report import LOGS
from raysmith_workloads.storage import run_folder

log = logging.getLogger(__name__)

KEPT_BYTES: Final = 1 << 20
FLUSH_SECONDS: Final = 5
SECONDS_TO_END: Final = 10
CHUNK_BYTES: Final = 1 << 16


def in_pod() -> bool:
    """Whether this process runs in a pod: the kubelet tells every container where the API server is."""
    return "KUBERNETES_SERVICE_HOST" in os.environ


def log_file(obj: LLMFineTune, process: str) -> Path:
    """Where the output of `process` is kept, for example of `finetune`. Raises Refused as `run_folder` does."""
    return run_folder(obj) / LOGS / f"{obj.attempt}-{process}.log"


@contextmanager
def output_kept(path: Path) -> Iterator[None]:
    """Inside a pod, keep the last MiB of what this process and its children print in `path`; it still goes where it went.

    Elsewhere the command line keeps it. Output that cannot be kept is no reason to end a run.
    """
    if not in_pod() or _is_output(path):
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        keeper = _Keeper(path)
    except OSError as error:
        log.warning("The output cannot be kept in %s (%s); the run goes on.", path, error.strerror)
        yield
        return
    try:
        yield
    finally:
        keeper.end()


def last_lines(path: Path, count: int, longest: int) -> list[str]:
    """The last lines in `path`, each cut to `longest` characters; none if it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line[:longest] for line in lines if line.strip()][-count:]


class _Keeper:
    """The process that keeps, with this process's standard output and error as its input."""

    def __init__(self, path: Path) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)
        _flush()
        source, sink = os.pipe()
        ended, self._end = os.pipe()
        command = [sys.executable, "-m", "raysmith_workloads.kept_output", str(path), str(ended)]
        self._process = subprocess.Popen(command, stdin=source, pass_fds=[ended], start_new_session=True)
        self._before = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
        for descriptor in self._before:
            os.dup2(sink, descriptor)
        for descriptor in (source, sink, ended):
            os.close(descriptor)

    def end(self) -> None:
        """Put the output back, and wait until what was printed is kept."""
        _flush()
        for descriptor, place in self._before.items():
            os.dup2(place, descriptor)
            os.close(place)
        with suppress(OSError):
            os.write(self._end, b".")  # children of this process may hold the output open for longer
        os.close(self._end)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(SECONDS_TO_END)


def _flush() -> None:
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()


def _is_output(path: Path) -> bool:
    """Whether this process prints into `path` anyway."""
    return path.exists() and os.path.samestat(path.stat(), os.fstat(1))


class Tail:
    """The last part of an output, in a file. Goes on with what an earlier process of the same name has left there."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._kept = bytearray(path.read_bytes() if path.exists() else b"")
        self._written = clock()
        self._new = False

    def add(self, text: bytes) -> None:
        """Keep `text`, and forget what is too old for it."""
        self._kept += text
        self._new = self._new or bool(text)
        if len(self._kept) > KEPT_BYTES:
            del self._kept[:-KEPT_BYTES]
            del self._kept[: self._kept.find(b"\n") + 1]  # no half line at the start

    def write(self, *, at_once: bool = False) -> None:
        """Write the file if there is something new, at most every FLUSH_SECONDS unless `at_once`."""
        if not self._new or (not at_once and self._clock() - self._written < FLUSH_SECONDS):
            return
        self._written, self._new = self._clock(), False
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        with suppress(OSError):  # a full disk: what is printed goes where it went, and the run has more to say about that
            beside.write_bytes(self._kept)
            beside.replace(self._path)


def keep(source: int, end: int, target: int, tail: Tail) -> None:
    """Pass everything from `source` on to `target` and keep its tail, until it is closed or `end` is readable."""
    ready: list[int] = []
    chunk = b"-"
    while chunk and end not in ready:
        ready, _, _ = select.select([source, end], [], [], FLUSH_SECONDS)
        if source in ready:
            chunk = _pass_on(source, target, tail)
        tail.write()
    os.set_blocking(source, False)
    with suppress(BlockingIOError):  # others hold the source open, and have nothing to say at the moment
        while _pass_on(source, target, tail):
            pass
    tail.write(at_once=True)


def _pass_on(source: int, target: int, tail: Tail) -> bytes:
    chunk = os.read(source, CHUNK_BYTES)
    tail.add(chunk)
    with suppress(OSError):  # nobody listens any more
        left = chunk
        while left:
            left = left[os.write(target, left) :]
    return chunk


def main() -> None:
    """Outlive the process that prints: what ends it must not end this one first."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    path, end = sys.argv[1:]
    keep(0, int(end), 1, Tail(Path(path)))


if __name__ == "__main__":
    main()
