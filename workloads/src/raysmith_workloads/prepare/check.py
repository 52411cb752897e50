"""What preparing would refuse, all of it at once, and nothing is written: `prepare --check`."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from raysmith.api import LLMFineTune, layout
from raysmith.api.finetune import Objective
from raysmith_workloads.errors import Refused
from raysmith_workloads.prepare import notes
from raysmith_workloads.prepare.collect import Collected, Collector
from raysmith_workloads.prepare.inputs import Source, all_notes, found_tokenizer, fraction, look_at, parts, save_tokenizer
from raysmith_workloads.prepare.stream import Settings, stream


class Problem(NamedTuple):
    """Why the run would be refused."""

    field: str
    """The field to look at."""
    message: str


class Tokenizer(NamedTuple):
    """The model's tokenizer as far as it is at hand."""

    folder: Path | None
    """None where rows are only read."""
    notes: list[str]
    problems: list[Problem]


def check(obj: LLMFineTune) -> dict[str, Any]:
    """Read every row and try the model's chat template on it. The report; raises Refused where nothing can be read."""
    sources = look_at(obj)
    with TemporaryDirectory(prefix="raysmith-check-") as folder:
        tokenizer = _tokenizer(obj, sources, Path(folder))
        collected = _collected(obj, sources, tokenizer.folder)
    problems = [*tokenizer.problems, *_problems(obj, collected, encoded=tokenizer.folder is not None)]
    return {
        "rows": {"train": collected.train.rows, "validation": collected.validation.rows},
        "faults": [fault._asdict() for fault in collected.faults.first],
        "counts": dict(collected.faults.counts),
        "notes": [*tokenizer.notes, *all_notes(sources, collected, obj)],
        "problems": [problem._asdict() for problem in problems],
    }


def _tokenizer(obj: LLMFineTune, sources: list[Source], folder: Path) -> Tokenizer:
    """The tokenizer, saved below `folder`; or why it cannot be tried now; or why it never can be used."""
    model = obj.spec.model
    if model.fine_tune is not None and (obj.status is None or obj.status.model is None):
        return _untried(obj, f"LLMFineTune {model.fine_tune.name}, which the run goes on from, has no result here yet.")
    try:
        remarks = save_tokenizer(obj, sources, found_tokenizer(obj), folder)
    except Refused as refused:
        if refused.reason == "HubUnreachable":
            return _untried(obj, refused.message)
        field = "spec.data.maxLength" if refused.reason == "MaxLengthTooLong" else "spec.model"
        return Tokenizer(None, [], [Problem(field, refused.message)])
    return Tokenizer(folder / layout.TOKENIZER, remarks, [])


def _untried(obj: LLMFineTune, why: str) -> Tokenizer:
    what = "chat template" if obj.spec.objective is Objective.SFT else "tokenizer"
    return Tokenizer(None, [f"The rows were read, but the model's {what} was not tried on them: {why}"], [])


def _collected(obj: LLMFineTune, sources: list[Source], tokenizer: Path | None) -> Collected:
    data = obj.spec.data
    collector = Collector(None, data.max_length, packing=False, questions=0, encoded=tokenizer is not None)
    for table in stream(parts(sources), Settings(obj.spec.objective, data.max_length, fraction(obj), tokenizer)):
        collector.take(table)
    return collector.finish()


def _problems(obj: LLMFineTune, collected: Collected, *, encoded: bool) -> list[Problem]:
    try:
        if collected.faults.counts:
            raise collected.faults.refusal(collected.rows)
        notes.check_enough(collected, obj.spec.data.validation, obj.spec.data.max_length, encoded=encoded)
    except Refused as refused:
        return [Problem("spec.data", refused.message)]
    return []
