"""The whole of preparing: the object's data to a folder of shards, or one sentence on why not.

The folder's name is the digest of all that decides its content, so a second run over the same data finds it and is done.
"""

import hashlib
import json
from pathlib import Path
from typing import Final

from raysmith.api import LLMFineTune, layout
from raysmith.api.record import Prepared
from raysmith_workloads.objects import keep_object
from raysmith_workloads.prepare import notes
from raysmith_workloads.prepare.collect import Collected, Collector
from raysmith_workloads.prepare.inputs import Source, all_notes, found_tokenizer, fraction, look_at, parts, save_tokenizer
from raysmith_workloads.prepare.plan import data_digest
from raysmith_workloads.prepare.stream import Settings, stream
from raysmith_workloads.prepare.tokenizer import tokenizer_digest
from raysmith_workloads.report import Reporter, failure_recorded, write_record
from raysmith_workloads.storage import folder_made_whole, local_path, run_folder, storage_errors

VERSION: Final = 2
"""Part of every digest. Raised when equal data gives other shards than before."""


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


def _prepared(obj: LLMFineTune, reporter: Reporter) -> Prepared:
    """The manifest of the prepared data; from its folder if it has been made before."""
    sources = look_at(obj)
    tokenizer = found_tokenizer(obj)
    data = data_digest(plan.digest for source in sources for plan in source.plans)
    digest = _digest(obj, sources, data, tokenizer_digest(tokenizer))
    folder = local_path(layout.prepared_folder(obj.spec.output.storage, digest))
    if not (folder / layout.MANIFEST).is_file():
        with folder_made_whole(folder) as made:
            template_notes = save_tokenizer(obj, sources, tokenizer, made)
            collected = _write_shards(obj, sources, made, reporter)
            manifest = Prepared(
                digest=digest,
                data_digest=data,
                train=collected.train,
                validation=collected.validation,
                questions=len(collected.questions),
                max_length=obj.spec.data.max_length,
                notes=[*template_notes, *all_notes(sources, collected, obj)],
            )
            write_record(made / layout.MANIFEST, manifest)
    return Prepared.model_validate_json((folder / layout.MANIFEST).read_bytes())


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
        "fraction": fraction(obj),
        "samples": obj.spec.evaluation.samples,
    }
    return f"sha256:{hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()}"


def _write_shards(obj: LLMFineTune, sources: list[Source], made: Path, reporter: Reporter) -> Collected:
    data = obj.spec.data
    settings = Settings(obj.spec.objective, data.max_length, fraction(obj), (made / layout.TOKENIZER).absolute())
    collector = Collector(made, data.max_length, packing=data.packing, questions=obj.spec.evaluation.samples)
    try:
        for table in stream(parts(sources), settings):
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
