"""Benchmarks: each prints one table, ours beside the peer, on the same work in the same run."""
