"""What is drawn while a run goes on: a live bar in a terminal, plain lines elsewhere."""

from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from raysmith.api.finetune import Progress
from raysmith.cli.display import Display
from raysmith.cli.follow import Follower

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SNAPSHOTS = [
    Progress(stage="Loading", updated_time=NOW),
    Progress(stage="Training", step=12, total_steps=100, percent=12, loss=2.5, tokens_per_second=1500, updated_time=NOW),
    Progress(stage="EvaluatingTuned", step=100, total_steps=100, percent=100, loss=0.5, updated_time=NOW),
    Progress(stage="Done", step=100, total_steps=100, percent=100, updated_time=NOW),
]


@pytest.fixture(params=[True, False], ids=["terminal", "pipe"])
def drawn(request: pytest.FixtureRequest) -> tuple[bool, str]:
    """Whether it is a terminal, and what was written to it."""
    written = StringIO()
    display = Display(Console(file=written, force_terminal=request.param, width=120, highlight=False))
    follower = Follower("Loading", now=0)
    with display.activity("Loading") as activity:
        for second, snapshot in enumerate(SNAPSHOTS, start=1):
            for event in follower.see(snapshot, second):
                activity.tell(event)
            activity.update(snapshot)
    return request.param, written.getvalue()


def test_every_stage_leaves_a_line_with_its_seconds(drawn: tuple[bool, str]) -> None:
    _, text = drawn
    for words in (
        "loaded the model                2.0 s",
        "trained                         1.0 s",
        "step 100 of 100, loss 0.5",
    ):
        assert words in text


def test_a_bar_is_drawn_in_a_terminal_and_lines_without_control_characters_elsewhere(drawn: tuple[bool, str]) -> None:
    terminal, text = drawn
    assert ("\x1b[" in text) == terminal
    assert ("━" in text) == terminal
    assert ("  12 %  step 12 of 100, loss 2.5, 1,500 tokens/s\n" in text) == (not terminal)
    assert ("  … training\n" in text) == (not terminal)
