"""Tables and panels, out of records. Pure: they print nothing."""

import json
import shlex
from collections.abc import Iterable, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from raysmith.api.common import MetricName
from raysmith.api.record import GateVerdict, RunRecord
from raysmith.cli.records import Run, duration
from raysmith.cli.side_by_side import Comparison, Endpoint
from raysmith.cli.stages import Stage

TITLES = {
    MetricName.VALIDATION_LOSS: "validation loss",
    MetricName.PERPLEXITY: "perplexity",
    MetricName.EXACT_MATCH: "exact match",
    MetricName.STOP_RATE: "answers that stop",
}
CELL = 200
"""Most characters of a text in a table."""
SHARES = (MetricName.EXACT_MATCH, MetricName.STOP_RATE)


def metrics_table(record: RunRecord) -> Table:
    """Base against tuned, metric by metric, and what the gate says."""
    table = _table("metric", ("base", "right"), ("tuned", "right"), "gate")
    for metric in MetricName:
        base, tuned = record.base_metrics.value(metric), record.tuned_metrics.value(metric)
        verdicts = [verdict for verdict in record.gate if verdict.gate.metric is metric]
        if base is not None or tuned is not None or verdicts:
            gate = "\n".join(_verdict(verdict) for verdict in verdicts)
            table.add_row(TITLES[metric], number(metric, base), f"[bold]{number(metric, tuned)}[/bold]", gate)
    return table


def comparison_table(comparison: Comparison) -> Table:
    """The same questions to both models, answered now."""
    columns = ["question", "expected", *([f"base: {comparison.base}"] if comparison.base else []), f"tuned: {comparison.tuned}"]
    table = _table(*columns, lines=True)
    for row in comparison.rows:
        answers = [_answer(row.base, row.expected)] if row.base is not None else []
        table.add_row(_cell(row.prompt), _cell(row.expected or "-"), *answers, _answer(row.tuned, row.expected))
    return table


def stages_table(stages: Iterable[Stage], total: float) -> Table:
    """Where the time went."""
    table = _table("object", "stage", ("seconds", "right"))
    for stage in stages:
        table.add_row(escape(stage.object or "-"), escape(stage.stage), f"{stage.seconds:.1f}")
    table.add_section()
    table.add_row("[bold]in all[/bold]", "", f"[bold]{total:.1f}[/bold]")
    return table


def runs_table(runs: Sequence[Run]) -> Table:
    """One line for each run."""
    table = _table("run", "phase", ("progress", "right"), ("loss", "right"), ("attempts", "right"), "gate", "folder")
    for run in runs:
        progress = run.progress
        table.add_row(
            escape(run.obj.metadata.name),
            run.phase,
            f"{progress.step}/{progress.total_steps}" if progress and progress.total_steps else "-",
            f"{progress.loss:.3g}" if progress and progress.loss is not None else "-",
            str(len(run.attempts)),
            "-" if run.record is None else "held" if run.record.promoted else "failed",
            escape(f"{run.folder.parent.name}/{run.folder.name}"),
        )
    return table


def attempts_table(run: Run) -> Table:
    """Each attempt, and why it ended."""
    table = _table(("attempt", "right"), "started", "ended with", "because")
    for attempt in run.attempts:
        start = attempt.claim.start_time.astimezone().strftime("%Y-%m-%d %H:%M:%S") if attempt.claim else "-"
        last = attempt is run.attempts[-1]
        end = attempt.failure.reason if attempt.failure else run.phase if last else "-"
        table.add_row(str(attempt.number), start, end, escape(attempt.failure.message if attempt.failure else ""))
    return table


def how_to_ask(at: Endpoint, question: str) -> list[str]:
    """Commands for a shell that put `question` to a model."""
    body = json.dumps({"model": at.model, "messages": [{"role": "user", "content": question}]}, ensure_ascii=False)
    return [
        f"raysmith chat --url {at.url} --model {at.model} {shlex.quote(question)}",
        f"curl {at.url}/chat/completions -H 'Content-Type: application/json' -d {shlex.quote(body)}",
    ]


def number(metric: MetricName, value: float | None) -> str:
    """`97.5 %` for a share, `1.234` for anything else, a dash for what was not measured."""
    if value is None:
        return "-"
    return f"{100 * value:.1f} %" if metric in SHARES else f"{value:.3f}"


def training_line(record: RunRecord) -> str:
    """What was done, in one line."""
    training = record.training
    speed = f", {training.tokens / training.seconds:,.0f} tokens/s" if training.seconds else ""
    share = f"{training.trained_parameters:,} of {training.parameters:,} parameters"
    return f"{training.steps} steps, {training.tokens:,} tokens in {duration(training.seconds)}{speed}; {share} trained"


def _answer(answer: str, expected: str | None) -> str:
    if expected is None:
        return _cell(answer)
    return ("[green]✓[/green] " if answer.strip() == expected.strip() else "[red]✗[/red] ") + _cell(answer)


def _cell(text: str) -> str:
    """Text of a model in one line; an answer of line breaks alone would tear the table apart."""
    words = " ".join(text.split())
    return escape(words if len(words) <= CELL else f"{words[:CELL]}…") or "[dim](nothing)[/dim]"


def _verdict(verdict: GateVerdict) -> str:
    return ("[green]✓[/green] " if verdict.passed else "[red]✗[/red] ") + escape(verdict.message)


def _table(*columns: str | tuple[str, str], lines: bool = False) -> Table:
    table = Table(box=box.ROUNDED, header_style="bold", border_style="dim", show_lines=lines)
    for column in columns:
        title, justify = column if isinstance(column, tuple) else (column, "left")
        table.add_column(title, justify="right" if justify == "right" else "left", overflow="fold")
    return table
