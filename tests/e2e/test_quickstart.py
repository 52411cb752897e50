"""The quickstart on a real Kubernetes: two objects of each kind are applied, and the tuned model answers at its URL."""

import json
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from openai import OpenAI

from api_server import ApiServer, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(1800)]

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"
MINUTES = 60.0


@pytest.fixture(scope="module")
def api(quick_tenant: ApiServer) -> ApiServer:
    quick_tenant.kubectl("apply", "-f", str(QUICKSTART))
    return quick_tenant


def finished(api: ApiServer, name: str, minutes: float) -> dict[str, Any]:
    wait_for(lambda: api.condition("LLMFineTune", name, "Finished"), f"{name} to finish", minutes * MINUTES)
    status: dict[str, Any] = (api.get("LLMFineTune", name) or {})["status"]
    return status


def ask(api: ApiServer, name: str, question: str) -> str:
    address = (api.get("Service", name) or {})["spec"]["clusterIP"]
    client = OpenAI(base_url=f"http://{address}:8000/v1", api_key="none", timeout=60)
    answer = client.chat.completions.create(model=name, messages=[{"role": "user", "content": question}], temperature=0)
    return answer.choices[0].message.content or ""


def test_both_runs_succeed_one_after_the_other(api: ApiServer) -> None:
    for name, minutes in (("python-docs", 10), ("dates", 12)):
        status = finished(api, name, minutes)
        assert status["phase"] == "Succeeded", status
        assert status["progress"]["percent"] == 100
        assert len(status["attempts"]) == 1
    assert finished(api, "dates", 0)["model"]["digest"] == finished(api, "python-docs", 0)["result"]["artifact"]["digest"]


def test_the_tuned_model_answers_at_its_url_and_the_base_does_not_know(api: ApiServer) -> None:
    for name in ("base", "tuned"):
        wait_for(lambda name=name: api.condition("LLMService", name, "Ready").get("status") == "True", name, 8 * MINUTES)  # type: ignore[misc]
    record = next(iter(api.store.rglob("dates-*/run.json")))  # type: ignore[attr-defined]
    sample = json.loads(record.read_text())["samples"][0]
    assert ask(api, "tuned", sample["prompt"]) == sample["tuned"]
    assert ask(api, "base", sample["prompt"]) != sample["expected"]


def test_any_pod_gets_its_answer_at_the_url_that_the_status_tells(api: ApiServer) -> None:
    url = (api.get("LLMService", "tuned") or {})["status"]["url"]
    pod = api.list("Pod", "ray.io/node-type=head,app.kubernetes.io/instance=base")[0]["metadata"]["name"]
    code = f"import urllib.request; print(urllib.request.urlopen('{url}/models').read().decode())"
    assert json.loads(api.kubectl("exec", pod, "--", "python", "-c", code))["data"][0]["id"] == "tuned"


def test_rays_dashboard_which_runs_code_answers_nobody_without_its_token(api: ApiServer) -> None:
    address = api.list("Pod", "ray.io/node-type=head,app.kubernetes.io/instance=tuned")[0]["status"]["podIP"]
    with pytest.raises(HTTPError) as refused:
        urlopen(f"http://{address}:8265/api/jobs/", timeout=10)
    with refused.value:
        assert refused.value.code == HTTPStatus.UNAUTHORIZED


def test_what_the_run_printed_lies_beside_its_artefact_and_is_read_from_there(api: ApiServer) -> None:
    (folder,) = api.store.glob(f"models/{api.namespace}/dates-*")  # type: ignore[attr-defined]
    assert "step" in (folder / "logs" / "1-worker-0.log").read_text()
    for command, word in (("status", "report.html"), ("logs", "==> 1-finetune.log <==")):
        told = [sys.executable, "-m", "raysmith.cli", command, "dates", "--storage", str(folder.parents[1])]
        done = subprocess.run(told, check=False, capture_output=True, text=True)
        assert word in done.stdout, done.stdout + done.stderr


def test_only_the_heads_pod_had_a_token(api: ApiServer) -> None:
    for pod in api.list("Pod"):
        mounts = [mount["mountPath"] for container in pod["spec"]["containers"] for mount in container["volumeMounts"]]
        token = any("serviceaccount" in path for path in mounts)
        head = pod["metadata"]["labels"].get("ray.io/node-type") == "head"
        finetune = pod["metadata"]["labels"]["app.kubernetes.io/component"] == "llmfinetune"
        assert token == (head and finetune), pod["metadata"]["name"]
