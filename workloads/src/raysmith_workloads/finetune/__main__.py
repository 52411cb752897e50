"""`python -m raysmith_workloads.finetune --object FILE`."""

import argparse
import sys
from pathlib import Path

from raysmith.api import LLMFineTune
from raysmith_workloads.objects import read_object
from raysmith_workloads.report import exit_code


def main() -> int:
    """Train as the object says. Exit code: 0 done, 1 failed, 2 refused, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m raysmith_workloads.finetune", description="Fine-tune a language model.")
    parser.add_argument("--object", type=Path, required=True, help="file with the LLMFineTune, as JSON")
    arguments = parser.parse_args()

    def work() -> None:
        from raysmith_workloads.finetune.run import run

        run(read_object(arguments.object, LLMFineTune))

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
