"""The last words of a container that has no access to the API server, where the kubelet takes them from its file."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from raysmith.api.common import to_wire
from raysmith.api.record import Prepared
from raysmith_workloads.report import failure_of

log = logging.getLogger(__name__)

VARIABLE: Final = "RAYSMITH_TERMINATION_LOG"
"""Environment variable: the file that the last words go to. Without it, there are none."""
LIMIT_BYTES: Final = 4096
"""The kubelet cuts what is longer, and a cut is no JSON."""
NOTES: Final = 5


@contextmanager
def reason_told(reason: str) -> Iterator[None]:
    """Write why the body did not end well, and let the exception go on. `reason` is for faults that are nobody's input."""
    try:
        yield
    except BaseException as error:
        failure = failure_of(error, reason)
        tell({"reason": failure.reason, "message": failure.message, "retryable": failure.retryable})
        raise


def tell_prepared(prepared: Prepared) -> None:
    """Write what the preparation has made."""
    tell({**to_wire(prepared.train), "notes": prepared.notes[:NOTES]})


def tell(words: dict[str, Any]) -> None:
    """Write `words` as JSON, shortened until they fit. Nothing can be told about a failure to tell, so there is none."""
    path = os.environ.get(VARIABLE)
    if not path:
        return
    try:
        Path(path).write_bytes(fitting(words))
    except OSError as error:
        log.warning("The last words cannot be written to %s (%s).", path, error.strerror)


def fitting(words: dict[str, Any]) -> bytes:
    """`words` as JSON of at most LIMIT_BYTES: the last notes go first, then the end of the message."""
    while len(text := json.dumps(words, ensure_ascii=False).encode()) > LIMIT_BYTES:
        if words.get("notes"):
            words = {**words, "notes": words["notes"][:-1]}
        else:
            message = words["message"]
            words = {**words, "message": f"{message[: len(message) * 9 // 10 - 1]}…"}
    return text
