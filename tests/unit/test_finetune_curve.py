"""The curve of a run: each step once, whatever broke in between, and a picture of it."""

import json
from pathlib import Path

import pytest

from raysmith.api import layout
from raysmith.api.common import Metrics
from raysmith_workloads.finetune.attempts import claim
from raysmith_workloads.finetune.curve import CurveWriter, merge, read_curve, resumed_steps
from raysmith_workloads.finetune.plot import draw_curve, smoothed


def write(writer: CurveWriter, step: int, loss: float) -> None:
    writer.write(step=step, loss=loss, learning_rate=1e-3, gradient_norm=1.0, tokens_per_second=100.0, tokens=step * 10)


def start_attempt(run: Path, number: int) -> CurveWriter:
    claim(run, number)
    return CurveWriter(run / layout.attempt_folder(number))


def curve(run: Path) -> list[tuple[int, float]]:
    return [(point["step"], point["loss"]) for point in read_curve(run)]


def test_a_step_that_was_done_again_counts_as_it_was_done_last() -> None:
    points = [{"step": step, "by": by} for by, steps in (("a", (1, 2, 3, 4)), ("b", (3, 4, 5))) for step in steps]
    assert [(point["step"], point["by"]) for point in merge(points)] == [(1, "a"), (2, "a"), (3, "b"), (4, "b"), (5, "b")]


def test_steps_after_a_restart_make_all_later_ones_void() -> None:
    assert [point["step"] for point in merge({"step": step} for step in (1, 2, 3, 4, 5, 3))] == [1, 2, 3]


def test_attempts_are_one_curve(tmp_path: Path) -> None:
    first = start_attempt(tmp_path, 1)
    for step in (1, 2, 3):
        write(first, step, 3.0)
    second = start_attempt(tmp_path, 2)
    for step in (3, 4):
        write(second, step, 2.0)
    assert curve(tmp_path) == [(1, 3.0), (2, 3.0), (3, 2.0), (4, 2.0)]
    assert resumed_steps(tmp_path) == {1: 0, 2: 2}


def test_the_half_line_of_a_killed_process_costs_only_itself(tmp_path: Path) -> None:
    write(start_attempt(tmp_path, 1), 1, 3.0)
    path = tmp_path / layout.attempt_folder(1) / layout.METRICS
    with path.open("a") as file:
        file.write('{"step": 2, "lo')
    write(CurveWriter(path.parent), 2, 2.5)
    assert curve(tmp_path) == [(1, 3.0), (2, 2.5)]


def test_a_line_has_what_watchers_read(tmp_path: Path) -> None:
    write(start_attempt(tmp_path, 1), 1, 3.0)
    [line] = (tmp_path / layout.attempt_folder(1) / layout.METRICS).read_text().splitlines()
    assert set(json.loads(line)) == {"step", "loss", "learningRate", "gradientNorm", "tokensPerSecond", "tokens", "time"}


def test_smoothing_takes_the_mean_of_neighbours_on_both_sides() -> None:
    assert smoothed([1.0, 2.0, 6.0, 4.0], 1) == [1.5, 3.0, 4.0, 5.0]
    assert smoothed([1.0, 5.0], 0) == [1.0, 5.0]


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("steps", [1, 50])
def test_the_curve_is_a_picture(tmp_path: Path, steps: int, validated: bool) -> None:
    points = [{"step": step, "loss": 3 / step, "learningRate": 1e-3 / step} for step in range(1, steps + 1)]
    metrics = Metrics(validation_loss=1.0) if validated else Metrics()
    draw_curve(tmp_path / "loss.png", points, "run", metrics, metrics)
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
