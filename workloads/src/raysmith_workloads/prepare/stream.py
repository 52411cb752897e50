"""Chunks to tokens as one Ray Data stream: read, check and tokenise side by side, results in the order of the data.

Tasks never fail for what is in the data: a row that cannot be learned from travels as a fault, so that all are counted.
"""

import logging
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from raysmith.api.finetune import DataFormat, Objective
from raysmith_workloads.interrupts import interrupts_kept, raise_if_interrupted
from raysmith_workloads.prepare.encode import Encoded, encode
from raysmith_workloads.prepare.faults import Fault, RowFault
from raysmith_workloads.prepare.plan import Chunk
from raysmith_workloads.prepare.read import read_chunk
from raysmith_workloads.prepare.rows import Example, example, is_held_back
from raysmith_workloads.ray_start import init_ray

BATCH_ROWS: Final = 1000
"""Rows that are tokenised at once."""

SAMPLED_CHUNKS: Final = 64
"""Chunks that a sample of the run's text is taken from."""

SCHEMA: Final = pa.schema(
    [
        ("validation", pa.bool_()),
        ("hash", pa.uint64()),
        ("input_ids", pa.list_(pa.int32())),
        ("loss_mask", pa.list_(pa.bool_())),
        ("truncated", pa.bool_()),
        ("question", pa.string()),
        ("fault", pa.list_(pa.string())),
    ]
)
"""What the stream gives: `question` is set for validation rows that ask one, `fault` (place, kind, message) for bad rows."""


class Part(NamedTuple):
    """A chunk, and what is known about its source."""

    chunk: Chunk
    format: DataFormat
    validation: bool
    """Whether the whole source is for validation."""


class Settings(NamedTuple):
    """What every task needs to know."""

    objective: Objective
    max_length: int
    fraction: float
    """Share of the training rows to hold back."""
    tokenizer: Path | None
    """Folder that every node can read; None only checks the rows."""


def stream(parts: list[Part], settings: Settings) -> Iterator[pa.Table]:
    """Tables of SCHEMA, in the order of `parts`. Starts Ray, or joins the one that RAY_ADDRESS names."""
    import ray

    if not ray.is_initialized():
        with interrupts_kept():
            init_ray(log_to_driver=False, logging_level=logging.WARNING)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    items = [{"part": _to_item(part)} for part in parts]
    dataset = ray.data.from_items(items).map_batches(
        partial(_process, settings=settings), batch_size=1, batch_format="pyarrow", zero_copy_batch=True
    )
    for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        raise_if_interrupted()
        yield table


def _to_item(part: Part) -> list[str]:
    return [*map(str, part.chunk), part.format.value, "validation" if part.validation else "train"]


def _from_item(item: list[str]) -> Part:
    path, label, kind, first_line, start, length, form, side = item
    return Part(Chunk(path, label, kind, int(first_line), int(start), int(length)), DataFormat(form), side == "validation")


def _process(batch: pa.Table, settings: Settings) -> Iterator[pa.Table]:
    for item in batch.column("part").to_pylist():
        yield from process(_from_item(item), settings)


def process(part: Part, settings: Settings) -> Iterator[pa.Table]:
    """What one task does: the rows of one chunk, as tables of SCHEMA."""
    rows = _examples(part)
    while group := list(islice(rows, BATCH_ROWS)):
        yield pa.Table.from_pylist([*_encoded(group, part, settings)], schema=SCHEMA)


def sample_texts(parts: list[Part], fraction: float, characters: int) -> Iterator[str]:
    """About `characters` characters of what is trained on, from chunks all over the data. The same in every run."""
    sources = [part for part in parts if not part.validation]
    chosen = sources[:: max(1, len(sources) // SAMPLED_CHUNKS)]
    for part in chosen:
        left = characters // len(chosen)
        for item in _examples(part):
            if left <= 0:
                break
            if isinstance(item, Fault) or is_held_back(item[1].hash, fraction):
                continue
            for text in [item[1].text, *(message["content"] for message in item[1].messages)]:
                yield text[: max(left, 0)]
                left -= len(text)


def _examples(part: Part) -> Iterator[tuple[str, Example] | Fault]:
    """Place and content of every row that can be learned from; a Fault for the others."""
    for row in read_chunk(part.chunk):
        if isinstance(row, Fault):
            yield row
            continue
        place = f"{part.chunk.label}:{row.line}"
        try:
            yield place, example(row.values, part.format)
        except RowFault as fault:
            yield Fault(place, fault.kind, fault.message)


def _encoded(group: list[tuple[str, Example] | Fault], part: Part, settings: Settings) -> Iterator[dict[str, Any]]:
    good = [item for item in group if not isinstance(item, Fault)]
    encoded: Iterator[Encoded | RowFault] = iter([_NOTHING] * len(good))
    if settings.tokenizer is not None:
        encoded = encode(settings.tokenizer, settings.objective, settings.max_length, [item for _, item in good])
    for item in group:
        if isinstance(item, Fault):
            yield {"fault": list(item)}
            continue
        place, content = item
        tokens = next(encoded)
        if isinstance(tokens, RowFault):
            yield {"fault": [place, tokens.kind, tokens.message]}
        else:
            yield _record(content, tokens, part.validation or is_held_back(content.hash, settings.fraction))


_NOTHING: Final = Encoded(np.zeros(0, np.int32), np.zeros(0, np.bool_), truncated=False)


def _record(content: Example, tokens: Encoded, validation: bool) -> dict[str, Any]:
    asked = validation and content.messages and not tokens.truncated
    return {
        "validation": validation,
        "hash": content.hash,
        "input_ids": tokens.input_ids,
        "loss_mask": tokens.loss_mask,
        "truncated": tokens.truncated,
        "question": content.question if asked else None,
    }
