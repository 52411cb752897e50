"""The curve of a run: one line for each step in `metrics.jsonl`, merged over all attempts, and its picture."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from raysmith.api import layout
from raysmith_workloads.finetune.attempts import attempt_numbers
from raysmith_workloads.storage import storage_errors

Point = dict[str, Any]


class CurveWriter:
    """Appends to the attempt's `metrics.jsonl`. Raises Refused when there is no room."""

    def __init__(self, attempt: Path) -> None:
        self._path = attempt / layout.METRICS
        if self._path.exists():
            self._append("\n")  # a killed process may have left half a line

    def write(
        self, *, step: int, loss: float, learning_rate: float, gradient_norm: float, tokens_per_second: float, tokens: int
    ) -> None:
        """One step: mean loss in nats, tokens learned from so far."""
        point = {
            "step": step,
            "loss": round(loss, 6),
            "learningRate": learning_rate,
            "gradientNorm": round(gradient_norm, 6),
            "tokensPerSecond": round(tokens_per_second, 1),
            "tokens": tokens,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        self._append(json.dumps(point) + "\n")

    def _append(self, text: str) -> None:
        with storage_errors(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(text)


def read_curve(run: Path) -> list[Point]:
    """The whole run's steps, each once: a step that was done again counts as it was done last."""
    paths = [run / layout.attempt_folder(number) / layout.METRICS for number in attempt_numbers(run)]
    return merge(point for path in paths if path.exists() for point in _points(path))


def merge(points: Iterable[Point]) -> list[Point]:
    """Steps in order. One that goes back, after a restart from a checkpoint, makes all later ones void."""
    merged: list[Point] = []
    for point in points:
        while merged and merged[-1]["step"] >= point["step"]:
            merged.pop()
        merged.append(point)
    return merged


def resumed_steps(run: Path) -> dict[int, int]:
    """From each attempt that trained to the step of the checkpoint that it began with."""
    resumed = {}
    for number in attempt_numbers(run):
        path = run / layout.attempt_folder(number) / layout.METRICS
        points = list(_points(path)) if path.exists() else []
        if points:
            resumed[number] = points[0]["step"] - 1
    return resumed


def write_curve(run: Path, points: list[Point]) -> None:
    """The run's own `metrics.jsonl`."""
    (run / layout.METRICS).write_text("".join(json.dumps(point) + "\n" for point in points), encoding="utf-8")


def _points(path: Path) -> Iterable[Point]:
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            point = json.loads(line)
        except ValueError:  # the half line of a killed process; its step is done again
            continue
        if isinstance(point, dict):
            yield point
