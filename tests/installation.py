"""The chart in a real cluster: installed, upgraded, tested and uninstalled with Helm, as whoever runs the cluster does."""

import os
import shutil
import subprocess
from pathlib import Path

import yaml

from api_server import ApiServer
from charts import CHART, ROOT
from support import go_tool

SYSTEM = "raysmith-system"
HACK = ROOT / "hack" / "cluster"


class Installation:
    """The release `raysmith` in the cluster of a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._helm = [str(go_tool("helm")), "--kubeconfig", str(kubeconfig), "--namespace", SYSTEM]
        own = [] if os.environ.get("KUBECONFIG") else [f"--values={HACK / 'names.yaml'}"]
        self._values = [f"--values={HACK / 'values.yaml'}", *own]

    def install(self, chart: Path = CHART, *settings: str) -> None:
        """Install the chart or upgrade to it, and wait until the operator runs. `settings` are `key=value`.

        Its namespace enforces the "restricted" Pod Security Standard, so that pods which it would not admit fail the tests.
        """
        metadata = {"name": SYSTEM, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
        # As a manager of its own: the label would go when another one applies the namespace without it.
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        ApiServer(self._kubeconfig).apply(namespace, manager="installation")
        changes = [f"--set={setting}" for setting in settings]
        self._run("upgrade", "--install", "raysmith", str(chart), *self._values, *changes, "--wait", "--timeout=180s")

    def uninstall(self) -> None:
        """Uninstall it, and wait until its pods are gone."""
        self._run("uninstall", "raysmith", "--wait", "--ignore-not-found")

    def test(self) -> str:
        """`helm test`. Raises CalledProcessError if it fails."""
        return self._run("test", "raysmith", "--timeout=120s")

    def _run(self, *arguments: str) -> str:
        done = subprocess.run([*self._helm, *arguments], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout


def former_chart(folder: Path) -> Path:
    """The chart as a version before this one could have been: an older number, and a CRD that lacks a field of today's."""
    chart = Path(shutil.copytree(CHART, folder / "raysmith", symlinks=False))
    about = yaml.safe_load((chart / "Chart.yaml").read_text()) | {"version": "0.0.9"}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about))
    path = chart / "files" / "crds" / "raysmith.io_llmfinetunes.yaml"
    definition = yaml.safe_load(path.read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["spec"]["properties"]["ttlSecondsAfterFinished"]
    path.write_text(yaml.safe_dump(definition))
    return chart
