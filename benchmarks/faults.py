"""From a fault to its explanation: each fault of tests/faults.py by itself, on a real Kubernetes.

    python -m benchmarks.faults [--only WORDS]

Uses the cluster of $KUBECONFIG, or the one that `make cluster-up` has started, and installs the chart into it. The time runs
from applying the object to the condition that says what is wrong.
"""

import argparse
import sys
import time

from api_server import ApiServer
from benchmarks.real_cluster import installed_cluster
from faults import FAULTS, Fault, told
from tenants import forget, namespace

PATIENCE = 600


def explained(system: ApiServer, number: int, fault: Fault) -> float:
    """Seconds from applying the fault to its explanation."""
    tenant = namespace(system, f"explain-{number}-{int(time.time())}")
    try:
        fault.prepare(tenant)
        start = time.perf_counter()
        tenant.create(fault.document)
        while not told(tenant, fault):
            if time.perf_counter() - start > PATIENCE:
                raise SystemExit(f"{fault.reason} was not told in {PATIENCE} s.")
            time.sleep(0.1)
        return time.perf_counter() - start
    finally:
        forget(system, tenant)


def main() -> None:
    """Provoke each fault, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="those whose description has these words in it")
    arguments = parser.parse_args()
    system = installed_cluster()
    rows = []
    for number, (name, fault) in enumerate(FAULTS.items()):
        if arguments.only in name:
            rows.append((name, fault.reason, explained(system, number, fault)))
            print(f"{name}: {rows[-1][2]:.0f} s", file=sys.stderr, flush=True)
    print("| fault | reason | seconds to the explanation |\n|---|---|--:|")
    for row in sorted(rows, key=lambda row: row[2]):
        print("| {} | `{}` | {:.0f} |".format(*row))


if __name__ == "__main__":
    main()
