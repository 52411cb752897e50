"""Where everything of a run lies. Pure names; the only place where they are made.

<storage>/<namespace>/<name>-<uid8>/
    object.json                 the object, defaults filled in
    prepared.json               the manifest of the prepared data that the run used
    attempts/<n>/               everything that attempt n wrote, and nothing else writes there
        claim.json  progress.json  metrics.jsonl  base-evaluation.json  failure.json  stop
        checkpoints/step-<8 digits>/    exists once its commit.json exists
    model/ or adapter/          the artefact: safetensors, tokenizer, chat template
    metrics.jsonl  loss.png     the whole run's curve, over all attempts
    logs/                       what the processes printed
    run.json                    the record: a run that has it is complete
    report.html                 the record for people, with curve and answers; written last, and may be missing
<storage>/.prepared/<digest>/   prepared data: manifest.json, tokenizer/, {train,validation}-<5 digits>.arrow, questions.jsonl
"""

from pathlib import PurePosixPath

from raysmith.api.common import ObjectMeta

VOLUMES_VARIABLE = "RAYSMITH_VOLUMES"
"""Environment variable: the folder that holds one folder for each claim of a `pvc://` address."""

OBJECT = "object.json"
PREPARED = "prepared.json"
MANIFEST = "manifest.json"
QUESTIONS = "questions.jsonl"
TOKENIZER = "tokenizer"
CLAIM = "claim.json"
PROGRESS = "progress.json"
METRICS = "metrics.jsonl"
BASE_EVALUATION = "base-evaluation.json"
FAILURE = "failure.json"
STOP = "stop"
"""Made by whoever wants the attempt to make a checkpoint now and end."""
COMMIT = "commit.json"
RUN = "run.json"
LOSS_CURVE = "loss.png"
REPORT = "report.html"
MODEL = "model"
ADAPTER = "adapter"


def run_folder(storage: str, metadata: ObjectMeta) -> str:
    """URI of the run's folder. Raises ValueError for an object without a uid: two runs would share a folder."""
    if not metadata.uid:
        raise ValueError(f"LLMFineTune {metadata.name} has no uid yet")
    return f"{storage.rstrip('/')}/{metadata.namespace}/{metadata.name}-{metadata.uid[:8]}"


def prepared_folder(storage: str, digest: str) -> str:
    """URI of the folder of prepared data with this digest."""
    return f"{storage.rstrip('/')}/.prepared/{digest.removeprefix('sha256:')[:32]}"


def attempt_folder(number: int) -> PurePosixPath:
    """Folder of one attempt, below the run's folder."""
    return PurePosixPath("attempts") / str(number)


def checkpoint_folder(number: int, step: int) -> PurePosixPath:
    """Folder of the checkpoint that attempt `number` made after `step` optimiser steps."""
    return attempt_folder(number) / "checkpoints" / f"step-{step:08d}"
