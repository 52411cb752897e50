"""The chart, rendered by Helm and judged by the API server's code."""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from support import go_tool

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "raysmith"
OLDEST_KUBERNETES = "1.30.0"

Manifest = dict[str, Any]


class Verdict(NamedTuple):
    """What chart-check says: of each manifest, of each request, and which fields the parts of a pod have."""

    manifests: list[list[str]]
    requests: list[list[str]]
    fields: dict[str, list[str]]


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as home:
        places = {f"HELM_{kind}_HOME": f"{home}/{kind}" for kind in ("CACHE", "CONFIG", "DATA")}
        environment = {**os.environ, **places, "KUBECONFIG": "/dev/null"}
        command = [str(go_tool("helm")), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def rendered(values: dict[str, Any], api_versions: Sequence[str] = (), chart: Path = CHART) -> list[Manifest]:
    """What the chart makes of `values`, in a cluster that has `api_versions` besides Kubernetes' own."""
    return json.loads(_rendered(json.dumps(values), tuple(api_versions), chart))  # type: ignore[no-any-return]


@cache
def _rendered(values: str, api_versions: tuple[str, ...], chart: Path) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(values)
        file.flush()
        versions = [f"--api-versions={version}" for version in api_versions]
        place = ["--namespace", "raysmith-system", "--kube-version", OLDEST_KUBERNETES]
        done = helm("template", "raysmith", str(chart), *place, "--values", file.name, *versions)
    assert done.returncode == 0, done.stderr
    return json.dumps([document for document in yaml.safe_load_all(done.stdout) if document])


def defaults() -> dict[str, Any]:
    """values.yaml as data."""
    values: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return values


def checked(manifests: list[Manifest], requests: Sequence[dict[str, Any]] = ()) -> Verdict:
    """The API server's answer to all of them at once. A request is `{"object": ...}`, with `"old"` where it is an update."""
    text = json.dumps({"manifests": manifests, "requests": list(requests)})
    done = subprocess.run([go_tool("chart-check")], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Verdict(**json.loads(done.stdout))


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def named(manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    return f"{manifest['kind']} {metadata.get('namespace', '')}/{metadata['name']}"
