"""What a model can do: loss on the validation sequences, and answers to the questions of the validation rows.

The work is dealt out to all workers. Answers are greedy, so that a model always gives the same ones.
"""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from raysmith.api import layout
from raysmith.api.common import Metrics
from raysmith.api.finetune import Evaluation, Objective
from raysmith.api.schema import Model
from raysmith_workloads.finetune.data import collate, micro_batches
from raysmith_workloads.finetune.loss import SummedLoss
from raysmith_workloads.finetune.world import World
from raysmith_workloads.prepare.shards import ShardReader

QUESTIONS_AT_ONCE = 64
SAMPLES = 5
"""Questions shown with both answers if the object names none."""


class Question(NamedTuple):
    """Something to answer."""

    shown: str
    """The last question of the conversation, for people."""
    text: str
    """All that the model gets, with the chat template applied."""
    expected: str | None
    """The right answer, where there is one."""


class Answer(Model):
    """What the model answered."""

    text: str
    """The answer, without special tokens and blanks around it."""
    stopped: bool
    """Whether it ended by itself."""


class Report(Model):
    """`base-evaluation.json`: one evaluation, and the answers of the samples in their order."""

    metrics: Metrics
    """The numbers."""
    samples: list[Answer]
    """Answers to the sample questions."""


class Exam(NamedTuple):
    """What there is to measure on. The same for the base and the tuned model."""

    validation: ShardReader
    """Sequences for the loss."""
    questions: list[Question]
    """Questions that are scored."""
    samples: list[Question]
    """Questions whose answers people see."""
    stop_tokens: list[int]
    """Tokens that end an answer."""
    max_new_tokens: int
    """Longest answer."""


def read_exam(prepared: Path, settings: Evaluation, objective: Objective, tokenizer: Any, stop_tokens: list[int]) -> Exam:
    """The exam of the prepared data in the folder `prepared`."""
    path = prepared / layout.QUESTIONS
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    questions = [_chat_question(row["messages"], row["expected"], tokenizer) for row in rows[: settings.samples]]
    if objective is Objective.PRETRAIN:
        samples = [Question(prompt, prompt, None) for prompt in settings.prompts]
    elif settings.prompts:
        samples = [_chat_question([{"role": "user", "content": prompt}], None, tokenizer) for prompt in settings.prompts]
    else:
        samples = questions[:SAMPLES]
    return Exam(ShardReader(prepared, "validation"), questions, samples, stop_tokens, settings.max_new_tokens)


def evaluate(loss: SummedLoss, exam: Exam, tokenizer: Any, world: World, *, flat: bool, tokens_at_once: int) -> Report:
    """Sit the exam. Every worker must call it; every worker gets the whole report."""
    loss.eval()
    nats = validation_loss(loss, exam.validation, world, flat=flat, tokens_at_once=tokens_at_once)
    asked = list(dict.fromkeys([*exam.questions, *exam.samples]))
    answers = dict(zip(asked, _answers(loss.model, asked, exam, tokenizer, world), strict=True))
    loss.train()
    scored = [(question, answers[question]) for question in exam.questions]
    metrics = Metrics(
        validation_loss=nats,
        perplexity=None if nats is None else math.exp(min(nats, 700)),
        exact_match=_share(scored, lambda question, answer: answer.text == (question.expected or "").strip()),
        stop_rate=_share(scored, lambda _, answer: answer.stopped),
    )
    return Report(metrics=metrics, samples=[answers[question] for question in exam.samples])


@torch.no_grad()  # type: ignore[untyped-decorator]
def validation_loss(loss: SummedLoss, shards: ShardReader, world: World, *, flat: bool, tokens_at_once: int) -> float | None:
    """Mean negative log-likelihood of a supervised token over all sequences, in nats; None without any."""
    total, count = 0.0, 0.0
    for group in micro_batches(shards, range(world.rank, len(shards), world.size), None, tokens_at_once):
        batch = collate(group, flat=flat).to(world.device)
        total += float(loss(batch))
        count += len(batch.targets)
    total, count = world.sum(total, count)
    return total / count if count else None


def stop_tokens_of(model: Any, tokenizer: Any) -> list[int]:
    """Tokens that end an answer: the tokenizer's, which training teaches, first; then those that the model came with."""
    came_with = model.generation_config.eos_token_id
    tokens = [tokenizer.eos_token_id, *(came_with if isinstance(came_with, list) else [came_with])]
    return list(dict.fromkeys(token for token in tokens if token is not None))


def _chat_question(messages: list[dict[str, str]], expected: str | None, tokenizer: Any) -> Question:
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return Question(messages[-1]["content"], text, expected)


def _share(scored: list[tuple[Question, Answer]], holds: Callable[[Question, Answer], bool]) -> float | None:
    return sum(holds(question, answer) for question, answer in scored) / len(scored) if scored else None


def _answers(model: Any, questions: list[Question], exam: Exam, tokenizer: Any, world: World) -> list[Answer]:
    tokens = [tokenizer(question.text, add_special_tokens=False)["input_ids"] for question in questions]
    by_length = sorted(range(len(questions)), key=lambda index: len(tokens[index]))
    mine = by_length[world.rank :: world.size]
    answered: dict[int, Answer] = {}
    with _generating(model):
        for first in range(0, len(mine), QUESTIONS_AT_ONCE):
            chosen = mine[first : first + QUESTIONS_AT_ONCE]
            replies = _generate(model, [tokens[index] for index in chosen], exam, tokenizer, world.device)
            answered.update(zip(chosen, replies, strict=True))
    everywhere = {index: answer for part in world.gather(answered) for index, answer in part.items()}
    return [everywhere[index] for index in range(len(questions))]


@torch.no_grad()  # type: ignore[untyped-decorator]
def _generate(model: Any, prompts: list[list[int]], exam: Exam, tokenizer: Any, device: torch.device) -> list[Answer]:
    from transformers import GenerationConfig

    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else exam.stop_tokens[0]
    longest = max(map(len, prompts))
    ids = torch.tensor([[pad] * (longest - len(prompt)) + prompt for prompt in prompts], device=device)
    seen = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    config = GenerationConfig(
        do_sample=False, max_new_tokens=exam.max_new_tokens, eos_token_id=exam.stop_tokens, pad_token_id=pad, use_cache=True
    )
    output = model.generate(input_ids=ids, attention_mask=seen, generation_config=config)
    return [_answer(reply, exam.stop_tokens, tokenizer) for reply in output[:, longest:].tolist()]


def _answer(reply: list[int], stop_tokens: list[int], tokenizer: Any) -> Answer:
    end = next((place for place, token in enumerate(reply) if token in stop_tokens), None)
    return Answer(text=tokenizer.decode(reply[:end], skip_special_tokens=True).strip(), stopped=end is not None)


@contextmanager
def _generating(model: Any) -> Iterator[None]:
    """Generation goes row by row with a cache, and so needs the ordinary attention."""
    before = model.config.get_text_config()._attn_implementation
    model.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        model.set_attn_implementation(before)
