"""The whole of preparing: the object's data to a folder of shards, or one sentence on why not.

The folder's name is the digest of all that decides its content, so a second run over the same data finds it and is done.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Final, NamedTuple

from raysmith.api import LLMFineTune, layout
from raysmith.api.finetune import DataFormat, Dataset
from raysmith.api.record import Prepared
from raysmith.api.unbuilt import unbuilt_fields
from raysmith_workloads.errors import Refused
from raysmith_workloads.objects import keep_object, read_object
from raysmith_workloads.prepare import notes
from raysmith_workloads.prepare.collect import Collected, Collector
from raysmith_workloads.prepare.formats import source_format
from raysmith_workloads.prepare.plan import FilePlan, data_digest, plan_files
from raysmith_workloads.prepare.sources import source_files
from raysmith_workloads.prepare.stream import Part, Settings, sample_texts, stream
from raysmith_workloads.prepare.tokenizer import (
    TINY_SAMPLE,
    load_tokenizer,
    tokenizer_digest,
    tokenizer_folder,
    train_tokenizer,
    with_template,
)
from raysmith_workloads.report import Reporter, failure_recorded, write_record
from raysmith_workloads.storage import folder_made_whole, local_path, run_folder, storage_errors

VERSION: Final = 2
"""Part of every digest. Raised when equal data gives other shards than before."""


class Source(NamedTuple):
    """One source of rows, looked at but not read."""

    dataset: Dataset
    validation: bool
    format: DataFormat
    plans: list[FilePlan]
    notes: list[str]


def prepare(obj: LLMFineTune) -> Prepared:
    """Prepare the data of `obj`. Returns its manifest. Raises Refused, and says why in failure.json too."""
    run = run_folder(obj)
    attempt = run / layout.attempt_folder(obj.attempt)
    with failure_recorded(attempt, "PreparationFailed"):
        reporter = Reporter(attempt)
        reporter.stage("Preparing", "Looking at the data")
        keep_object(obj, run)
        prepared = _prepared(obj, reporter)
        with storage_errors(run):
            write_record(run / layout.PREPARED, prepared)
        reporter.say(f"The data is ready: {prepared.train.rows:,} training rows in {prepared.train.sequences:,} sequences")
    return prepared


def check(path: Path) -> dict[str, Any]:
    """Read and check every row, write nothing. The report, with faults; raises Refused where nothing can be read."""
    obj = read_object(path, LLMFineTune)
    sources = _sources(obj)
    collector = Collector(None, obj.spec.data.max_length, packing=False, questions=0)
    for table in stream(_parts(sources), Settings(obj.spec.objective, obj.spec.data.max_length, _fraction(obj), None)):
        collector.take(table)
    collected = collector.finish()
    if not collected.faults.counts:
        notes.check_enough(collected, obj.spec.data.validation, obj.spec.data.max_length, encoded=False)
    return {
        "rows": {"train": collected.train.rows, "validation": collected.validation.rows},
        "faults": [fault._asdict() for fault in collected.faults.first],
        "counts": dict(collected.faults.counts),
        "notes": _notes(sources, collected, obj),
        "error": collected.faults.refusal(collected.rows).message if collected.faults.counts else None,
    }


def _prepared(obj: LLMFineTune, reporter: Reporter) -> Prepared:
    """The manifest of the prepared data; from its folder if it has been made before."""
    sources = _sources(obj)
    tokenizer = tokenizer_folder(obj)
    data = data_digest(plan.digest for source in sources for plan in source.plans)
    digest = _digest(obj, sources, data, tokenizer_digest(tokenizer))
    folder = local_path(layout.prepared_folder(obj.spec.output.storage, digest))
    if not (folder / layout.MANIFEST).is_file():
        with folder_made_whole(folder) as made:
            template_notes = _save_tokenizer(obj, sources, tokenizer, made)
            collected = _write_shards(obj, sources, made, reporter)
            manifest = Prepared(
                digest=digest,
                data_digest=data,
                train=collected.train,
                validation=collected.validation,
                questions=len(collected.questions),
                max_length=obj.spec.data.max_length,
                notes=[*template_notes, *_notes(sources, collected, obj)],
            )
            write_record(made / layout.MANIFEST, manifest)
    return Prepared.model_validate_json((folder / layout.MANIFEST).read_bytes())


def _sources(obj: LLMFineTune) -> list[Source]:
    """Validation sources first, so that their rows are known when training rows come."""
    for field in unbuilt_fields(obj):
        raise Refused("NotBuilt", field.sentence)
    validation = obj.spec.data.validation
    held_back = (validation.datasets if validation else None) or []
    return [*(_source(obj, dataset, validation=True) for dataset in held_back), *(_source(obj, d) for d in obj.spec.data.train)]


def _source(obj: LLMFineTune, dataset: Dataset, *, validation: bool = False) -> Source:
    files, unread_files = source_files(dataset)
    plans = plan_files(files)
    form, unread_columns = source_format(dataset, plans[0].chunks[0], obj.spec.objective)
    return Source(dataset, validation, form, plans, list(notes.unread(dataset.name, unread_columns, unread_files)))


def _parts(sources: list[Source]) -> list[Part]:
    return [
        Part(chunk, source.format, source.validation) for source in sources for plan in source.plans for chunk in plan.chunks
    ]


def _fraction(obj: LLMFineTune) -> float:
    validation = obj.spec.data.validation
    return (validation and validation.fraction) or 0


def _digest(obj: LLMFineTune, sources: list[Source], data: str, tokenizer: str) -> str:
    """SHA-256 over the contents and everything else that decides the shards."""
    kinds = [[source.validation, source.format, [plan.chunks[0].kind for plan in source.plans]] for source in sources]
    decides = {
        "version": VERSION,
        "data": data,
        "kinds": kinds,
        "tokenizer": tokenizer,
        "objective": obj.spec.objective,
        "maxLength": obj.spec.data.max_length,
        "packing": obj.spec.data.packing,
        "fraction": _fraction(obj),
        "samples": obj.spec.evaluation.samples,
    }
    return f"sha256:{hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()}"


def _save_tokenizer(obj: LLMFineTune, sources: list[Source], folder: Path | None, made: Path) -> list[str]:
    """Save the tokenizer with its chat template; notes on what was added."""
    if folder is None:
        tokenizer = train_tokenizer(sample_texts(_parts(sources), _fraction(obj), TINY_SAMPLE))
        remarks: list[str] = []
    else:
        tokenizer, remarks = with_template(load_tokenizer(folder), obj.spec.objective)
    tokenizer.save_pretrained(made / layout.TOKENIZER)
    return remarks


def _write_shards(obj: LLMFineTune, sources: list[Source], made: Path, reporter: Reporter) -> Collected:
    data = obj.spec.data
    settings = Settings(obj.spec.objective, data.max_length, _fraction(obj), (made / layout.TOKENIZER).absolute())
    collector = Collector(made, data.max_length, packing=data.packing, questions=obj.spec.evaluation.samples)
    try:
        for table in stream(_parts(sources), settings):
            collector.take(table)
            reporter.say(f"{collector.rows:,} rows read")
        if collector.faults.counts:
            raise collector.faults.refusal(collector.rows)
        collected = collector.finish()
    finally:
        collector.abandon()
    notes.check_enough(collected, data.validation, data.max_length, encoded=True)
    if collected.questions:
        (made / layout.QUESTIONS).write_text("".join(f"{line}\n" for line in collected.questions), encoding="utf-8")
    return collected


def _notes(sources: list[Source], collected: Collected, obj: LLMFineTune) -> list[str]:
    return [*(note for source in sources for note in source.notes), *notes.notes(collected, obj.spec.data.max_length)]
