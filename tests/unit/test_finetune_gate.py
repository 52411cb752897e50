"""The gate: which numbers pass, and what people read."""

import pytest

from raysmith.api.common import MetricName, Metrics
from raysmith.api.finetune import Gate
from raysmith_workloads.finetune.gate import summary, verdicts

BASE = Metrics(validation_loss=2.0, perplexity=7.389, exact_match=0.1, stop_rate=0.5)
TUNED = Metrics(validation_loss=1.5, perplexity=4.4817, exact_match=0.9, stop_rate=1.0)
LOSS, MATCH = MetricName.VALIDATION_LOSS, MetricName.EXACT_MATCH


@pytest.mark.parametrize(
    ("gate", "passed"),
    [
        pytest.param(Gate(metric=LOSS, max=1.5), True, id="a limit itself is good enough"),
        pytest.param(Gate(metric=LOSS, max=1.49), False, id="too much loss"),
        pytest.param(Gate(metric=LOSS, min=1.6), False, id="a minimum is a minimum for a loss too"),
        pytest.param(Gate(metric=MATCH, min=0.9), True, id="as many matches as asked"),
        pytest.param(Gate(metric=MATCH, min=0.91), False, id="too few matches"),
        pytest.param(Gate(metric=LOSS, min_improvement=0.5), True, id="an improvement of a loss is a decrease"),
        pytest.param(Gate(metric=LOSS, min_improvement=0.51), False, id="too small a decrease"),
        pytest.param(Gate(metric=MATCH, min_improvement=0.7), True, id="an improvement of matches is an increase"),
        pytest.param(Gate(metric=MATCH, min_improvement=0.9), False, id="too small an increase"),
        pytest.param(Gate(metric=MATCH, min=0.5, max=0.8), False, id="all parts must hold"),
        pytest.param(Gate(metric=MATCH, min=0.5, max=0.95, min_improvement=0.1), True, id="all parts hold"),
        pytest.param(Gate(metric=MetricName.STOP_RATE, min_improvement=0), True, id="an improvement of zero is not worse"),
    ],
)
def test_a_condition_holds_or_not(gate: Gate, passed: bool) -> None:
    [verdict] = verdicts([gate], BASE, TUNED)
    assert verdict.passed is passed
    assert verdict.value == TUNED.value(gate.metric)
    assert verdict.base_value == BASE.value(gate.metric)


def test_what_was_not_measured_has_not_passed() -> None:
    [verdict] = verdicts([Gate(metric=MATCH, max=1)], BASE, Metrics(validation_loss=1.0))
    assert not verdict.passed
    assert verdict.message == "The exact match was not measured: the validation data has nothing to measure it on."


def test_an_improvement_needs_a_measured_base() -> None:
    [verdict] = verdicts([Gate(metric=MATCH, min_improvement=0)], Metrics(), TUNED)
    assert not verdict.passed
    assert "base model's was not measured" in verdict.message


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (Gate(metric=LOSS, max=1.9), "The validation loss is 1.5, at most 1.9."),
        (Gate(metric=LOSS, max=1.2), "The validation loss is 1.5, but must be at most 1.2."),
        (
            Gate(metric=MATCH, min=0.6, min_improvement=0.1),
            "The exact match is 0.9, at least 0.6 and 0.8 better than the base model's 0.1.",
        ),
        (
            Gate(metric=MATCH, min=0.6, min_improvement=0.85),
            "The exact match is 0.9, 0.8 better than the base model's 0.1, but must be 0.85 better.",
        ),
    ],
)
def test_a_verdict_tells_the_numbers(gate: Gate, message: str) -> None:
    [verdict] = verdicts([gate], BASE, TUNED)
    assert verdict.message == message


def test_a_model_that_got_worse_is_told_so() -> None:
    [verdict] = verdicts([Gate(metric=LOSS, min_improvement=0.1)], TUNED, BASE)
    assert verdict.message == "The validation loss is 2, 0.5 worse than the base model's 1.5, but must be 0.1 better."


def test_the_summary_names_only_what_failed() -> None:
    good, bad = Gate(metric=LOSS, max=2), Gate(metric=MATCH, min=1)
    assert summary(verdicts([good, bad], BASE, TUNED)) == (
        "The gate is not passed: The exact match is 0.9, but must be at least 1."
    )
    assert summary(verdicts([good], BASE, TUNED)) == "The gate is passed: The validation loss is 1.5, at most 2."
    assert summary([]) == "No gate was asked for, so the result is promoted as it is."
