"""What each worker does, from loading the model to saving the result. Runs inside Ray Train, once for each worker.

A refusal is a result, not an exception: Ray Train would start the workers again, and they would refuse again.
"""

import logging
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from raysmith.api import LLMFineTune, layout
from raysmith.api.finetune import LLMFineTuneSpec, Precision
from raysmith_workloads.errors import Refused
from raysmith_workloads.finetune import attention, checkpoint, evaluate, loop, model
from raysmith_workloads.finetune.attempts import attempt_numbers
from raysmith_workloads.finetune.checkpoint import Commit, Position
from raysmith_workloads.finetune.curve import CurveWriter
from raysmith_workloads.finetune.data import plan
from raysmith_workloads.finetune.interval import Interval
from raysmith_workloads.finetune.loss import SummedLoss, learns_flat
from raysmith_workloads.finetune.memory import room
from raysmith_workloads.finetune.start import Start, resolve, stored_dtype
from raysmith_workloads.finetune.workers import WorkerSettings, threads
from raysmith_workloads.finetune.world import World
from raysmith_workloads.kept_output import output_kept
from raysmith_workloads.prepare.shards import ShardReader
from raysmith_workloads.report import LOGS, Reporter, write_record
from raysmith_workloads.storage import storage_errors

log = logging.getLogger(__name__)

Item = TypeVar("Item")

START = Position()
ARTIFACT = "artifact"
"""Folder below the attempt's, where the result is put together."""


@dataclass(frozen=True)
class Outcome:
    """What the first worker tells the driver."""

    interrupted: bool = False
    """Whether it made a checkpoint and ended because somebody asked for that."""
    refused: tuple[str, str, bool] | None = None
    """Reason, message and whether to try again, of a run that cannot work."""
    base: evaluate.Report | None = None
    """The base model's evaluation."""
    tuned: evaluate.Report | None = None
    """The tuned model's evaluation."""
    samples: tuple[evaluate.Question, ...] = ()
    """The questions whose answers people see."""
    position: Position = START
    """Where training ended."""
    trained_parameters: int = 0
    """Numbers that were trained."""
    parameters: int = 0
    """Numbers in the model."""
    base_digest: str | None = None
    """SHA-256 over new weights; None for weights from a folder."""
    device: str = "cpu"
    """`cpu`, or the accelerator's name."""


class Stopped(Exception):  # noqa: N818 - it is what happened, not what went wrong
    """Somebody asked the attempt to end, and there is a checkpoint to go on from."""


class Job(NamedTuple):
    """What does not change from here on."""

    spec: LLMFineTuneSpec
    run: Path
    prepared: Path
    attempt: int
    start: Start
    world: World
    reporter: Reporter


def train(settings: dict[str, Any]) -> Outcome:
    """The whole work of one worker. Every worker returns, but only the first one's outcome is read."""
    given = WorkerSettings.model_validate(settings)
    world = World.of_ray_train()
    with output_kept(Path(given.run) / LOGS / f"{given.attempt}-worker-{world.rank}.log"):
        return _work(given, world)


def _work(given: WorkerSettings, world: World) -> Outcome:
    _set_up(given, world)
    run = Path(given.run)
    reporter = Reporter(run / layout.attempt_folder(given.attempt) if world.first else None)
    reporter.stage("Loading", given.message)
    obj, prepared = LLMFineTune.model_validate_json(given.object), Path(given.prepared)
    try:
        start = _start(obj, given, prepared)
        return _train(Job(obj.spec, run, prepared, given.attempt, start, world, reporter))
    except Stopped:
        return Outcome(interrupted=True)
    except Refused as refused:
        return Outcome(refused=(refused.reason, refused.message, refused.retryable))


def _start(obj: LLMFineTune, given: WorkerSettings, prepared: Path) -> Start:
    """The folders that the driver found. A download from the hub is not on this machine yet, if the driver ran on another."""
    start = Start(Path(given.model) if given.model else None, Path(given.adapter) if given.adapter else None)
    if all(folder.is_dir() for folder in start if folder is not None):
        return start
    return resolve(obj, prepared / layout.TOKENIZER, obj.spec.data.max_length)


def _set_up(given: WorkerSettings, world: World) -> None:
    import ray.train
    from transformers.utils.logging import disable_progress_bar

    level = logging.INFO if world.first else logging.WARNING
    logging.basicConfig(stream=sys.stdout, level=level, format="%(message)s", force=True)
    disable_progress_bar()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    here = ray.train.get_context().get_local_world_size()
    torch.set_num_threads(threads(given.cpus, len(os.sched_getaffinity(0)), here))
    attention.register()


def _train(job: Job) -> Outcome:
    from transformers import AutoTokenizer

    spec, world = job.spec, job.world
    precision = _autocast(spec.training.precision, world.device)
    tokenizer = AutoTokenizer.from_pretrained(job.prepared / layout.TOKENIZER, local_files_only=True)
    weights = model.build(
        job.start,
        spec.method,
        tokenizer,
        max_length=spec.data.max_length,
        seed=spec.training.seed,
        dtype=precision or torch.float32,
    ).to(world.device)
    new_weights = model.weights_digest(weights) if job.start.folder is None and world.first else None
    loss = SummedLoss(weights)
    with loop.autocast(precision, world.device):
        flat = learns_flat(loss, len(tokenizer), spec.data.max_length)
    trained = sum(parameter.numel() for parameter in model.trained_parameters(weights).values())
    fits = room(weights, world.device, trained=trained, max_length=spec.data.max_length)
    if fits.recompute:
        weights.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    shards = ShardReader(job.prepared, "train")
    task = loop.Task(spec.training, plan(spec.training, len(shards)), shards, flat, fits.tokens, precision)
    stop_tokens = evaluate.stop_tokens_of(weights, tokenizer)
    exam = evaluate.read_exam(job.prepared, spec.evaluation, spec.objective, tokenizer, stop_tokens)

    def sit_exam() -> evaluate.Report:
        with loop.autocast(precision, world.device):
            return evaluate.evaluate(loss, exam, tokenizer, world, flat=flat, tokens_at_once=task.tokens_at_once)

    base = _base_report(job, sit_exam)
    position = _learn(job, loss, task)
    job.reporter.stage("EvaluatingTuned")
    if spec.method.full is not None:
        weights.to(getattr(torch, stored_dtype(job.start)))  # what is measured is what is saved
    tuned = sit_exam()
    job.reporter.stage("Saving")
    _together(world, lambda: _save(job, weights, tokenizer, stop_tokens))
    return Outcome(
        base=base,
        tuned=tuned,
        samples=tuple(exam.samples),
        position=position,
        trained_parameters=trained,
        parameters=model.parameter_count(weights),
        base_digest=new_weights,
        device=torch.cuda.get_device_name(world.device) if world.device.type == "cuda" else world.device.type,
    )


def _autocast(precision: Precision, device: torch.device) -> torch.dtype | None:
    """Weights that are trained stay in float32 whatever this says."""
    capable = device.type == "cuda" and torch.cuda.is_bf16_supported()
    wanted = precision is Precision.BF16 or (precision is Precision.AUTO and capable)
    return torch.bfloat16 if wanted else None


def _base_report(job: Job, sit_exam: Callable[[], evaluate.Report]) -> evaluate.Report:
    """The base model's evaluation: made by the first attempt that comes so far, read by all later ones."""
    # All workers take the first one's word, should the storage show them different files.
    made, *_ = job.world.gather(_read_base_report(job.run) if job.world.first else None)
    if made is not None:
        return made
    job.reporter.stage("EvaluatingBase")
    report = sit_exam()
    path = job.run / layout.attempt_folder(job.attempt) / layout.BASE_EVALUATION

    def write() -> None:
        if job.world.first:
            with storage_errors(path):
                write_record(path, report)

    _together(job.world, write)
    return report


def _read_base_report(run: Path) -> evaluate.Report | None:
    paths = (run / layout.attempt_folder(number) / layout.BASE_EVALUATION for number in attempt_numbers(run))
    path = next((path for path in paths if path.exists()), None)
    return evaluate.Report.model_validate_json(path.read_bytes()) if path else None


def _learn(job: Job, loss: SummedLoss, task: loop.Task) -> Position:
    parameters = model.trained_parameters(loss.model)
    optimizer = loop.make_optimizer(parameters, task.training)
    torch.manual_seed(task.training.seed + job.world.rank)
    position = _resume(job, parameters, optimizer)
    curve = CurveWriter(job.run / layout.attempt_folder(job.attempt)) if job.world.first else None
    job.reporter.stage("Training")
    interval = Interval(job.spec.checkpoints, position.step)
    stop = job.run / layout.attempt_folder(job.attempt) / layout.STOP

    def save(position: Position) -> None:
        _checkpoint(job, position, parameters, optimizer)
        interval.saved(position.step)
        if any(job.world.gather(job.world.first and stop.exists())):
            job.reporter.say(f"Asked to end; the checkpoint after step {position.step} is what the next attempt goes on from.")
            raise Stopped

    def due(position: Position) -> bool:
        return stop.exists() or interval.over(position.step)

    watcher = loop.Watcher(job.reporter, curve, due, save)
    return loop.train(loss, optimizer, task, position, job.world, watcher)


def _resume(job: Job, parameters: dict[str, torch.nn.Parameter], optimizer: torch.optim.AdamW) -> Position:
    """Put the newest whole checkpoint's state into weights, optimiser and random generators."""

    def say(sentence: str) -> None:
        log.warning(sentence)
        job.reporter.say(sentence)

    # All workers take the first one's choice, should the storage show them different files.
    found, *_ = job.world.gather(checkpoint.find(job.run, job.attempt, say) if job.world.first else None)
    if found is None:
        return Position()
    state = checkpoint.read_tensors(found, checkpoint.OPTIMIZER)
    with torch.no_grad():
        for name, tensor in checkpoint.read_tensors(found, checkpoint.MODEL).items():
            parameters[name].copy_(tensor)
    for name, parameter in parameters.items():
        optimizer.state[parameter] = {
            key: state[f"{name}.{key}"].to(parameter.device) for key in ("step", "exp_avg", "exp_avg_sq")
        }
    if job.world.rank < found.commit.world_size:
        _set_random_state(checkpoint.read_tensors(found, checkpoint.random_file(job.world.rank)), job.world.device)
    position = found.commit.position
    log.info("Going on from the checkpoint of step %d, made by attempt %d.", position.step, found.commit.attempt)
    return position


def _checkpoint(job: Job, position: Position, parameters: dict[str, torch.nn.Parameter], optimizer: torch.optim.AdamW) -> None:
    """All workers write their part; the first one makes it count."""
    folder = job.run / layout.checkpoint_folder(job.attempt, position.step)

    def write() -> dict[str, str]:
        name = checkpoint.random_file(job.world.rank)
        files = {name: checkpoint.write_tensors(folder, name, _random_state(job.world.device))}
        if job.world.first:
            files[checkpoint.MODEL] = checkpoint.write_tensors(folder, checkpoint.MODEL, parameters)
            files[checkpoint.OPTIMIZER] = checkpoint.write_tensors(
                folder, checkpoint.OPTIMIZER, _moments(parameters, optimizer)
            )
        return files

    def commit() -> None:
        if job.world.first:
            checkpoint.commit(job.run, folder, Commit(job.attempt, job.world.size, position, files))
            checkpoint.keep_newest(job.run, job.attempt, job.spec.checkpoints.keep)

    try:
        _together(job.world, lambda: checkpoint.make_folder(folder) if job.world.first else None)
        files = {name: digest for part in _together(job.world, write) for name, digest in part.items()}
        _together(job.world, commit)
    except Refused:
        if job.world.first:
            shutil.rmtree(folder, ignore_errors=True)  # what a full storage needs least is half a checkpoint
        raise


def _moments(parameters: dict[str, torch.nn.Parameter], optimizer: torch.optim.AdamW) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value for name, parameter in parameters.items() for key, value in optimizer.state[parameter].items()
    }


def _random_state(device: torch.device) -> dict[str, torch.Tensor]:
    cuda = {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {"cpu": torch.get_rng_state(), **cuda}


def _set_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def _save(job: Job, weights: Any, tokenizer: Any, stop_tokens: list[int]) -> None:
    if job.world.first:
        model.save(weights, tokenizer, stop_tokens, job.run / layout.attempt_folder(job.attempt) / ARTIFACT)


def _together(world: World, work: Callable[[], Item]) -> list[Item]:
    """Do `work` on every worker. If one is refused, all are: nobody waits for a worker that has given up."""
    refusal: tuple[str, str, bool] | None = None
    done: list[Item] = []
    try:
        done = [work()]
    except Refused as refused:
        refusal = (refused.reason, refused.message, refused.retryable)
    everywhere = world.gather((done, refusal))
    for _, reason in everywhere:
        if reason is not None:
            raise Refused(reason[0], reason[1], retryable=reason[2])
    return [item for part, _ in everywhere for item in part]
