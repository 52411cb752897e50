"""`raysmith logs -f`: goes on until the run ends, and says everything once."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from objects import finetune
from raysmith.api import LLMFineTune, layout
from raysmith.api.record import Claim, Failure
from raysmith.cli import observe
from raysmith.cli.data_dir import DataDir
from raysmith.cli.main import app
from raysmith.cli.records import LOCK, run_lock
from raysmith_workloads.report import write_record
from run_records import NOW, run_record

WhileItWaits = Callable[..., None]


class Going:
    """A run that somebody works on, and that prints what it is told to print."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.attempt = folder / layout.attempt_folder(1)
        self.attempt.mkdir(parents=True)
        (folder / "logs").mkdir()
        write_record(folder / layout.OBJECT, LLMFineTune.model_validate(finetune(name="base")))
        write_record(self.attempt / layout.CLAIM, Claim(number=1, start_time=NOW))
        self._lock = ExitStack()
        self._lock.enter_context(run_lock(folder))

    def prints(self, text: str, log: str = "1-finetune.log") -> None:
        with (self.folder / "logs" / log).open("a") as file:
            file.write(text)

    def ends(self, last_words: str = "") -> None:
        self.prints(last_words)
        self._lock.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "raysmith-data"


@pytest.fixture
def run(data: Path) -> Iterator[Going]:
    going = Going(data / "volumes" / "raysmith-store" / "models" / "default" / "base-12345678")
    yield going
    going.ends()


@pytest.fixture
def while_it_waits(monkeypatch: pytest.MonkeyPatch) -> WhileItWaits:
    """Each time that the command waits, the next of these events happens; it may not wait once more."""

    def plan(*events: Callable[[], object]) -> None:
        left = iter(events)
        monkeypatch.setattr(observe, "time", SimpleNamespace(sleep=lambda _: next(left)()))

    return plan


def followed(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, ["logs", "base", "-f", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_what_is_added_is_printed_once_until_the_run_ends(run: Going, data: Path, while_it_waits: WhileItWaits) -> None:
    run.prints("100 rows\n", "1-prepare.log")
    while_it_waits(
        lambda: run.prints("step 1\n"),
        lambda: None,
        lambda: run.prints("step 2\n"),
        lambda: run.ends("done\n"),
    )
    assert followed("--data-dir", data) == "==> 1-prepare.log <==\n100 rows\n==> 1-finetune.log <==\nstep 1\nstep 2\ndone\n"


def test_last_words_between_two_looks_are_not_lost(run: Going, data: Path, while_it_waits: WhileItWaits) -> None:
    run.prints("step 1\n")
    while_it_waits(lambda: None)
    said = []
    for text in observe.logs(DataDir(data), "base", follow=True):
        said.append(text)
        if text == "step 1\n":
            run.ends("done\n")
    assert said == ["==> 1-finetune.log <==\n", "step 1\n", "done\n"]


def test_the_log_of_a_run_that_has_ended_is_printed_at_once(run: Going, data: Path, while_it_waits: WhileItWaits) -> None:
    run.ends("done\n")
    while_it_waits()
    assert followed("--data-dir", data) == "==> 1-finetune.log <==\ndone\n"


@pytest.mark.parametrize("succeeds", [True, False])
def test_a_clusters_run_is_followed_to_its_record_or_its_failure(
    run: Going, while_it_waits: WhileItWaits, succeeds: bool
) -> None:
    (run.folder / LOCK).unlink()  # no command line works in a cluster's storage
    run.prints("step 1\n")
    failure = Failure(reason="TrainingFailed", message="Something broke.", time=NOW)
    while_it_waits(
        lambda: run.prints("done\n"),
        lambda: (
            write_record(run.folder / layout.RUN, run_record())
            if succeeds
            else write_record(run.attempt / layout.FAILURE, failure)
        ),
    )
    assert followed("--storage", run.folder.parents[1]) == "==> 1-finetune.log <==\nstep 1\ndone\n"
