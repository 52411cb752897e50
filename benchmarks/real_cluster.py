"""The cluster that benchmarks of the whole use: that of $KUBECONFIG, or the one that `make cluster-up` has started."""

import os
import subprocess
import sys
from pathlib import Path

from api_server import ApiServer
from installation import HACK, SYSTEM, Installation


def installed_cluster() -> ApiServer:
    """Its API server, with our chart installed. Ends with a sentence if there is none."""
    kubeconfig = Path(os.environ.get("KUBECONFIG") or _started())
    Installation(kubeconfig).install()
    return ApiServer(kubeconfig).within(SYSTEM)


def _started() -> str:
    done = subprocess.run([sys.executable, str(HACK / "cluster"), "status"], check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit("No cluster runs. Start one with `make cluster-up cluster-images`, or name one in $KUBECONFIG.")
    return done.stdout.rpartition("KUBECONFIG=")[2].strip()
