"""Benchmarks: each prints one table, ours beside the peer, on the same work in the same run."""

import sys
from pathlib import Path

# What tests and benchmarks do alike, such as making a namespace with a store, stands once, in tests/.
sys.path.append(str(Path(__file__).parents[1] / "tests"))
