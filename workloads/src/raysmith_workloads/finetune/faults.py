"""What workers died of, as one sentence with what to set: pure.

Ray tells most of it in words only; the words below are Ray 2.60's.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from raysmith_workloads.errors import Failed

_LONGEST: Final = 1000


class Fault(NamedTuple):
    """One way to die, and the words that tell of it."""

    reason: str
    words: tuple[str, ...]
    """In the error's text; one of them is enough."""
    sentence: str
    """What happened and what to set, with a place for the worker's number."""


_LESS_AT_ONCE: Final = "set spec.training.microBatchSize to 1, or lower spec.data.maxLength"

# The first that fits any worker is the cause: when one worker dies, the others lose their connections to it.
FAULTS: Final = (
    Fault(
        "NodeLost",
        ("its node has died",),
        "The machine of worker {rank} was lost. The next attempt goes on from the last checkpoint on another one.",
    ),
    Fault(
        "OutOfMemory",
        ("running low on memory",),
        "Ray stopped worker {rank}, because its memory was almost used up. Raise memory in spec.workers.resources (requests "
        f"and limits), {_LESS_AT_ONCE}.",
    ),
    Fault(
        "AcceleratorOutOfMemory",
        ("out of memory. Tried to allocate", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED"),
        "Worker {rank} ran out of the accelerator's memory. Set spec.training.microBatchSize to 1, or lower "
        "spec.data.maxLength, or choose an accelerator with more memory.",
    ),
    Fault(
        # A process that the kernel kills says nothing; its raylet only sees the connection end.
        "OutOfMemory",
        ("exits with a connection error", "The worker died unexpectedly"),
        "Worker {rank} was killed from outside, most likely by the kernel for its use of memory. Raise memory in "
        f"spec.workers.resources (requests and limits), {_LESS_AT_ONCE}. The output of the worker names another cause, "
        "if there is one.",
    ),
)
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_ERROR_LINE: Final = re.compile(r"^\s*((?:\w+\.)*\w*(?:Error|Exception)): (\S.*)$", re.MULTILINE)
# What the others say when one worker has gone.
_SYMPTOMS: Final = ("Connection closed by peer", "Connection reset by peer", "remote process exited", "Broken pipe")


def workers_failed(failures: Mapping[int, BaseException]) -> Failed:
    """Why the workers failed, out of what each one's failure says. `failures` maps ranks to them, and is not empty."""
    causes = {rank: _cause(failures[rank]) for rank in sorted(failures)}
    for fault in FAULTS:
        for rank, cause in causes.items():
            if any(words in str(cause) for words in fault.words):
                return Failed(fault.reason, fault.sentence.format(rank=rank))
    rank = min(causes, key=lambda rank: (_is_symptom(causes[rank]), rank))
    said = str(causes[rank]).strip().partition("\n")[0][:_LONGEST]
    return Failed("TrainingFailed", f"Worker {rank} failed once too often: {type(causes[rank]).__name__}: {said}")


def workers_not_started(error: BaseException) -> Failed:
    """Why Ray Train gave up with no worker at work: the last error in what it says, which is the one that began it all."""
    text = _COLOURS.sub("", str(error))
    errors = _ERROR_LINE.findall(text)
    said = ": ".join(errors[-1]) if errors else text.strip().partition("\n")[0]
    return Failed("TrainingFailed", f"The workers could not be started: {said[:_LONGEST]}")


def _cause(failure: BaseException) -> BaseException:
    """What lies below the wrappers of Ray (a failed task) and of Ray Train (a failed health check)."""
    for wrapped in ("health_check_failure", "cause"):
        failure = getattr(failure, wrapped, None) or failure
    return failure


def _is_symptom(cause: BaseException) -> bool:
    return any(words in str(cause) for words in _SYMPTOMS)
