"""`python -m raysmith_workloads.finetune --object FILE`."""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from raysmith.api import LLMFineTune
from raysmith_workloads.cluster_status.endpoint import endpoint_here
from raysmith_workloads.cluster_status.reporting import Reporting
from raysmith_workloads.finetune.run import leave_ray, run
from raysmith_workloads.kept_output import log_file, output_kept
from raysmith_workloads.objects import read_object
from raysmith_workloads.report import exit_code


def main() -> int:
    """Train as the object says. Exit code: 0 done, 1 failed, 2 refused, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m raysmith_workloads.finetune", description="Fine-tune a language model.")
    parser.add_argument("--object", type=Path, required=True, help="file with the LLMFineTune, as JSON")
    arguments = parser.parse_args()
    with ExitStack() as at_end:
        code = exit_code(lambda: _work(arguments.object, at_end))
    leave_ray(code)
    return code


def _work(path: Path, at_end: ExitStack) -> None:
    """Run. What is entered into `at_end` ends after the last words: first the log is complete, then the end is told."""
    obj = read_object(path, LLMFineTune)
    reporting = at_end.enter_context(Reporting(obj, endpoint_here(obj)))
    at_end.enter_context(output_kept(log_file(obj, "finetune")))
    with reporting.end_noted():
        run(obj)


if __name__ == "__main__":
    sys.exit(main())
