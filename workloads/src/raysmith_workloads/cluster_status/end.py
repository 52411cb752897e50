"""Tells the end of a run until the API server has it. A result is told again whenever a finished run is started."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from raysmith.api import LLMFineTune, layout
from raysmith.api.common import Artifact, to_wire
from raysmith.api.finetune import Result, RunFailure
from raysmith.api.record import RunRecord
from raysmith_workloads.cluster_status.endpoint import READER, Endpoint, Json, in_short, is_ours
from raysmith_workloads.kept_output import last_lines, log_file
from raysmith_workloads.report import LOGS, failure_of

log = logging.getLogger(__name__)

RESULT_MANAGER: Final = "raysmith-result"
TELL_SECONDS: Final = 600
"""How long the end is told in vain."""
LONGEST_WAIT: Final = 30
FINAL: Final = (400, 403, 404, 413, 422)
"""Answers that another try does not change: the object is gone, or the status may not be written, or not like this."""
LOG_LINES: Final = 20
LOG_LINE_CHARACTERS: Final = 512
MESSAGE_CHARACTERS: Final = 4096


def tell_end(
    endpoint: Endpoint,
    obj: LLMFineTune,
    end: Json,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Write `end`, the status's `result` or `failure`, until the API server has it, for TELL_SECONDS at most."""
    until, wait = clock() + TELL_SECONDS, 1.0
    while True:
        try:
            return _tell_end_once(endpoint, obj, end)
        except Exception as error:
            if getattr(error, "status", None) in FINAL or clock() + wait > until:
                log.warning("The end of the run could not be reported (%s); it stands in the run's folder.", in_short(error))
                return None
            log.info("The end of the run could not be reported yet (%s); trying again in %d s.", in_short(error), wait)
        sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)


def _tell_end_once(endpoint: Endpoint, obj: LLMFineTune, end: Json) -> None:
    seen = endpoint.apply({}, READER)
    if not is_ours(seen, obj):
        log.info("The end of attempt %d is not reported: the object belongs to another run by now.", obj.attempt)
    elif "failure" in end and seen.get("status", {}).get("result"):
        log.info("The end of attempt %d is not reported: the run has a result already.", obj.attempt)
    else:
        endpoint.apply(end, RESULT_MANAGER)


def end_status(obj: LLMFineTune, folder: Path, error: BaseException | None) -> Json | None:
    """What the status says about the end: the result if there is a record, else why there is none."""
    record = _read(folder / layout.RUN)
    if record is not None:
        return {"result": to_wire(result_of(obj, record))}
    if error is None:
        return None
    failure = failure_of(error, "TrainingFailed", folder / LOGS)
    return {
        "failure": to_wire(
            RunFailure(
                attempt=obj.attempt,
                reason=failure.reason,
                message=failure.message[:MESSAGE_CHARACTERS],
                retryable=failure.retryable,
                log_tail=last_lines(log_file(obj, "finetune"), LOG_LINES, LOG_LINE_CHARACTERS),
                time=failure.time,
            )
        )
    }


def result_of(obj: LLMFineTune, record: RunRecord) -> Result:
    """The part of the record that the object shows."""
    return Result(
        attempt=record.attempts[-1].number,
        artifact=Artifact(uri=layout.run_folder(obj.spec.output.storage, obj.metadata), digest=record.artifact.digest),
        base=record.base_metrics,
        tuned=record.tuned_metrics,
        promoted=record.promoted,
        message=record.message[:MESSAGE_CHARACTERS],
    )


def _read(path: Path) -> RunRecord | None:
    with suppress(OSError, ValidationError):
        return RunRecord.model_validate_json(path.read_bytes())
    return None
