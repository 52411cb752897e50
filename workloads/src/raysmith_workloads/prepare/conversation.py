"""A conversation to text by the model's chat template, and the parts of the text that are learned.

Learned are the answers with the token that ends them, so that the model learns to stop; never what others say. Where an
answer lies is found by rendering: the conversation up to the question, with the template's invitation to answer, must be
the beginning of the conversation with the answer, and that the beginning of the whole. It is checked for every answer.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from raysmith_workloads.prepare.faults import FaultKind, RowFault
from raysmith_workloads.prepare.rows import Message


class Rendered(NamedTuple):
    """A conversation as the model sees it."""

    text: str
    """Ends with the last answer's stop token; what the template writes after that teaches nothing."""
    learned: list[tuple[int, int]]
    """Spans of `text` that the loss is computed on, in characters, in order."""


class _Turn(NamedTuple):
    question: list[Message]
    answered: list[Message]


def render(tokenizer: Any, conversations: list[list[Message]]) -> Iterator[Rendered | RowFault]:
    """Each conversation as text with its learned spans, or why the template cannot write it."""
    turns = [_turns(messages) for messages in conversations]
    flat = [turn for conversation in turns for turn in conversation]
    try:
        texts = iter(list(_render_turns(tokenizer, flat)))
    except Exception as error:
        yield from _one_by_one(tokenizer, conversations, error)
        return
    for conversation in turns:
        yield _assemble(tokenizer.eos_token, [(*next(texts), turn.answered[-1]["content"]) for turn in conversation])


def _turns(messages: list[Message]) -> list[_Turn]:
    return [
        _Turn(messages[:place], messages[: place + 1])
        for place, message in enumerate(messages)
        if message["role"] == "assistant"
    ]


def _render_turns(tokenizer: Any, turns: list[_Turn]) -> Iterator[tuple[str, str]]:
    questions = tokenizer.apply_chat_template([turn.question for turn in turns], tokenize=False, add_generation_prompt=True)
    answered = tokenizer.apply_chat_template([turn.answered for turn in turns], tokenize=False)
    return zip(questions, answered, strict=True)


def _one_by_one(tokenizer: Any, conversations: list[list[Message]], error: Exception) -> Iterator[Rendered | RowFault]:
    if len(conversations) == 1:
        yield RowFault(FaultKind.TEMPLATE, f"the model's chat template cannot write this conversation ({_says(error)})")
        return
    for messages in conversations:
        yield from render(tokenizer, [messages])


def _says(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__


def _assemble(eos: str, turns: list[tuple[str, str, str]]) -> Rendered | RowFault:
    """Join the turns (text up to the question, text with the answer, the answer) of one conversation."""
    learned = []
    whole = turns[-1][1]
    for question, answered, content in turns:
        if not (answered.startswith(question) and whole.startswith(answered)):
            return RowFault(
                FaultKind.TEMPLATE, "the model's chat template writes earlier turns in another way once an answer follows"
            )
        written = answered[len(question) :]
        if not written.strip():
            return RowFault(FaultKind.TEMPLATE, "the model's chat template leaves the answer out")
        learned.append((len(question), len(question) + _learned_length(written, content, eos)))
    start, end = learned[-1]
    text = whole[:end]
    if not text.endswith(eos):
        text += eos
    return Rendered(text, [*learned[:-1], (start, len(text))])


def _learned_length(written: str, content: str, eos: str) -> int:
    """How much of `written` (the answer as the template writes it) is learned: up to its stop token, without what follows."""
    found = written.find(content)
    content_end = found + len(content) if found >= 0 else 0
    stop = written.find(eos, content_end)
    return stop + len(eos) if stop >= 0 else max(content_end, len(written.rstrip()))
