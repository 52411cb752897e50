"""The loss curve as a picture: beside the record, and inside the report."""

import io
from pathlib import Path
from typing import Any

from raysmith.api.common import Metrics
from raysmith_workloads.finetune.curve import Point

_INK, _LIGHT, _ACCENT, _RATE, _GRID, _PAPER = "#1f2933", "#9fb3c8", "#0b69a3", "#d9822b", "#e4e7eb", "#ffffff"
_VARIABLES = {_INK: "ink", _LIGHT: "faint", _ACCENT: "accent", _RATE: "rate", _GRID: "line", _PAPER: "card"}
"""The colours' names in the report, whose style sheet has two of each: for light and for dark."""


def smoothed(values: list[float], reach: int) -> list[float]:
    """The mean of each value and up to `reach` neighbours on either side, so that the curve does not lag behind."""
    windows = (values[max(0, place - reach) : place + reach + 1] for place in range(len(values)))
    return [sum(window) / len(window) for window in windows]


def draw_curve(path: Path, points: list[Point], name: str, base: Metrics, tuned: Metrics) -> None:
    """Training loss over the steps, validation loss before and after, and the learning rate on an axis of its own."""
    figure, axes = _figure((9, 5))
    _draw(axes, points, base, tuned)
    axes.set_title(name, loc="left", fontweight="bold", color=_INK, pad=12)
    figure.savefig(path, dpi=144)


def curve_svg(points: list[Point], base: Metrics, tuned: Metrics) -> str:
    """The same curve as an `<svg>` for a page, its text as text and its colours as the page's variables."""
    from matplotlib import rc_context

    settings = {"svg.fonttype": "none", "svg.hashsalt": "raysmith", "font.size": 8.5, "text.color": _INK}
    written = io.StringIO()
    with rc_context(settings | {f"{part}.color": _INK for part in ("xtick", "ytick")} | {"axes.labelcolor": _INK}):
        figure, axes = _figure((4.8, 3))  # small, so that its text can still be read on a phone
        _draw(axes, points, base, tuned)
        figure.savefig(written, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    _, _, body = written.getvalue().partition("<svg")  # what stands before it belongs to a file of its own
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var(--{variable})")
    return f"<svg{body}"


def _figure(inches: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _draw(axes: Any, points: list[Point], base: Metrics, tuned: Metrics) -> None:
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
    rate.yaxis.get_offset_text().set_color(_RATE)
    _dress(axes)
    rate.spines[["top", "left", "bottom"]].set_visible(False)
    rate.spines["right"].set_color(_RATE)


def _mark_validation(axes: Any, steps: list[int], base: Metrics, tuned: Metrics) -> None:
    style = {"linestyle": "none", "markersize": 8, "color": _INK, "markeredgecolor": _PAPER, "zorder": 5, "clip_on": False}
    for loss, step, marker, whose in ((base.validation_loss, 0, "o", "base"), (tuned.validation_loss, steps[-1], "D", "tuned")):
        if loss is not None:
            axes.plot([step], [loss], marker=marker, label=f"validation, {whose}: {loss:.3f}", **style)


def _dress(axes: Any) -> None:
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("loss (nats per token)")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.02)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["left", "bottom"]].set_color(_LIGHT)
    axes.spines[["top", "right"]].set_visible(False)
    # Below the curve: inside, it would lie on some of them.
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
