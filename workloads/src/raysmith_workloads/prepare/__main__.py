"""`python -m raysmith_workloads.prepare --object FILE [--check]`."""

import argparse
import json
import sys
from pathlib import Path

from raysmith_workloads.errors import Refused
from raysmith_workloads.report import exit_code


def main() -> int:
    """Prepare, or only check, and say how it went by the exit code."""
    parser = argparse.ArgumentParser(prog="python -m raysmith_workloads.prepare", description="Turn data into shards.")
    parser.add_argument("--object", type=Path, required=True, help="the LLMFineTune as a JSON file, defaults filled in")
    parser.add_argument(
        "--check", action="store_true", help="only read and check every row; print a report as JSON, write nothing"
    )
    arguments = parser.parse_args()
    return exit_code(lambda: _check(arguments.object) if arguments.check else _prepare(arguments.object))


def _prepare(path: Path) -> None:
    from raysmith_workloads.prepare.run import prepare

    prepare(path)


def _check(path: Path) -> None:
    from raysmith_workloads.prepare.run import check

    report = check(path)
    print(json.dumps(report, indent=2, ensure_ascii=False))
    if report["error"]:
        raise Refused("DataRefused", report["error"])


if __name__ == "__main__":
    sys.exit(main())
