"""`run.json`: everything about a run that is complete, put together."""

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from raysmith.api import LLMFineTune
from raysmith.api.common import Artifact, Metrics, to_wire
from raysmith.api.record import BaseRecord, Prepared, RunRecord, Sample, TrainingRecord
from raysmith_workloads.finetune import gate
from raysmith_workloads.finetune.attempts import attempt_records
from raysmith_workloads.finetune.curve import resumed_steps
from raysmith_workloads.finetune.loop import mean_loss
from raysmith_workloads.finetune.worker import Outcome


def run_record(
    obj: LLMFineTune, run: Path, data: Prepared, outcome: Outcome, base_digest: str, artifact: Artifact, workers: int
) -> RunRecord:
    """The record of the run in the folder `run`, whose artefact is in place."""
    base, tuned = _metrics(outcome)
    verdicts = gate.verdicts(obj.spec.evaluation.gate, base, tuned)
    attempts = attempt_records(run, resumed_steps(run))
    return RunRecord(
        name=obj.metadata.name,
        namespace=obj.metadata.namespace,
        uid=obj.metadata.uid or "",
        spec=to_wire(obj.spec),
        base=BaseRecord(source=obj.spec.model.source, artifact=obj.status.model if obj.status else None, digest=base_digest),
        data=data,
        training=_training(outcome, workers),
        base_metrics=base,
        tuned_metrics=tuned,
        gate=verdicts,
        promoted=all(verdict.passed for verdict in verdicts),
        message=gate.summary(verdicts),
        samples=_samples(outcome),
        artifact=artifact,
        artifact_kind="model" if obj.spec.method.full else "adapter",
        attempts=attempts,
        versions=_versions(),
        start_time=attempts[0].start_time,
        end_time=datetime.now(UTC),
    )


def _metrics(outcome: Outcome) -> tuple[Metrics, Metrics]:
    if outcome.base is None or outcome.tuned is None:
        raise ValueError("the workers returned no evaluation")
    return outcome.base.metrics, outcome.tuned.metrics


def _training(outcome: Outcome, workers: int) -> TrainingRecord:
    position = outcome.position
    return TrainingRecord(
        steps=position.step,
        tokens=position.tokens,
        seconds=round(position.seconds, 3),
        loss=mean_loss(position),
        workers=workers,
        device=outcome.device,
        trained_parameters=outcome.trained_parameters,
        parameters=outcome.parameters,
    )


def _samples(outcome: Outcome) -> list[Sample]:
    if outcome.base is None or outcome.tuned is None:
        return []
    answers = zip(outcome.samples, outcome.base.samples, outcome.tuned.samples, strict=True)
    return [
        Sample(prompt=question.shown, expected=question.expected, base=base.text, tuned=tuned.text)
        for question, base, tuned in answers
    ]


def _versions() -> dict[str, str]:
    packages = ("raysmith", "raysmith-workloads", "ray", "torch", "transformers", "peft")
    return {**{package: version(package) for package in packages}, "python": platform.python_version()}
