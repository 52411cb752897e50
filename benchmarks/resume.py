"""A killed run beside an unbroken one: same model, rows and seed, one worker.

    python -m benchmarks.resume

One run is left alone. The other's driver is killed with SIGKILL in the middle, and its worker ends with it; the same command
then goes on.
Prints one Markdown table: whether the weights are the same bit for bit, and what the kill cost.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.material import write_model, write_rows
from raysmith.cli.local_ray import LocalRay

STEPS, INTERVAL, KILLED_AFTER = 60, 10, 35


def workload(module: str, target: Path) -> "subprocess.Popen[bytes]":
    """One of our workloads, in the Ray that RAY_ADDRESS names."""
    command = [sys.executable, "-m", f"raysmith_workloads.{module}", "--object", str(target)]
    log = target.with_suffix(f".{module}.log").open("ab")
    return subprocess.Popen(command, stdout=log, stderr=log)


def run(module: str, target: Path) -> float:
    """Seconds that the workload took."""
    started = time.monotonic()
    if workload(module, target).wait():
        raise SystemExit(target.with_suffix(f".{module}.log").read_text()[-3000:])
    return time.monotonic() - started


def write_object(work: Path, name: str, attempt: int) -> Path:
    """The object of one run."""
    target = work / f"{name}.json"
    spec: dict[str, Any] = {
        "model": {"source": f"file://{work}/model"},
        "data": {"train": [{"name": "rows", "source": f"file://{work}/rows.jsonl"}], "maxLength": 512},
        "method": {"full": {}},
        "training": {"steps": STEPS, "globalBatchSize": 4},
        "checkpoints": {"intervalSteps": INTERVAL},
        "output": {"storage": f"file://{work}/storage"},
    }
    metadata = {"name": name, "uid": "00000000"}
    target.write_text(json.dumps({"metadata": metadata, "spec": spec, "status": {"attempt": attempt}}))
    return target


def folder(work: Path, name: str) -> Path:
    """Where the run's result lies."""
    return work / "storage" / "default" / f"{name}-00000000"


def kill_in_the_middle(work: Path, target: Path) -> int:
    """Kill the run once it has done KILLED_AFTER steps; the number of steps it had done is returned."""
    process = workload("finetune", target)
    metrics = folder(work, "killed") / "attempts/1/metrics.jsonl"
    while not metrics.exists() or (steps := metrics.read_text().count("\n")) < KILLED_AFTER:
        if process.poll() is not None:
            raise SystemExit(target.with_suffix(".finetune.log").read_text()[-3000:])
        time.sleep(0.1)
    process.kill()
    process.wait()
    return steps


def main() -> None:
    """Train both and print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as name, LocalRay(log=Path(name) / "ray.log", volumes=Path(name), num_cpus=2) as ray:
        work = Path(name)
        os.environ.update(ray.environment())
        write_model(work / "model")
        write_rows(work, tokenizer=work / "model")
        unbroken = write_object(work, "unbroken", 1)
        run("prepare", unbroken)
        whole = run("finetune", unbroken)
        killed = write_object(work, "killed", 1)
        run("prepare", killed)
        steps = kill_in_the_middle(work, killed)
        again = run("finetune", write_object(work, "killed", 2))
        records = [json.loads((folder(work, run_name) / "run.json").read_text()) for run_name in ("unbroken", "killed")]
    same = records[0]["artifact"]["digest"] == records[1]["artifact"]["digest"]
    resumed = records[1]["attempts"][-1]["resumedFromStep"]
    print("| | unbroken | killed |\n|---|---|---|")
    print(f"| steps done when killed, of {STEPS} | | {steps} |")
    print(f"| steps done twice | 0 | {steps - resumed} |")
    print(f"| seconds of the (last) attempt | {whole:.0f} | {again:.0f} |")
    print(f"| same weights, bit for bit | | {'yes' if same else '**NO**'} |")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
