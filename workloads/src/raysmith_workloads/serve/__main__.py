"""`python -m raysmith_workloads.serve --object FILE [--object FILE ...] --port PORT --ready-file FILE`."""

import argparse
import sys
from pathlib import Path

from raysmith.api import LLMService
from raysmith_workloads.errors import Refused
from raysmith_workloads.objects import read_object
from raysmith_workloads.serve import local
from raysmith_workloads.serve.failure import EngineFailed


def main() -> int:
    """Serve until SIGINT or SIGTERM: 0 then, 2 if refused, 1 if an engine failed."""
    parser = argparse.ArgumentParser(prog="raysmith_workloads.serve", description="Serve LLMServices on this machine.")
    parser.add_argument("--object", action="append", required=True, type=Path, metavar="FILE", help="an LLMService as JSON")
    parser.add_argument("--port", type=int, default=8000, help="port to listen at, on this machine only (8000)")
    parser.add_argument("--ready-file", required=True, type=Path, metavar="FILE", help="written when every model has answered")
    arguments = parser.parse_args()
    try:
        services = [read_object(path, LLMService) for path in arguments.object]
        local.run(services, port=arguments.port, ready_file=arguments.ready_file)
    except Refused as refused:
        return _failed(refused.message, 2)
    except EngineFailed as failed:
        return _failed(str(failed), 1)
    return 0


def _failed(message: str, code: int) -> int:
    sys.stdout.flush()
    print(f"error: {message}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
