"""The driver: claim the attempt, start the workers, make the record."""

import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from raysmith.api import LLMFineTune, layout
from raysmith.api.common import Artifact, to_wire
from raysmith.api.record import Claim, Prepared, RunRecord
from raysmith.api.unbuilt import unbuilt_fields
from raysmith_workloads.errors import Refused
from raysmith_workloads.finetune import attempts
from raysmith_workloads.finetune.digest import folder_digest, weights_digest
from raysmith_workloads.finetune.fit import fit, is_training
from raysmith_workloads.finetune.start import Start, resolve
from raysmith_workloads.finetune.workers import Allotment, WorkerSettings, allot
from raysmith_workloads.interrupts import interrupts_kept
from raysmith_workloads.objects import keep_object
from raysmith_workloads.ray_start import init_ray
from raysmith_workloads.report import Reporter, failure_recorded, write_record
from raysmith_workloads.storage import local_path, run_folder, storage_errors

log = logging.getLogger(__name__)


RAY_TRAIN = "ray-train"
"""Folder below the attempt's that Ray Train asks for; our checkpoints do not lie there."""


WORKER_ENVIRONMENT = {"GOMP_SPINCOUNT": "1000"}
"""Threads that wait for one another give the core away almost at once. By default they hold on to it for milliseconds, which
makes small models several times slower as soon as anything else runs on the machine, and no faster when nothing does."""


def run(obj: LLMFineTune) -> None:
    """Train, evaluate, and leave artefact and record. Raises Refused for what cannot work; a finished run returns at once."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
    folder = run_folder(obj)
    if (folder / layout.RUN).exists():
        log.info("%s is finished already; its record is %s.", obj.metadata.name, folder / layout.RUN)
        return
    _check(obj)
    claim = attempts.claim(folder, obj.status.attempt if obj.status else None)
    attempt = folder / layout.attempt_folder(claim.number)
    with failure_recorded(attempt, "TrainingFailed"):
        reporter = Reporter(attempt)
        reporter.stage("Loading")
        keep_object(obj, folder)
        prepared, shards = _read_prepared(obj, folder)
        start = resolve(obj, shards / layout.TOKENIZER, obj.spec.data.max_length)
        outcome, workers = _train(obj, folder, shards, claim, start)
        reporter = Reporter(attempt)  # goes on from what the first worker has counted
        reporter.stage("Saving", "Writing the record.")
        _finish(obj, folder, claim, prepared, start, outcome, workers)
        reporter.stage("Done")


def leave_ray(code: int) -> None:
    """Leave Ray, if it was joined. The last thing that this process does, before it ends with exit code `code`.

    A run that is stopped may leave its training thread at work in Ray, which would end the process then, with another code.
    """
    if "ray" not in sys.modules:
        return
    if is_training():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # Ray's own processes, if this one has started them, end with it
    import ray

    ray.shutdown()


def _check(obj: LLMFineTune) -> None:
    for unbuilt in unbuilt_fields(obj):
        raise Refused("NotBuilt", unbuilt.sentence)
    if obj.spec.suspend:
        raise Refused("Suspended", f"{obj.metadata.name} is suspended; set spec.suspend to false to start it.")


def _read_prepared(obj: LLMFineTune, folder: Path) -> tuple[Prepared, Path]:
    path = folder / layout.PREPARED
    try:
        prepared = Prepared.model_validate_json(path.read_bytes())
    except OSError as error:
        raise Refused(
            "NotPrepared", f"{path} is missing; run `python -m raysmith_workloads.prepare` with the same object first."
        ) from error
    shards = local_path(layout.prepared_folder(obj.spec.output.storage, prepared.digest)).absolute()
    if not (shards / layout.MANIFEST).exists():
        raise Refused("NotPrepared", f"The prepared data {shards} is gone; prepare it again with the same object.")
    if prepared.train.sequences == 0:
        raise Refused("DataRefused", f"The prepared data {shards} has no training sequences; there is nothing to learn.")
    return prepared, shards


def _train(obj: LLMFineTune, folder: Path, shards: Path, claim: Claim, start: Start) -> tuple[Any, int]:
    """Run the workers to their end. Returns the first one's outcome and how many there were."""
    import ray

    with interrupts_kept():
        init_ray(logging_level="WARNING", **({} if os.environ.get("RAY_ADDRESS") else {"include_dashboard": False}))
    one_machine = len(ray.nodes()) == 1
    _quicken(one_machine=one_machine)
    attempt = folder / layout.attempt_folder(claim.number)
    try:
        allotment = allot(obj.spec.workers, ray.cluster_resources())
        if allotment.note:
            log.info(allotment.note)
        settings = WorkerSettings(
            object=obj.model_dump_json(by_alias=True, exclude_none=True),
            run=str(folder),
            prepared=str(shards),
            attempt=claim.number,
            cpus=allotment.cpus,
            model=str(start.folder.absolute()) if start.folder else None,
            adapter=str(start.adapter.absolute()) if start.adapter else None,
            message=allotment.note,
        )
        trainer = _trainer(obj, attempt, allotment, settings, one_machine=one_machine)
        outcome = fit(trainer, attempt, obj.spec.active_deadline_seconds)
        ray.shutdown()
        return outcome, allotment.replicas
    finally:
        shutil.rmtree(attempt / RAY_TRAIN, ignore_errors=True)


def _quicken(*, one_machine: bool) -> None:
    """Ray Train's controller looks after its workers every two seconds; the end of a short run would wait for that.

    On one machine there is nobody to hear of a pre-emption before it comes, so the watcher need not start.
    """
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
    if one_machine:
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")


def _trainer(obj: LLMFineTune, attempt: Path, allotment: Allotment, settings: WorkerSettings, *, one_machine: bool) -> Any:
    from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    from raysmith_workloads.finetune import worker
    from raysmith_workloads.finetune.one_machine import OneMachineTrainer

    return (OneMachineTrainer if one_machine else TorchTrainer)(
        worker.train,
        train_loop_config=to_wire(settings),
        torch_config=TorchConfig(backend="nccl" if allotment.gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=allotment.replicas,
            use_gpu=allotment.gpu,
            resources_per_worker={"CPU": allotment.cpus, **({"GPU": 1} if allotment.gpu else {})},
            accelerator_type=allotment.accelerator,
        ),
        run_config=RunConfig(
            name=RAY_TRAIN,
            storage_path=str(attempt),
            failure_config=FailureConfig(max_failures=obj.spec.fault_tolerance.worker_failures),
            logging_config=LoggingConfig(log_level="ERROR" if one_machine else "INFO"),
            worker_runtime_env={"env_vars": WORKER_ENVIRONMENT},
        ),
    )


def _finish(obj: LLMFineTune, folder: Path, claim: Claim, prepared: Prepared, start: Start, outcome: Any, workers: int) -> None:
    """Put artefact, curve, record and report in place. Raises Refused if a newer attempt has taken over."""
    from raysmith_workloads.finetune.curve import read_curve, write_curve
    from raysmith_workloads.finetune.page import write_page
    from raysmith_workloads.finetune.plot import draw_curve
    from raysmith_workloads.finetune.record import run_record

    base_digest = weights_digest(start.folder) if start.folder else outcome.base_digest
    kind = layout.MODEL if obj.spec.method.full else layout.ADAPTER
    with storage_errors(folder):
        artifact = Artifact(uri=_uri(obj, kind), digest=_place(folder, claim, kind))
        points = read_curve(folder)
        write_curve(folder, points)
        record = run_record(obj, folder, prepared, outcome, base_digest, artifact, workers)
        draw_curve(folder / layout.LOSS_CURVE, points, obj.metadata.name, record.base_metrics, record.tuned_metrics)
        write_record(folder / layout.RUN, record)
    write_page(folder, record, points)
    _tell(record)


def _uri(obj: LLMFineTune, kind: str) -> str:
    return f"{layout.run_folder(obj.spec.output.storage, obj.metadata)}/{kind}"


def _place(folder: Path, claim: Claim, kind: str) -> str:
    """Move the artefact to its place in the run's folder. Returns its digest."""
    newest = attempts.newest_claim(folder)
    if newest > claim.number:
        raise Refused("Superseded", f"Attempt {newest} has taken over; the result of attempt {claim.number} is not used.")
    made = folder / layout.attempt_folder(claim.number) / "artifact"
    place = folder / kind
    shutil.rmtree(place, ignore_errors=True)  # without a record it is the rest of an attempt that ended too early
    made.rename(place)
    return folder_digest(place)


def _tell(record: RunRecord) -> None:
    for name in ("validation_loss", "perplexity", "exact_match", "stop_rate"):
        before, after = getattr(record.base_metrics, name), getattr(record.tuned_metrics, name)
        if after is not None:
            log.info("%s: %s before, %.4g after", name.replace("_", " "), "-" if before is None else f"{before:.4g}", after)
    log.info(record.message)
