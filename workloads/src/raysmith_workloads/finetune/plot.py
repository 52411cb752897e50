"""The loss curve as a picture beside the record."""

from pathlib import Path
from typing import Any

from raysmith.api.common import Metrics
from raysmith_workloads.finetune.curve import Point

_INK, _LIGHT, _ACCENT, _RATE = "#1f2933", "#9fb3c8", "#0b69a3", "#d9822b"


def smoothed(values: list[float], reach: int) -> list[float]:
    """The mean of each value and up to `reach` neighbours on either side, so that the curve does not lag behind."""
    windows = (values[max(0, place - reach) : place + reach + 1] for place in range(len(values)))
    return [sum(window) / len(window) for window in windows]


def draw_curve(path: Path, points: list[Point], name: str, base: Metrics, tuned: Metrics) -> None:
    """Training loss over the steps, validation loss before and after, and the learning rate on an axis of its own."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), dpi=144, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    steps, losses = [point["step"] for point in points], [point["loss"] for point in points]
    axes.plot(steps, losses, color=_LIGHT, linewidth=1, label="training loss, each step")
    axes.plot(steps, smoothed(losses, len(losses) // 40), color=_ACCENT, linewidth=2.2, label="training loss, smoothed")
    _mark_validation(axes, steps, base, tuned)
    rate = axes.twinx()
    rate.plot(steps, [point["learningRate"] for point in points], color=_RATE, linewidth=1.2, linestyle=(0, (4, 3)))
    rate.set_ylabel("learning rate", color=_RATE)
    rate.tick_params(axis="y", colors=_RATE)
    rate.set_ylim(bottom=0)
    rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
    _dress(axes, name)
    rate.spines[["top", "left", "bottom"]].set_visible(False)
    rate.spines["right"].set_color(_RATE)
    figure.savefig(path)


def _mark_validation(axes: Any, steps: list[int], base: Metrics, tuned: Metrics) -> None:
    for loss, step, marker, label in (
        (base.validation_loss, 0, "o", "validation, base"),
        (tuned.validation_loss, steps[-1], "D", "validation, tuned"),
    ):
        if loss is None:
            continue
        axes.plot(
            [step], [loss], marker, markersize=8, color=_INK, markeredgecolor="white", label=f"{label}: {loss:.3f}", zorder=5
        )


def _dress(axes: Any, name: str) -> None:
    axes.set_title(name, loc="left", fontweight="bold", color=_INK, pad=12)
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("loss (nats per token)")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.02)
    axes.grid(axis="y", color="#e4e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper right")
