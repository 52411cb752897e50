"""The record of a run, as it lies beside the artefact: what went in, what was done, what came out.

Workloads write it, the command line and the operator read it, and it outlives both the object and the cluster.
`layout.py` says where each file lies.
"""

from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from raysmith.api.common import Artifact, Metrics
from raysmith.api.finetune import Gate
from raysmith.api.schema import Model


class Claim(Model):
    """`attempts/<n>/claim.json`: this attempt exists and owns everything that is written from now on."""

    number: int
    """Number of the attempt, from 1."""
    start_time: AwareDatetime
    """When it started."""


class Failure(Model):
    """`attempts/<n>/failure.json`: why this attempt ended without a result."""

    reason: str
    """A stable word in CamelCase: `DataRefused`, `ModelNotFound`, `StorageFull`, `Interrupted`, `TrainingFailed`, ..."""
    message: str
    """A sentence to a person: what happened, where, and what to do next."""
    retryable: bool = True
    """Whether another attempt may go better. Refused data is never tried again."""
    time: AwareDatetime
    """When it ended."""


class DataSplit(Model):
    """Counts of one side of the data."""

    rows: int = 0
    """Rows read."""
    sequences: int = 0
    """Sequences after packing; what global sample indices count."""
    tokens: int = 0
    """Tokens, padding not counted."""
    supervised_tokens: int = 0
    """Tokens that the loss is computed on."""
    truncated_rows: int = 0
    """Rows that were longer than `data.maxLength` and were cut."""
    duplicate_rows: int = 0
    """Rows that stood there before, word for word."""


class Prepared(Model):
    """`manifest.json` of a prepared data set: checked, tokenised, packed. Content-addressed by `digest`."""

    digest: str
    """SHA-256 over the sources' contents, the tokenizer and the settings: equal digests, equal shards."""
    data_digest: str
    """SHA-256 over the sources' contents alone."""
    train: DataSplit
    """Training side."""
    validation: DataSplit
    """Side that is measured on; empty without validation rows."""
    questions: int = 0
    """Questions with an expected answer in `questions.jsonl`, for `ExactMatch` and `StopRate`."""
    max_length: int
    """Most tokens in a sequence."""
    notes: list[str] = Field(default_factory=list)
    """Sentences to a person: what was cut, found twice or assumed."""


class GateVerdict(Model):
    """One condition of the gate and what became of it."""

    gate: Gate
    """The condition as it was asked for."""
    value: float | None
    """The tuned model's value."""
    base_value: float | None = None
    """The base model's value."""
    passed: bool
    """Whether it holds."""
    message: str
    """The same as a sentence to a person, with the numbers."""


class Sample(Model):
    """One question and both answers."""

    prompt: str
    """The last question of the conversation."""
    expected: str | None = None
    """The right answer, where the data has one."""
    base: str
    """The base model's answer."""
    tuned: str
    """The tuned model's answer."""


class BaseRecord(Model):
    """What training started from."""

    source: str | None = None
    """`spec.model.source`."""
    artifact: Artifact | None = None
    """What `spec.model.fineTune` resolved to."""
    digest: str
    """SHA-256 over the weights that training started from; for `builtin://` over the new weights."""


class TrainingRecord(Model):
    """What was done."""

    steps: int
    """Optimiser steps."""
    tokens: int
    """Tokens learned from, padding not counted."""
    seconds: float
    """Seconds in the training loop, over all attempts that led to the result."""
    loss: float
    """Training loss over the last steps."""
    workers: int
    """Workers of the last attempt."""
    device: str
    """`cpu`, or the accelerator's name."""
    trained_parameters: int
    """Numbers that were trained."""
    parameters: int
    """Numbers in the model."""


class AttemptRecord(Model):
    """One attempt that led to the result."""

    number: int
    """Counts from 1."""
    start_time: AwareDatetime
    """When it started."""
    resumed_from_step: int = 0
    """Step of the checkpoint that it went on from; 0 for a start."""
    failure: Failure | None = None
    """Why it ended without a result."""


class RunRecord(Model):
    """`run.json`: written at once, and after all that it speaks of, so that it exists only for a run that is complete."""

    name: str
    """Name of the LLMFineTune."""
    namespace: str
    """Its namespace."""
    uid: str
    """Its uid."""
    spec: dict[str, Any]
    """Its spec, defaults filled in."""
    base: BaseRecord
    """What training started from."""
    data: Prepared
    """What it learned from."""
    training: TrainingRecord
    """What was done."""
    base_metrics: Metrics
    """The base model's evaluation."""
    tuned_metrics: Metrics
    """The tuned model's evaluation."""
    gate: list[GateVerdict]
    """The gate's conditions and what became of them."""
    promoted: Annotated[bool, Field()]
    """Whether every condition holds. Only promoted artefacts are served by reference."""
    message: str
    """Why, as a sentence to a person."""
    samples: list[Sample]
    """Questions and both answers."""
    artifact: Artifact
    """The stored model."""
    artifact_kind: Annotated[str, Field(pattern="^(model|adapter)$")]
    """`model` for all weights, `adapter` for a LoRA adapter."""
    attempts: list[AttemptRecord]
    """How often it was tried."""
    versions: dict[str, str]
    """Versions of what did the work: raysmith, ray, torch, transformers, peft, python."""
    start_time: AwareDatetime
    """When the first attempt started."""
    end_time: AwareDatetime
    """When the record was written."""
