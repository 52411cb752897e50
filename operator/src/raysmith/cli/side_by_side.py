"""The same questions to base and tuned model, through the OpenAI API, as any client would ask them."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from raysmith.api import LLMFineTune, LLMService
from raysmith.api.finetune import Objective
from raysmith.api.record import RunRecord, Sample

QUESTIONS = 5


class Endpoint(NamedTuple):
    """Where a model answers."""

    url: str
    model: str


class Pair(NamedTuple):
    """A tuned model, the model that it was tuned from if that is served too, and what to ask them."""

    tuned: Endpoint
    base: Endpoint | None
    samples: list[Sample]
    max_tokens: int


class Row(NamedTuple):
    """One question and its answers."""

    prompt: str
    expected: str | None
    base: str | None
    tuned: str


class Comparison(NamedTuple):
    """All questions of one pair, answered."""

    tuned: str
    base: str | None
    rows: list[Row]


class Finished(NamedTuple):
    """A fine-tune that has its record."""

    obj: LLMFineTune
    record: RunRecord


def pairs(
    services: Sequence[LLMService], endpoints: Mapping[str, Endpoint], runs: Mapping[tuple[str, str], Finished]
) -> list[Pair]:
    """What can be compared: each served result of an SFT run, beside the service of what that run started from."""
    found = []
    for service in services:
        endpoint = endpoints[service.metadata.name]
        followed = service.spec.model.fine_tune
        run = runs.get((service.metadata.namespace, followed.name)) if followed and followed.name else None
        if run:
            found.append(_pair(endpoint, _base_of(run.obj, services, endpoints), run))
        for adapter in service.spec.adapters:
            run = runs.get((service.metadata.namespace, adapter.fine_tune.name)) if adapter.fine_tune else None
            if run:
                found.append(_pair(Endpoint(endpoint.url, f"{endpoint.model}:{adapter.name}"), endpoint, run))
    return [pair for pair in found if pair.samples]


def _pair(tuned: Endpoint, base: Endpoint | None, run: Finished) -> Pair:
    asks = run.obj.spec.objective is Objective.SFT
    return Pair(tuned, base, run.record.samples[:QUESTIONS] if asks else [], run.obj.spec.evaluation.max_new_tokens)


def _base_of(obj: LLMFineTune, services: Sequence[LLMService], endpoints: Mapping[str, Endpoint]) -> Endpoint | None:
    """The service of the model that `obj` started from, if there is one."""
    start = obj.spec.model
    for service in services:
        served = service.spec.model
        followed = served.fine_tune.name if served.fine_tune else None
        same_run = start.fine_tune is not None and start.fine_tune.name == followed
        same_source = start.source is not None and start.source == served.source
        if (same_run or same_source) and service.metadata.namespace == obj.metadata.namespace:
            return endpoints[service.metadata.name]
    return None


def compare(pair: Pair, ask: Callable[[Endpoint, str, int], str]) -> Comparison:
    """Put every question to both; `ask` takes endpoint, question and the most tokens to answer with."""
    rows = [
        Row(
            prompt=sample.prompt,
            expected=sample.expected,
            base=ask(pair.base, sample.prompt, pair.max_tokens) if pair.base else None,
            tuned=ask(pair.tuned, sample.prompt, pair.max_tokens),
        )
        for sample in pair.samples
    ]
    return Comparison(pair.tuned.model, pair.base.model if pair.base else None, rows)
