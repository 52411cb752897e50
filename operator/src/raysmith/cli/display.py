"""What a local run shows: a live bar in a terminal, one line for each stage and each tenth of the steps anywhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from raysmith.api.finetune import Progress
from raysmith.cli.follow import STAGES, Event, Said, StageEnded, Tenth, doing, numbers
from raysmith.cli.records import duration


class Display:
    """Writes to `console`; knows nothing of processes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @property
    def is_terminal(self) -> bool:
        """Whether somebody watches, so that lines may be drawn over."""
        return self._console.is_terminal

    def title(self, kind: str, name: str, text: str = "") -> None:
        """The head of what follows about one object."""
        self._console.print(f"\n[bold]{kind} {escape(name)}[/bold]  [dim]{escape(text)}[/dim]", soft_wrap=True)

    def done(self, text: str, seconds: float | None = None, detail: str = "") -> None:
        """Something is done."""
        took = f"{duration(seconds):>10}" if seconds is not None else " " * 10
        line = f"  [green]✓[/green] {escape(text):<26} {took}" + (f"  [dim]{escape(detail)}[/dim]" if detail else "")
        self._console.print(line.rstrip(), soft_wrap=True)

    def say(self, text: str) -> None:
        """A sentence that is worth reading."""
        self._console.print(f"  [dim]· {escape(text)}[/dim]", soft_wrap=True)

    def failed(self, text: str) -> None:
        """A sentence about something that did not go well."""
        self._console.print(f"  [red]✗[/red] {escape(text)}", soft_wrap=True)

    def show(self, renderable: RenderableType) -> None:
        """A table or a panel."""
        self._console.print(renderable)

    def line(self, text: str = "") -> None:
        """A line as it is, for copying."""
        self._console.print(escape(text), soft_wrap=True, highlight=False)

    @contextmanager
    def activity(self, stage: str) -> Iterator["Activity"]:
        """Something goes on; the bar, or the lines, of it."""
        with Activity(self, self._console, stage) as activity:
            yield activity


class Activity:
    """The live part of the display."""

    def __init__(self, display: Display, console: Console, text: str) -> None:
        self._display = display
        self._bar = Bar(
            TextColumn(" "),
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("[dim]{task.fields[numbers]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(doing(text), total=None, numbers="")
        self._begun = ""
        self._begin(text)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, progress: Progress) -> None:
        """Move the bar."""
        self._begin(progress.stage)
        training = progress.stage == "Training" and progress.total_steps > 0
        self._bar.update(
            self._task,
            description=doing(progress.stage),
            total=progress.total_steps if training else None,
            completed=progress.step if training else 0,
            numbers=numbers(progress) if training else "",
        )

    def stopping(self) -> None:
        """The user asked to stop."""
        self._bar.update(self._task, description="stopping in order; Ctrl-C again stops at once", total=None, numbers="")
        if not self._display.is_terminal:
            self._display.line("  … stopping in order")

    def tell(self, event: Event) -> None:
        """A line that stays."""
        match event:
            case StageEnded(stage, seconds, last):
                detail = numbers(last.model_copy(update={"seconds_left": None})) if last and stage == "Training" else ""
                self._display.done(STAGES[stage][1], seconds, detail)
            case Tenth(progress) if not self._display.is_terminal:
                self._display.line(f"    {progress.percent:3} %  {numbers(progress)}")
            case Said(message):
                self._display.say(message)
            case Tenth():
                pass  # the bar has moved already

    def _begin(self, stage: str) -> None:
        """A new stage has a clock of its own, or a line of its own."""
        if stage in (self._begun, "Done"):
            return
        self._begun = stage
        self._bar.reset(self._task, description=doing(stage), total=None, numbers="")
        if not self._display.is_terminal:
            self._display.line(f"  … {doing(stage)}")
