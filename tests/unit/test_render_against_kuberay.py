"""KubeRay itself is the judge: its CRDs (unknown fields refused), its Go types, and what its controllers check afterwards.

The judge is tests/tools/kuberay-check, built on KubeRay's own Go module.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from raysmith.render.kuberay_rules import kuberay_findings
from rendering import Case, cases, rendered
from support import go_module_folder, go_tool

Manifest = dict[str, Any]
KUBERAY = "github.com/ray-project/kuberay/ray-operator"


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], list[list[str]]]:
    """What KubeRay says of each text of manifests: a list of sentences, each behind the judge that said it."""
    judge = go_tool("kuberay-check")
    crds = go_module_folder("kuberay-check", KUBERAY) / "config" / "crd" / "bases"

    def ask(texts: list[str]) -> list[list[str]]:
        folder = tmp_path_factory.mktemp("manifests")
        files = [folder / f"{i}.yaml" for i in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)
        output = subprocess.run([judge, crds, *files], check=True, capture_output=True, text=True).stdout
        report = json.loads(output)
        assert report["manifests"] == sum(len(list(yaml.safe_load_all(text))) for text in texts)
        said = [(Path(finding["file"]), f"{finding['judge']}: {finding['message']}") for finding in report["findings"]]
        return [[sentence for where, sentence in said if where == file] for file in files]

    return ask


@pytest.fixture(scope="module")
def said_of_cases(judged: Callable[[list[str]], list[list[str]]]) -> dict[str, list[str]]:
    return dict(zip([case.name for case in cases()], judged([rendered(case) for case in cases()]), strict=True))


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_kuberay_accepts_what_is_rendered(case: Case, said_of_cases: dict[str, list[str]]) -> None:
    assert said_of_cases[case.name] == []


def _good(kind: str) -> Manifest:
    case = next(case for case in cases() if ("finetune" if kind == "RayJob" else "service") + "-minimal" in case.name)
    return next(manifest for manifest in yaml.safe_load_all(rendered(case)) if manifest["kind"] == kind)


def _changed(kind: str, path: str, value: Any) -> Manifest:
    """A good manifest with the field at `path` set, or taken away where `value` is None."""
    manifest = _good(kind)
    *parents, last = path.split("/")
    place: Any = manifest
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
    if value is None:
        del place[last]
    elif isinstance(place, list):
        place.insert(int(last), value)
    else:
        place[last] = value
    return manifest


JOB, SERVICE = "spec/rayClusterSpec", "spec/rayClusterConfig"
HEAD_ENV = "headGroupSpec/template/spec/containers/0/env/0"
WORKERS = "workerGroupSpecs/0"
REFUSED_BY_BOTH = {
    "a RayJob's name of 48 characters": ("RayJob", "metadata/name", "a" * 48),
    "a RayService's name of 48 characters": ("RayService", "metadata/name", "a" * 48),
    "a name that starts with a digit": ("RayJob", "metadata/name", "1-run"),
    "a name that ends with a dash": ("RayService", "metadata/name", "run-"),
    "a name with a dot": ("RayJob", "metadata/name", "my.run"),
    "retries in InteractiveMode": ("RayJob", "spec", {"submissionMode": "InteractiveMode", "backoffLimit": 1}),
    "a suspended job that leaves its cluster": ("RayJob", "spec", {"suspend": True, "shutdownAfterJobFinishes": False}),
    "a time to live without a shutdown": ("RayJob", "spec/shutdownAfterJobFinishes", False),
    "a negative time to live": ("RayJob", "spec/ttlSecondsAfterFinished", -1),
    "a deadline of 0": ("RayJob", "spec/activeDeadlineSeconds", 0),
    "a deadline of 0 for the start": ("RayJob", "spec/preRunningDeadlineSeconds", 0),
    "a negative number of retries": ("RayJob", "spec/backoffLimit", -1),
    "no cluster": ("RayJob", JOB, None),
    "token authentication without a version": ("RayJob", f"{JOB}/rayVersion", None),
    "token authentication with an old Ray": ("RayService", f"{SERVICE}/rayVersion", "2.51.2"),
    "Kubernetes tokens": ("RayJob", f"{JOB}/authOptions/enableK8sTokenAuth", True),
    "a group without a smallest size": ("RayJob", f"{JOB}/{WORKERS}/minReplicas", None),
    "a group without a largest size": ("RayService", f"{SERVICE}/{WORKERS}/maxReplicas", None),
    "a group that is larger than its largest size": ("RayJob", f"{JOB}/{WORKERS}/minReplicas", 5),
    "a negative smallest size": ("RayJob", f"{JOB}/{WORKERS}/minReplicas", -1),
    "resources in two places": ("RayJob", f"{JOB}/headGroupSpec/resources", {"CPU": "1"}),
    "labels among the start parameters": ("RayJob", f"{JOB}/{WORKERS}/rayStartParams/labels", "a=b"),
    "a label that is none": ("RayJob", f"{JOB}/{WORKERS}/labels", {"a b": "c"}),
    "a label's value that is none": ("RayJob", f"{JOB}/{WORKERS}/labels", {"a": "b c"}),
    "no container in the head": ("RayJob", f"{JOB}/headGroupSpec/template/spec/containers", []),
    "no container in the workers": ("RayService", f"{SERVICE}/{WORKERS}/template/spec/containers", []),
    "an address of Redis": ("RayJob", f"{JOB}/{HEAD_ENV}", {"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"}),
    "a user of Redis": ("RayService", f"{SERVICE}/{HEAD_ENV}", {"name": "REDIS_USERNAME", "value": "a"}),
    "autoscaler v2 without autoscaling": ("RayJob", f"{JOB}/{HEAD_ENV}", {"name": "RAY_enable_autoscaler_v2", "value": "1"}),
    "an unknown way to upgrade": ("RayService", "spec/upgradeStrategy/type", "BlueGreen"),
    "a negative delay": ("RayService", "spec/rayClusterDeletionDelaySeconds", -1),
    "a name for the head's service": ("RayService", f"{SERVICE}/headGroupSpec/headService", {"metadata": {"name": "a"}}),
}


def _bad(row: tuple[str, str, Any]) -> Manifest:
    """The manifest of a row. A map for all of `spec` is laid over it."""
    kind, path, value = row
    return _changed(kind, path, _good(kind)["spec"] | value if path == "spec" else value)


@pytest.fixture(scope="module")
def said_of_bad_ones(judged: Callable[[list[str]], list[list[str]]]) -> dict[str, list[str]]:
    texts = [yaml.safe_dump(_bad(row)) for row in REFUSED_BY_BOTH.values()]
    return dict(zip(REFUSED_BY_BOTH, judged(texts), strict=True))


@pytest.mark.parametrize("name", REFUSED_BY_BOTH)
def test_our_rules_refuse_what_kuberay_refuses(name: str, said_of_bad_ones: dict[str, list[str]]) -> None:
    assert said_of_bad_ones[name], "KubeRay accepts it: the rule is ours alone"
    assert kuberay_findings(_bad(REFUSED_BY_BOTH[name]))


@pytest.mark.parametrize("kind", ["RayJob", "RayService"])
def test_our_rules_accept_what_is_rendered(kind: str) -> None:
    assert kuberay_findings(_good(kind)) == []


NEVER_FINISHED = {
    "a misspelt way to submit": ("RayJob", "spec/submissionMode", "HttpMode"),
    "ports without the dashboard's": (
        "RayJob",
        f"{JOB}/headGroupSpec/template/spec/containers/0/ports",
        [{"name": "client", "containerPort": 10001}],
    ),
}


@pytest.mark.parametrize("name", NEVER_FINISHED)
def test_our_rules_refuse_what_kuberay_accepts_and_never_finishes(
    name: str, judged: Callable[[list[str]], list[list[str]]]
) -> None:
    manifest = _bad(NEVER_FINISHED[name])
    assert judged([yaml.safe_dump(manifest)]) == [[]], "KubeRay refuses it by now; move it to the other table"
    assert kuberay_findings(manifest)


UNKNOWN_OR_WRONG = {
    "an unknown field": ("RayJob", "spec/retries", 3, "schema: unknown field"),
    "an unknown field of a pod": ("RayService", f"{SERVICE}/headGroupSpec/template/spec/gpu", 1, "schema: unknown field"),
    "a number where a string belongs": ("RayJob", f"{JOB}/headGroupSpec/rayStartParams/num-cpus", 0, "schema: "),
}


@pytest.mark.parametrize("name", UNKNOWN_OR_WRONG)
def test_the_judge_is_strict(name: str, judged: Callable[[list[str]], list[list[str]]]) -> None:
    kind, path, value, expected = UNKNOWN_OR_WRONG[name]
    (said,) = judged([yaml.safe_dump(_changed(kind, path, value))])
    assert any(sentence.startswith(expected) for sentence in said)
