"""What processes print stays beside the artefact, even if they are killed. The processes are real ones."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from raysmith_workloads import kept_output
from raysmith_workloads.kept_output import KEPT_BYTES, Tail, last_lines


def printing(
    script: str, path: Path, *, output: IO[str] | int = subprocess.PIPE, in_pod: bool = True
) -> subprocess.CompletedProcess[str]:
    """A process that runs `script` with its output kept in `path`; standard error goes where standard output goes."""
    program = (
        "import os, sys, signal, subprocess\nfrom pathlib import Path\n"
        "from raysmith_workloads.kept_output import output_kept\n"
        f"with output_kept(Path({str(path)!r})):\n    {script}\nprint('afterwards')"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **({"KUBERNETES_SERVICE_HOST": "10.0.0.1"} if in_pod else {})},
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )


def wait_for(path: Path, text: str) -> str:
    while not (path.exists() and text in path.read_text()):
        time.sleep(0.05)
    return path.read_text()


def test_output_is_kept_in_order_and_still_goes_where_it_went(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "1-finetune.log"
    done = printing("print('one'); print('two', file=sys.stderr); os.system('echo three')", path)
    assert done.stdout == "one\ntwo\nthree\nafterwards\n"
    assert path.read_text() == "one\ntwo\nthree\n"
    assert list(path.parent.iterdir()) == [path]


def test_the_last_words_of_a_process_that_was_killed_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "1-worker-0.log"
    printing("print('last words'); os.kill(os.getpid(), signal.SIGKILL)", path)
    assert wait_for(path, "last words") == "last words\n"


def test_the_file_is_written_every_few_seconds_while_the_process_still_prints(tmp_path: Path) -> None:
    now = [0.0]
    tail = Tail(tmp_path / "log", lambda: now[0])
    tail.add(b"one\n")
    tail.write()
    assert not (tmp_path / "log").exists()
    now[0] = kept_output.FLUSH_SECONDS
    tail.write()
    assert (tmp_path / "log").read_text() == "one\n"


def test_a_child_that_holds_the_output_open_delays_nothing(tmp_path: Path) -> None:
    path, number = tmp_path / "log", tmp_path / "child"
    script = (
        "from raysmith_workloads import kept_output; kept_output.SECONDS_TO_END = 3600; print('words'); "
        f"Path({str(number)!r}).write_text(str(subprocess.Popen(['sleep', '3600'], stdin=subprocess.DEVNULL).pid))"
    )
    try:
        with (tmp_path / "output").open("w") as output:  # whoever reads a pipe would wait for the child
            printing(script, path, output=output)
        assert path.read_text() == "words\n"
    finally:
        os.kill(int(number.read_text()), signal.SIGKILL)


def test_only_the_last_mebibyte_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "log"
    done = printing("[print(f'line {n}', 'x' * 90) for n in range(20_000)]", path)
    assert done.stdout.startswith("line 0 ")
    lines = path.read_text().splitlines()
    assert KEPT_BYTES - 200 < path.stat().st_size <= KEPT_BYTES
    assert lines[-1].startswith("line 19999 ")
    assert all(line.startswith("line ") for line in lines)


def test_a_worker_that_is_started_again_goes_on_with_its_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for word in ("first", "second"):
        printing(f"print({word!r})", path)
    assert path.read_text() == "first\nsecond\n"


def test_elsewhere_the_command_line_keeps_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert printing("print('words')", tmp_path / "logs" / "log", in_pod=False).stdout == "words\nafterwards\n"
    assert not (tmp_path / "logs").exists()


def test_output_that_goes_to_the_file_anyway_is_not_kept_twice(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w") as output:
        printing("print('words')", path, output=output)
    assert path.read_text() == "words\nafterwards\n"


def test_a_log_that_cannot_be_kept_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    done = printing("print('words')", tmp_path / "file" / "log")
    assert "the run goes on" in done.stdout
    assert done.stdout.endswith("words\nafterwards\n")


def test_the_last_lines_are_short_and_few(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"{n} {'x' * 100}\n\n" for n in range(9)))
    assert last_lines(path, 2, 5) == ["7 xxx", "8 xxx"]
    assert last_lines(tmp_path / "nowhere", 2, 5) == []
