"""`python -m raysmith_workloads.prepare --object FILE [--check]`."""

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path

from raysmith.api import LLMFineTune
from raysmith_workloads.errors import Refused
from raysmith_workloads.kept_output import log_file, output_kept
from raysmith_workloads.objects import read_object
from raysmith_workloads.report import exit_code
from raysmith_workloads.termination import reason_told, tell_prepared


def main() -> int:
    """Prepare, or only check, and say how it went by the exit code."""
    parser = argparse.ArgumentParser(prog="python -m raysmith_workloads.prepare", description="Turn data into shards.")
    parser.add_argument("--object", type=Path, required=True, help="the LLMFineTune as a JSON file, defaults filled in")
    parser.add_argument(
        "--check",
        action="store_true",
        help="only read and check every row and try the chat template on it; print a report as JSON, write nothing",
    )
    arguments = parser.parse_args()
    with ExitStack() as at_end:
        return exit_code(lambda: _check(arguments.object) if arguments.check else _prepare(arguments.object, at_end))


def _prepare(path: Path, at_end: ExitStack) -> None:
    """Prepare. What is entered into `at_end` ends after the last words."""
    from raysmith_workloads.prepare.run import prepare

    with reason_told("PreparationFailed"):
        obj = read_object(path, LLMFineTune)
        at_end.enter_context(output_kept(log_file(obj, "prepare")))
        prepared = prepare(obj)
    tell_prepared(prepared)


def _check(path: Path) -> None:
    from raysmith_workloads.prepare.check import check

    report = check(read_object(path, LLMFineTune))
    print(json.dumps(report, indent=2, ensure_ascii=False))
    if report["problems"]:
        raise Refused("DataRefused", " ".join(problem["message"] for problem in report["problems"]))


if __name__ == "__main__":
    sys.exit(main())
