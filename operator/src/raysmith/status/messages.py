"""Out of long texts the part that a person needs: of logs, of tracebacks, of what KubeRay and the kubelet write."""

import json
import re
from typing import Any, Final, NamedTuple

from typing_extensions import override

LONGEST: Final = 600
"""Characters of somebody else's text within a sentence of ours."""

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
# "(RayTrainWorker pid=1234, ip=10.0.0.7) ", which Ray puts before the lines of other processes.
_PROCESS: Final = re.compile(r"^\([^()]*pid=\d+[^()]*\) ?", re.MULTILINE)
_TRACEBACK: Final = re.compile(
    r"^Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*(?P<type>[A-Za-z_][\w.]*(?:\(\w+\))?)(?:: ?(?P<text>.*))?$",
    re.MULTILINE,
)
# The last line of our own programs (raysmith_workloads.report).
_OWN: Final = re.compile(r"^error: (?P<text>.+)$", re.MULTILINE)
_EXIT_CODE: Final = re.compile(r"failed with exit code (-?\d+)")
# What raylets and PyTorch say when they know it. Ray also names the OOM killer whenever it does not know; that is a guess.
_MEMORY: Final = re.compile(
    r"running low on memory|killed due to memory pressure \(OOM\)|ray\.exceptions\.OutOfMemoryError"
    r"|can't allocate memory|Cannot allocate memory|^MemoryError\b",
    re.MULTILINE,
)
_ACCELERATOR_MEMORY: Final = re.compile(r"(?:CUDA|HIP|XPU) out of memory")
_SERVE: Final = re.compile(r"^(?:[\w.]+[.])?(?P<type>EngineFailed|Refused): (?P<text>.*)$", re.MULTILINE)
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,99}")
_ERROR_LINE: Final = re.compile(r"^(?:\w+[.])*\w*(?:Error|Exception): \S.*$", re.MULTILINE)


class Raised(NamedTuple):
    """An exception, as the last line of its traceback tells it."""

    type: str
    text: str

    @override
    def __str__(self) -> str:
        """As Python prints it, on one line."""
        return clause(f"{self.type}: {self.text}" if self.text else self.type)


def clause(text: str) -> str:
    """`text` on one line and not too long, without a full stop: a part of a sentence."""
    line = " ".join(text.split()).rstrip(" .,;:")
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} [...]"


def sentence(text: str) -> str:
    """`text` on one line with a full stop."""
    return f"{clause(text)}."


def plain(log: str) -> str:
    """A log without colours and the names of processes."""
    return _PROCESS.sub("", _COLOUR.sub("", log))


def raised(log: str) -> Raised | None:
    """The exception of the last traceback in a plain log, or of the last line that looks like one: logs are cut in front."""
    if found := list(_TRACEBACK.finditer(log)):
        return Raised(found[-1]["type"], found[-1]["text"] or "")
    lines = _ERROR_LINE.findall(log)
    return Raised(*lines[-1].split(": ", 1)) if lines else None


def own_words(log: str) -> str | None:
    """The sentence with which one of our programs ended, out of a plain log."""
    found = _OWN.findall(log)
    return str(found[-1]) if found else None


def exit_code(ray_message: str) -> int | None:
    """With which code the run's process ended, out of what Ray writes about a job; negative for a signal."""
    found = _EXIT_CODE.search(ray_message)
    return int(found[1]) if found else None


def speaks_of_memory(text: str) -> bool:
    """Whether `text` says that a process was killed, or an allocation refused, for want of the machine's memory."""
    return _MEMORY.search(text) is not None


def speaks_of_accelerator_memory(text: str) -> bool:
    """Whether `text` says that the accelerator's memory was full."""
    return _ACCELERATOR_MEMORY.search(text) is not None


def replica_failure(text: str) -> tuple[str, bool]:
    """What a replica said when it failed, and whether it refused what it was given; out of Ray Serve's message."""
    if ours := list(_SERVE.finditer(text)):
        return ours[-1]["text"], ours[-1]["type"] == "Refused"
    lines = _ERROR_LINE.findall(text) or text.strip().splitlines()
    return (str(lines[-1]) if lines else ""), False


def last_words(termination_message: str | None) -> dict[str, Any] | None:
    """What a container wrote about its failure: a JSON object with `reason` and `message`."""
    try:
        said = json.loads(termination_message or "")
    except ValueError:
        return None
    is_said = isinstance(said, dict) and all(isinstance(said.get(key), str) and said[key] for key in ("reason", "message"))
    return said if is_said else None


def word(reason: str, instead: str) -> str:
    """A reason that comes from a pod, if it is a word."""
    return reason if _WORD.fullmatch(reason) else instead
