"""Training speed: ours beside TRL's SFTTrainer, on the same model, rows and threads, in one run.

    python -m benchmarks.training [--runs 3] [--threads 2]

Prints one Markdown table: real tokens a second (padding not counted) from the end of the first step to the end of the last,
the median of the runs, and the ratio to TRL's default. The runs take turns, so that a slow minute of the machine hits all.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.material import write_model, write_rows

MAX_LENGTH = 512
BATCH_SIZE = 8
LEARNING_RATE = 1e-3


class Measured(NamedTuple):
    """One timed training loop."""

    tokens: float
    seconds: float

    @property
    def rate(self) -> float:
        """Real tokens a second."""
        return self.tokens / self.seconds


class Case(NamedTuple):
    """One line of the table."""

    name: str
    measure: Callable[[Path, int], Measured]


def trl(name: str, *flags: str, steps: int) -> Case:
    """TRL with its defaults and `flags`."""

    def measure(work: Path, threads: int) -> Measured:
        command = [
            *(sys.executable, "benchmarks/peers/trl_sft.py", "--model", str(work / "model"), "--rows", str(work / "trl.jsonl")),
            *("--output", str(work / "trl"), "--max-length", str(MAX_LENGTH), "--batch-size", str(BATCH_SIZE)),
            *("--steps", str(steps), "--learning-rate", str(LEARNING_RATE), "--threads", str(threads), *flags),
        ]
        result = json.loads(_run(command, threads).splitlines()[-1])
        return Measured(result["tokens"], result["seconds"])

    return Case(name, measure)


def ours(name: str, *, packing: bool, steps: int, precision: str = "Auto") -> Case:
    """Our two workloads as `raysmith run` starts them."""

    def measure(work: Path, threads: int) -> Measured:
        storage = Path(tempfile.mkdtemp(dir=work))
        target = storage / "object.json"
        obj = _object(work, storage, packing=packing, steps=steps, threads=threads)
        obj["spec"]["training"]["precision"] = precision
        target.write_text(json.dumps(obj))
        for module in ("prepare", "finetune"):
            _run([sys.executable, "-m", f"raysmith_workloads.{module}", "--object", str(target)], threads)
        lines = (storage / "default/bench-00000000/attempts/1/metrics.jsonl").read_text().splitlines()
        first, last = json.loads(lines[0]), json.loads(lines[-1])
        began, ended = (datetime.fromisoformat(line["time"]) for line in (first, last))
        return Measured(last["tokens"] - first["tokens"], (ended - began).total_seconds())

    return Case(name, measure)


def _object(work: Path, storage: Path, *, packing: bool, steps: int, threads: int) -> dict[str, Any]:
    return {
        "metadata": {"name": "bench", "uid": "00000000"},
        "spec": {
            "model": {"source": f"file://{work}/model"},
            "data": {
                "train": [{"name": "rows", "source": f"file://{work}/rows.jsonl"}],
                "maxLength": MAX_LENGTH,
                "packing": packing,
            },
            "method": {"full": {}},
            "training": {"steps": steps, "globalBatchSize": BATCH_SIZE, "learningRate": LEARNING_RATE},
            "workers": {"resources": {"requests": {"cpu": str(threads)}}},
            "output": {"storage": f"file://{storage}"},
        },
        "status": {"attempt": 1},
    }


def _run(command: list[str], threads: int) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


CASES = [
    trl("TRL 1.16, default (BF16, gradient checkpointing)", steps=20),
    trl("TRL 1.16, FP32", "--fp32", steps=20),
    trl("TRL 1.16, packing", "--packing", steps=5),
    trl("TRL 1.16, packing, FP32", "--packing", "--fp32", steps=5),
    ours("Raysmith, packing off, BF16", packing=False, steps=60, precision="BF16"),
    ours("Raysmith, packing off (FP32)", packing=False, steps=60),
    ours("Raysmith, BF16", packing=True, steps=20, precision="BF16"),
    ours("Raysmith, default (packing; FP32 on CPUs)", packing=True, steps=16),
]


def table(rates: dict[str, list[float]]) -> str:
    """The median of each case and its ratio to the first, as Markdown."""
    medians = {name: statistics.median(values) for name, values in rates.items()}
    baseline = next(iter(medians.values()))
    lines = ["| loop | tokens/s, median | lowest to highest | to TRL's default |", "|---|---|---|---|"]
    for name, median in medians.items():
        spread = f"{min(rates[name]):,.0f} to {max(rates[name]):,.0f}"
        lines.append(f"| {name} | {median:,.0f} | {spread} | {median / baseline:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure all cases in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="how often each case is measured")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of each loop")
    arguments = parser.parse_args()
    rates: dict[str, list[float]] = {case.name: [] for case in CASES}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        parameters = write_model(work / "model")
        mean = write_rows(work, tokenizer=work / "model")
        for run in range(arguments.runs):
            for case in CASES:
                rates[case.name].append(case.measure(work, arguments.threads).rate)
                print(f"run {run + 1} of {arguments.runs}: {case.name}: {rates[case.name][-1]:,.0f} tokens/s", file=sys.stderr)
    print(
        f"Llama shape of {parameters:,} parameters, 2,000 rows of {mean:.0f} tokens on average, {arguments.threads} threads\n"
    )
    print(table(rates))


if __name__ == "__main__":
    main()
