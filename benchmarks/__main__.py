"""All benchmarks, one after the other: `python -m benchmarks`, or one of them: `python -m benchmarks.training --help`."""

import subprocess
import sys

NAMES = ("demo", "training", "resume", "serving", "reconcile")


def main() -> None:
    """Run each in a process of its own and print its table."""
    for name in NAMES:
        print(f"\n## {name}\n", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)


if __name__ == "__main__":
    main()
