"""Answers and losses: what a model gets right does not depend on what else is asked at the same time."""

import math
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from finetune_runs import make_run, random_sequences
from raysmith.api.finetune import Evaluation, Objective
from raysmith_workloads.finetune import attention, evaluate
from raysmith_workloads.finetune.loss import SummedLoss, learns_flat
from raysmith_workloads.finetune.world import World
from tiny_models import make_llama

pytestmark = pytest.mark.usefixtures("one_thread")

WORLD = World(0, 1, torch.device("cpu"))
PROMPTS = ["Hi", "What does the with statement do?", "Name three keywords of the language, and say why.", "yes"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llama(tmp_path_factory.mktemp("model"))


@pytest.fixture
def model(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    attention.register()
    return AutoModelForCausalLM.from_pretrained(folder)


@pytest.fixture
def tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def question(prompt: str, expected: str | None = None) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": prompt}], "expected": expected}


def exam(tmp_path: Path, folder: Path, tokenizer: Any, expected: dict[str, str], **settings: Any) -> evaluate.Exam:
    questions = [question(prompt, answer) for prompt, answer in expected.items()]
    validation = random_sequences(9, vocabulary=1024)
    make_run(tmp_path, folder, validation, validation=validation, questions=questions)
    [prepared] = (tmp_path / ".prepared").iterdir()
    asked = Evaluation(max_new_tokens=8, **settings)
    return evaluate.read_exam(prepared, asked, Objective.SFT, tokenizer, [tokenizer.eos_token_id])


@torch.no_grad()  # type: ignore[untyped-decorator]
def alone(model: Any, tokenizer: Any, prompt: str, count: int = 8) -> tuple[str, bool]:
    """Greedy answer, token by token, without cache, padding or company."""
    ids = tokenizer.apply_chat_template(question(prompt)["messages"], add_generation_prompt=True, return_tensors="pt")[
        "input_ids"
    ]
    reply: list[int] = []
    for _ in range(count):
        token = int(model(input_ids=torch.cat([ids, torch.tensor([reply], dtype=torch.long)], dim=1)).logits[0, -1].argmax())
        if token == tokenizer.eos_token_id:
            return tokenizer.decode(reply, skip_special_tokens=True).strip(), True
        reply.append(token)
    return tokenizer.decode(reply, skip_special_tokens=True).strip(), False


def test_answers_are_the_same_alone_and_together(model: Any, tokenizer: Any, folder: Path, tmp_path: Path) -> None:
    loss = SummedLoss(model)
    flat = learns_flat(loss, 1024, 128)
    expected = dict.fromkeys(PROMPTS, "nonsense")
    report = evaluate.evaluate(
        loss, exam(tmp_path, folder, tokenizer, expected), tokenizer, WORLD, flat=flat, tokens_at_once=256
    )
    model.set_attn_implementation("sdpa")
    assert [(answer.text, answer.stopped) for answer in report.samples] == [
        alone(model, tokenizer, prompt) for prompt in PROMPTS
    ]
    assert report.metrics.exact_match == 0


def test_exact_match_counts_whole_right_answers(model: Any, tokenizer: Any, folder: Path, tmp_path: Path) -> None:
    right = {prompt: alone(model, tokenizer, prompt)[0] for prompt in PROMPTS[:3]}
    report = evaluate.evaluate(
        SummedLoss(model),
        exam(tmp_path, folder, tokenizer, {**right, PROMPTS[3]: "wrong"}),
        tokenizer,
        WORLD,
        flat=False,
        tokens_at_once=256,
    )
    assert report.metrics.exact_match == 0.75


def test_an_answer_ends_before_its_stop_token_and_one_without_has_not_stopped(tokenizer: Any) -> None:
    stop = tokenizer.eos_token_id
    text = tokenizer("print", add_special_tokens=False)["input_ids"]
    assert evaluate._answer([*text, stop, 5, 5], [stop], tokenizer) == evaluate.Answer(text="print", stopped=True)
    assert evaluate._answer(text, [stop], tokenizer) == evaluate.Answer(text="print", stopped=False)


def test_validation_loss_is_the_mean_over_all_supervised_tokens(model: Any, tokenizer: Any) -> None:
    loss = SummedLoss(model)
    shards = cast("Any", random_sequences(9, vocabulary=1024))
    means = {evaluate.validation_loss(loss, shards, WORLD, flat=False, tokens_at_once=tokens) for tokens in (16, 100, 10_000)}
    assert max(means) - min(means) < 1e-4
    report = evaluate.evaluate(loss, evaluate.Exam(shards, [], [], [0], 8), tokenizer, WORLD, flat=False, tokens_at_once=100)
    assert report.metrics.validation_loss is not None
    assert report.metrics.perplexity == math.exp(report.metrics.validation_loss)
    assert report.metrics.exact_match is None
    assert report.metrics.stop_rate is None


def test_named_prompts_are_the_samples(tokenizer: Any, folder: Path, tmp_path: Path) -> None:
    asked = exam(tmp_path, folder, tokenizer, {"a": "b"}, prompts=["Who are you?"])
    assert [sample.shown for sample in asked.samples] == ["Who are you?"]
    assert asked.samples[0].text == "<|user|>Who are you?<|end|><|assistant|>"


def test_samples_are_the_first_questions_if_none_are_named(tokenizer: Any, folder: Path, tmp_path: Path) -> None:
    asked = exam(tmp_path, folder, tokenizer, {str(number): "b" for number in range(9)}, samples=7)
    assert len(asked.questions) == 7
    assert asked.samples == asked.questions[:5]


def test_a_model_stops_at_the_tokenizers_end_and_at_its_own(model: Any, tokenizer: Any) -> None:
    model.generation_config.eos_token_id = [7, tokenizer.eos_token_id]
    assert evaluate.stop_tokens_of(model, tokenizer) == [tokenizer.eos_token_id, 7]
