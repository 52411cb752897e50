"""What is good enough: pure."""

from raysmith.api.common import MetricName, Metrics
from raysmith.api.finetune import Gate
from raysmith.api.record import GateVerdict

NAMES = {
    MetricName.VALIDATION_LOSS: "validation loss",
    MetricName.PERPLEXITY: "perplexity",
    MetricName.EXACT_MATCH: "exact match",
    MetricName.STOP_RATE: "stop rate",
}


def verdicts(gates: list[Gate], base: Metrics, tuned: Metrics) -> list[GateVerdict]:
    """Each condition of the gate and what became of it."""
    return [_verdict(gate, base=base.value(gate.metric), value=tuned.value(gate.metric)) for gate in gates]


def summary(results: list[GateVerdict]) -> str:
    """Why the result was, or was not, promoted, as a sentence to a person."""
    if not results:
        return "No gate was asked for, so the result is promoted as it is."
    failed = [result.message for result in results if not result.passed]
    if failed:
        return f"The gate is not passed: {' '.join(failed)}"
    return f"The gate is passed: {' '.join(result.message for result in results)}"


def _verdict(gate: Gate, *, base: float | None, value: float | None) -> GateVerdict:
    if value is None:
        message = f"The {NAMES[gate.metric]} was not measured: the validation data has nothing to measure it on."
        return GateVerdict(gate=gate, value=None, base_value=base, passed=False, message=message)
    demands = [demand for demand in (_least(gate, value), _most(gate, value), _improvement(gate, value, base)) if demand]
    passed = all(holds for holds, _ in demands)
    told = [text for holds, text in demands if passed or not holds]
    message = f"The {NAMES[gate.metric]} is {_number(value)}, {' and '.join(told)}."
    return GateVerdict(gate=gate, value=value, base_value=base, passed=passed, message=message)


def _least(gate: Gate, value: float) -> tuple[bool, str] | None:
    if gate.min is None:
        return None
    holds = value >= gate.min
    return holds, f"{'at least' if holds else 'but must be at least'} {_number(gate.min)}"


def _most(gate: Gate, value: float) -> tuple[bool, str] | None:
    if gate.max is None:
        return None
    holds = value <= gate.max
    return holds, f"{'at most' if holds else 'but must be at most'} {_number(gate.max)}"


def _improvement(gate: Gate, value: float, base: float | None) -> tuple[bool, str] | None:
    """An improvement is counted in the metric's own direction: less loss is better, more matches are better."""
    if gate.min_improvement is None:
        return None
    if base is None:
        return False, "but the base model's was not measured, so there is nothing to improve on"
    gained = value - base if gate.metric.higher_is_better else base - value
    holds = gained >= gate.min_improvement
    told = f"{_number(abs(gained))} {'worse' if gained < 0 else 'better'} than the base model's {_number(base)}"
    return holds, told if holds else f"{told}, but must be {_number(gate.min_improvement)} better"


def _number(value: float) -> str:
    return f"{value:.4g}"
