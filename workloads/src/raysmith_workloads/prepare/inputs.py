"""What a run learns from, looked at but not read: its sources with their formats, and the tokenizer of its model."""

from pathlib import Path
from typing import NamedTuple

from raysmith.api import LLMFineTune, layout
from raysmith.api.finetune import DataFormat, Dataset
from raysmith.api.unbuilt import unbuilt_fields
from raysmith_workloads.errors import Refused
from raysmith_workloads.model_config import check_length, read_config
from raysmith_workloads.prepare import notes
from raysmith_workloads.prepare.collect import Collected
from raysmith_workloads.prepare.formats import source_format
from raysmith_workloads.prepare.plan import FilePlan, plan_files
from raysmith_workloads.prepare.sources import source_files
from raysmith_workloads.prepare.stream import Part, sample_texts
from raysmith_workloads.prepare.tokenizer import TINY_SAMPLE, load_tokenizer, tokenizer_folder, train_tokenizer, with_template


class Source(NamedTuple):
    """One source of rows, looked at but not read."""

    dataset: Dataset
    validation: bool
    format: DataFormat
    plans: list[FilePlan]
    notes: list[str]


def look_at(obj: LLMFineTune) -> list[Source]:
    """The sources of `obj`. Validation sources first, so that their rows are known when training rows come. Raises Refused."""
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


def parts(sources: list[Source]) -> list[Part]:
    """What the stream reads, in order."""
    return [
        Part(chunk, source.format, source.validation) for source in sources for plan in source.plans for chunk in plan.chunks
    ]


def fraction(obj: LLMFineTune) -> float:
    """Share of the training rows to hold back."""
    validation = obj.spec.data.validation
    return (validation and validation.fraction) or 0


def found_tokenizer(obj: LLMFineTune) -> Path | None:
    """Folder of the model's tokenizer; None for the small one, which follows from the rows.

    Raises Refused, also if the model cannot read sequences as long as asked for: no worker needs to start to know that.
    """
    folder = tokenizer_folder(obj)
    if folder is not None and (folder / "config.json").is_file():
        check_length(read_config(folder), obj.spec.model.source or folder, obj.spec.data.max_length)
    return folder


def save_tokenizer(obj: LLMFineTune, sources: list[Source], folder: Path | None, made: Path) -> list[str]:
    """Save the tokenizer that `found_tokenizer` gave below `made`, with its chat template; notes on what was added."""
    if folder is None:
        texts = sample_texts(parts(sources), fraction(obj), TINY_SAMPLE)
        tokenizer, remarks = train_tokenizer(texts, obj.spec.data.max_length), list[str]()
    else:
        tokenizer, remarks = with_template(load_tokenizer(folder), obj.spec.objective)
    tokenizer.save_pretrained(made / layout.TOKENIZER)
    return remarks


def all_notes(sources: list[Source], collected: Collected, obj: LLMFineTune) -> list[str]:
    """What a person should know about the rows."""
    return [*(note for source in sources for note in source.notes), *notes.notes(collected, obj.spec.data.max_length)]
