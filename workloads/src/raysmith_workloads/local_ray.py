"""Keeps one Ray on this machine for a local run: `python -m raysmith_workloads.local_ray --num-cpus 8`.

Prints `{"address": "127.0.0.1:PORT"}` as one line on stdout and lives until stdin closes; Ray's processes end with it.
Other processes join with RAY_ADDRESS. No dashboard, no usage reports, nothing but the loopback address.
"""

import argparse
import json
import os
import signal
import sys

from raysmith_workloads.ray_start import init_ray


def main() -> None:
    """Start Ray, say where it is, wait for the end of stdin."""
    parser = argparse.ArgumentParser(description="Keep one Ray on this machine until stdin closes.")
    parser.add_argument("--num-cpus", type=int, required=True, help="logical CPUs that Ray may hand out")
    arguments = parser.parse_args()
    os.environ.pop("RAY_ADDRESS", None)  # a Ray of our own, whatever the surroundings have
    import ray

    context = init_ray(
        address="local", num_cpus=arguments.num_cpus, include_dashboard=False, log_to_driver=False, logging_level="WARNING"
    )
    # The command line stops children in order; a Ctrl-C in the terminal must not end Ray before them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout.write(json.dumps({"address": context.address_info["address"]}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    ray.shutdown()


if __name__ == "__main__":
    main()
