"""Examples to tokens and loss masks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from raysmith.api.finetune import Objective
from raysmith_workloads.prepare.conversation import Rendered, render
from raysmith_workloads.prepare.faults import RowFault
from raysmith_workloads.prepare.rows import Example
from raysmith_workloads.prepare.tokenizer import load_tokenizer


class Encoded(NamedTuple):
    """The tokens of one row."""

    input_ids: npt.NDArray[np.int32]
    """[T]; an answer has at most `max_length`, a text is cut into pieces later."""
    loss_mask: npt.NDArray[np.bool_]
    """[T] whether the loss is computed on predicting this token; never on the first, which nothing comes before."""
    truncated: bool
    """Whether tokens were cut at the end."""


def encode(
    tokenizer_folder: Path, objective: Objective, max_length: int, examples: list[Example]
) -> Iterator[Encoded | RowFault]:
    """The tokens of each example, or why its chat template cannot write it."""
    tokenizer = load_tokenizer(tokenizer_folder)
    if objective is Objective.PRETRAIN:
        return _encode_texts(tokenizer, [example.text for example in examples])
    return _encode_conversations(tokenizer, max_length, [example.messages for example in examples])


def _backend(tokenizer: Any) -> Any:
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()  # tokenizer.json may ask for both; rows are cut once, here, and never padded
    backend.no_padding()
    return backend


def _encode_texts(tokenizer: Any, texts: list[str]) -> Iterator[Encoded]:
    """All tokens and the end token are learned. A token that the tokenizer begins texts with stays there."""
    for encoding in _backend(tokenizer).encode_batch_fast(texts, add_special_tokens=True):
        ids = np.array(encoding.ids, np.int32)
        if len(ids) == 0 or ids[-1] != tokenizer.eos_token_id:
            ids = np.append(ids, np.int32(tokenizer.eos_token_id))
        yield _cut(ids, np.ones(len(ids), np.bool_), len(ids))


def _encode_conversations(tokenizer: Any, max_length: int, conversations: list[Any]) -> Iterator[Encoded | RowFault]:
    rendered = list(render(tokenizer, conversations))
    texts = [item.text for item in rendered if isinstance(item, Rendered)]
    encodings = iter(_backend(tokenizer).encode_batch(texts, add_special_tokens=False))
    for item in rendered:
        if isinstance(item, RowFault):
            yield item
            continue
        encoding = next(encodings)
        mask = _learned(np.array(encoding.offsets, np.int64).reshape(-1, 2), item.learned)
        yield _cut(np.array(encoding.ids, np.int32), mask, max_length)


def _learned(offsets: npt.NDArray[np.int64], spans: list[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    """[T] whether any character of a token, by its offsets [T, 2], lies in one of the spans."""
    mask = np.zeros(len(offsets), np.bool_)
    for start, end in spans:
        mask |= (offsets[:, 1] > start) & (offsets[:, 0] < end)
    return mask


def _cut(ids: npt.NDArray[np.int32], mask: npt.NDArray[np.bool_], max_length: int) -> Encoded:
    mask[:1] = False
    return Encoded(ids[:max_length], mask[:max_length], len(ids) > max_length)
