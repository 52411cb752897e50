"""The quickstart on a real Kubernetes: two objects of each kind are applied, and the tuned model answers at its URL."""

import json
from pathlib import Path
from typing import Any

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


def test_what_the_run_printed_lies_beside_its_artefact(api: ApiServer) -> None:
    (folder,) = api.store.glob(f"models/{api.namespace}/dates-*")  # type: ignore[attr-defined]
    assert "step" in (folder / "logs" / "1-worker-0.log").read_text()
    assert (folder / "logs" / "1-prepare.log").exists()


def test_only_the_heads_pod_had_a_token(api: ApiServer) -> None:
    for pod in api.list("Pod"):
        mounts = [mount["mountPath"] for container in pod["spec"]["containers"] for mount in container["volumeMounts"]]
        token = any("serviceaccount" in path for path in mounts)
        head = pod["metadata"]["labels"].get("ray.io/node-type") == "head"
        finetune = pod["metadata"]["labels"]["app.kubernetes.io/component"] == "llmfinetune"
        assert token == (head and finetune), pod["metadata"]["name"]
