"""Which served models are asked the same questions."""

from typing import Any

import pytest

from raysmith.api import LLMFineTune, LLMService
from raysmith.api.record import RunRecord, Sample
from raysmith.cli.side_by_side import Comparison, Endpoint, Finished, Pair, Row, compare, pairs

SAMPLES = [Sample(prompt=f"question {i}", expected=str(i), base="", tuned="") for i in range(7)]
RECORD: dict[str, Any] = {"samples": SAMPLES}


def finished(name: str, model: dict[str, Any], objective: str = "SFT") -> Finished:
    data = {"train": [{"name": "rows", "source": "builtin://dates-us"}]}
    spec = {"model": model, "objective": objective, "data": data, "method": {"full": {}}, "evaluation": {"maxNewTokens": 9}}
    obj = LLMFineTune.model_validate({"metadata": {"name": name}, "spec": spec})
    return Finished(obj, RunRecord.model_construct(**RECORD))


def service(name: str, model: dict[str, Any], **adapters: str) -> LLMService:
    named = [{"name": adapter, "fineTune": {"name": run}} for adapter, run in adapters.items()]
    spec = {"model": model, "adapters": named, "access": {"anonymous": {}}}
    return LLMService.model_validate({"metadata": {"name": name}, "spec": spec})


def run(name: str) -> dict[str, Any]:
    return {"fineTune": {"name": name}}


TINY = {"source": "file:///models/tiny"}
RUNS = [finished("docs", TINY, "Pretrain"), finished("dates", run("docs")), finished("us", run("dates")), finished("own", TINY)]


@pytest.mark.parametrize(
    ("services", "expected"),
    [
        pytest.param(
            [service("base", run("docs")), service("tuned", run("dates"))],
            [("tuned", "base")],
            id="a tuned model beside the service of the run that it goes on from; the pre-trained one has no questions",
        ),
        pytest.param(
            [service("plain", TINY), service("mine", run("own"))], [("mine", "plain")], id="beside the service of its source"
        ),
        pytest.param([service("tuned", run("dates"))], [("tuned", None)], id="alone where its base is not served"),
        pytest.param(
            [service("dates", run("dates"), us="us")],
            [("dates", None), ("dates:us", "dates")],
            id="an adapter beside the service's own model",
        ),
        pytest.param([service("plain", TINY)], [], id="nothing without a fine-tune"),
    ],
)
def test_a_tuned_model_is_compared_with_what_it_was_tuned_from(
    services: list[LLMService], expected: list[tuple[str, str | None]]
) -> None:
    endpoints = {s.metadata.name: Endpoint(f"http://{s.metadata.name}/v1", s.metadata.name) for s in services}
    found = pairs(services, endpoints, {("default", done.obj.metadata.name): done for done in RUNS})
    assert [(pair.tuned.model, pair.base.model if pair.base else None) for pair in found] == expected
    assert all(len(pair.samples) == 5 and pair.max_tokens == 9 for pair in found)


def test_every_question_goes_to_both_models() -> None:
    pair = Pair(Endpoint("u", "tuned"), Endpoint("u", "base"), SAMPLES[:2], 9)
    assert compare(pair, lambda at, question, most: f"{at.model} on {question} in {most}") == Comparison(
        "tuned",
        "base",
        [
            Row("question 0", "0", "base on question 0 in 9", "tuned on question 0 in 9"),
            Row("question 1", "1", "base on question 1 in 9", "tuned on question 1 in 9"),
        ],
    )
