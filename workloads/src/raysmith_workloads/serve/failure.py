"""Why an engine did not start: the one line that says so, out of a long output."""

import re
from pathlib import Path
from typing import Final

# "ValueError: ...", also behind the prefix that vLLM gives to the lines of its processes.
_ERROR_LINE: Final = re.compile(
    r"^(?:\([^)]*pid=\d+\)\s*)?(?:ERROR \S+ \S+ \[[^]]*\]\s*)?(?P<error>(?:\w+[.])*\w*(?:Error|Exception|Interrupt): \S.*)$"
)
# What vLLM and Ray raise when another process has failed: it names no cause.
_SYMPTOM: Final = re.compile(
    r"Engine core initialization failed|WorkerProc initialization failed|Executor failed|EngineDeadError"
)
_OURS: Final = re.compile(r"^(?:[\w.]+[.])?(?:EngineFailed|Refused): (?P<sentence>.*)$", re.MULTILINE)
_TAIL_BYTES: Final = 1 << 20
_LONGEST: Final = 1000


class EngineFailed(Exception):  # noqa: N818 - what happened, and what the user reads
    """The engine did not start; the message says why, in the engine's own words."""


def last_error(output: str) -> str | None:
    """The last line in `output` that names an error and not merely that another process had one."""
    matches = (_ERROR_LINE.match(line.strip()) for line in output.splitlines())
    errors = [match["error"] for match in matches if match and not _SYMPTOM.search(match["error"])]
    return errors[-1] if errors else None


def cause(error: BaseException) -> str:
    """Why starting ended with `error`: its own text, or what the engine's processes have written before.

    They write where this process does, and Ray keeps that in files.
    """
    own = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]
    if not _SYMPTOM.search(own):
        return own
    return next((found for descriptor in (2, 1) if (found := last_error(_tail(descriptor)))), own)


def sentence(status: str) -> str:
    """What a replica said when it failed, out of the status message that Ray Serve makes of it."""
    ours = _OURS.findall(status)
    return str(ours[-1]) if ours else last_error(status) or (status.strip().splitlines() or ["no reason is known"])[-1]


def _tail(descriptor: int) -> str:
    path = Path(f"/proc/self/fd/{descriptor}")
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return file.read().decode(errors="replace")
