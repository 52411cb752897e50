"""What the doubles share: their orders, and the records they write."""

import argparse
import json
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from raysmith.api import LLMFineTune, layout, to_wire
from raysmith.api.common import Artifact, Metrics
from raysmith.api.finetune import Gate, Progress
from raysmith.api.record import (
    AttemptRecord,
    BaseRecord,
    Claim,
    DataSplit,
    Failure,
    GateVerdict,
    Prepared,
    RunRecord,
    Sample,
    TrainingRecord,
)
from raysmith.api.schema import Model


def order(module: str) -> str:
    """The next order for `module`; "succeed" when there is none left."""
    file = Path(os.environ["RAYSMITH_DOUBLE"])
    orders = json.loads(file.read_text())
    waiting = orders.get(module, [])
    word = waiting.pop(0) if waiting else "succeed"
    file.write_text(json.dumps(orders))
    return str(word)


class Process:
    """One started double."""

    def __init__(self) -> None:
        parser = argparse.ArgumentParser()
        parser.add_argument("--object", type=Path, required=True)
        parser.add_argument("--check", action="store_true")
        arguments = parser.parse_args()
        self.check = arguments.check
        self.run = arguments.object.parent
        self.obj = LLMFineTune.model_validate_json(arguments.object.read_text())
        self.number = self.obj.attempt
        self.attempt = self.run / layout.attempt_folder(self.number)
        assert os.environ["RAYSMITH_VOLUMES"]
        signal.signal(signal.SIGINT, self.interrupted)

    def write(self, path: Path, record: Model) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".tmp")
        beside.write_text(json.dumps(to_wire(record)))
        beside.replace(path)

    def claim(self) -> None:
        self.write(self.attempt / layout.CLAIM, Claim(number=self.number, start_time=datetime.now(UTC)))

    def progress(self, stage: str, step: int = 0, **more: Any) -> None:
        values = {"stage": stage, "step": step, "total_steps": 100, "percent": step, "updated_time": datetime.now(UTC), **more}
        self.write(self.attempt / layout.PROGRESS, Progress(**values))

    def fail(self, reason: str, message: str, *, code: int, retryable: bool) -> NoReturn:
        failure = Failure(reason=reason, message=message, retryable=retryable, time=datetime.now(UTC))
        self.write(self.attempt / layout.FAILURE, failure)
        print(f"error: {message}", file=sys.stderr)
        sys.exit(code)

    def interrupted(self, *_: object) -> NoReturn:
        self.fail("Interrupted", "The run was interrupted.", code=130, retryable=True)


def prepared() -> Prepared:
    split = DataSplit(rows=100, sequences=10, tokens=1000, supervised_tokens=500)
    digest = "sha256:" + "0" * 64
    return Prepared(
        digest=digest, data_digest=digest, train=split, validation=split, max_length=64, notes=["2 rows were cut at 64 tokens."]
    )


def record(process: Process, *, promoted: bool) -> RunRecord:
    now = datetime.now(UTC)
    digest = "sha256:" + "1" * 64
    value = 0.97 if promoted else 0.31
    message = f"exact match is {value}, and must be 0.9 or more"
    gate = Gate(metric="ExactMatch", min=0.9)
    return RunRecord(
        name=process.obj.metadata.name,
        namespace=process.obj.metadata.namespace,
        uid=process.obj.metadata.uid or "",
        spec=to_wire(process.obj)["spec"],
        base=BaseRecord(source=process.obj.spec.model.source, digest=digest),
        data=prepared(),
        training=TrainingRecord(
            steps=100, tokens=5000, seconds=2.5, loss=0.1, workers=1, device="cpu", trained_parameters=10, parameters=10
        ),
        base_metrics=Metrics(validation_loss=7.6, exact_match=0.0),
        tuned_metrics=Metrics(validation_loss=0.1, exact_match=value),
        gate=[GateVerdict(gate=gate, value=value, base_value=0.0, passed=promoted, message=message)],
        promoted=promoted,
        message=message,
        samples=[Sample(prompt="2026-03-14", expected="fourteen", base="the the", tuned="fourteen")],
        artifact=Artifact(uri=str(process.run / "model"), digest=digest),
        artifact_kind="model",
        attempts=[AttemptRecord(number=process.number, start_time=now)],
        versions={"raysmith": "0.1.0"},
        start_time=now,
        end_time=now,
    )


def pause() -> None:
    """Until a signal comes."""
    time.sleep(3600)


def linger() -> None:
    """Stay in a stage so long that whoever watches sees it, if the orders say `"slowly": true`."""
    if json.loads(Path(os.environ["RAYSMITH_DOUBLE"]).read_text()).get("slowly"):
        time.sleep(0.6)
