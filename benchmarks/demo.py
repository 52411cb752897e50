"""Time of `make demo` by stage: the quickstart from nothing to both models' answers, in an empty data folder.

    python -m benchmarks.demo [--runs 1]

Prints one Markdown table with the median seconds of each stage.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

QUICKSTART = Path(__file__).parents[1] / "examples" / "quickstart"


def stages(port: int) -> dict[str, float]:
    """Seconds of each stage of one run, in order."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "raysmith.cli", "run", str(QUICKSTART), "--no-wait", "--port", str(port)]
        done = subprocess.run([*command, "--data-dir", folder], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"The quickstart ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        run = json.loads((Path(folder) / "last-run.json").read_text())
    seconds = {f"{stage['object'] or ''}: {stage['stage']}".removeprefix(": "): stage["seconds"] for stage in run["stages"]}
    return seconds | {"**in all**": run["totalSeconds"]}


def main() -> None:
    """Run the quickstart and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1, help="how often the quickstart is run")
    parser.add_argument("--port", type=int, default=8699, help="port to serve on meanwhile")
    arguments = parser.parse_args()
    runs = [stages(arguments.port) for _ in range(arguments.runs)]
    print("| stage | seconds |\n|---|---|")
    for stage in runs[0]:
        print(f"| {stage} | {statistics.median(run[stage] for run in runs):.1f} |")


if __name__ == "__main__":
    main()
