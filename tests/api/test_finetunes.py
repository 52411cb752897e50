"""The life of an LLMFineTune at a real API server. The test plays the kubelet and KubeRay, and nobody else."""

import pytest

from api_server import ApiServer, Operator, wait_for
from charts import of_kind, rendered
from objects import finetune
from played import RESULT, ROWS, attempts, child, end_pod, is_, may, now, prepared, ray_job_is, start, tell, versions

pytestmark = pytest.mark.cluster


@pytest.fixture(autouse=True)
def _working(operator: Operator) -> None:
    assert operator.running, operator.log.read_text()


def test_a_run_goes_from_its_object_to_its_result(api: ApiServer) -> None:
    start(api)
    job = wait_for(child(api, "Job", "prepare"), "the preparation")
    assert api.list("RayJob") == [], "no accelerator is asked for before the data is prepared"
    assert job["metadata"]["ownerReferences"][0]["kind"] == "LLMFineTune"
    ray_job = prepared(api)
    is_(api, "Prepared", "True")
    ray_job_is(api, ray_job, "Running", startTime="2026-01-01T00:00:00Z")
    is_(api, "Running", "True")
    tell(api, manager="raysmith-progress", progress={"stage": "Training", "percent": 40, "updatedTime": now()})
    wait_for(lambda: api.get("LLMFineTune", "run")["status"]["phase"] == "Training", "the run's own stage as phase")  # type: ignore[index]
    tell(api, result=RESULT)
    for type_ in ("Evaluated", "Promoted", "Succeeded", "Finished"):
        is_(api, type_, "True")
    status = (api.get("LLMFineTune", "run") or {})["status"]
    assert status["progress"]["percent"] == 40, "what the run wrote is left alone"
    assert attempts(api) == [(1, "Succeeded")]


def test_a_run_that_ended_well_without_a_word_is_read_from_its_record(api: ApiServer) -> None:
    start(api)
    ray_job_is(api, prepared(api), "Complete", "SUCCEEDED", endTime="2026-01-01T00:00:00Z")
    recovery = wait_for(child(api, "Job", "recover"), "the Job that reads the record")
    assert recovery["spec"]["template"]["spec"]["automountServiceAccountToken"] is True
    tell(api, result=RESULT)
    is_(api, "Succeeded", "True")


def test_refused_data_ends_the_run_with_its_own_words(api: ApiServer) -> None:
    start(api)
    job = wait_for(child(api, "Job", "prepare"), "the preparation")
    words = '{"reason": "DataRefused", "message": "rows.jsonl:731 is no JSON; correct the line.", "retryable": false}'
    end_pod(api, job, code=2, message=words)
    found = is_(api, "Finished", "True", "DataRefused")
    assert "rows.jsonl:731" in found["message"]
    assert api.list("RayJob") == []


def test_a_fault_of_the_run_is_tried_again_with_new_pods_and_the_old_ones_are_given_back(api: ApiServer) -> None:
    start(api)
    first = prepared(api)
    failure = {
        "attempt": 1,
        "reason": "TrainingFailed",
        "message": "ValueError: no.",
        "retryable": True,
        "time": "2026-01-01T00:00:00Z",
    }
    tell(api, failure=failure)
    ray_job_is(api, first, "Failed", "FAILED", reason="AppFailed", message="driver log")
    wait_for(lambda: attempts(api)[:1] == [(1, "TrainingFailed")], f"the reason of attempt 1: {attempts(api)}")
    wait_for(child(api, "Job", "prepare", attempt=2), "attempt 2")
    wait_for(lambda: child(api, "RayJob", attempt=1)() is None, "the first RayJob to go")
    ray_job_is(api, prepared(api, 2), "Running")
    tell(api, result={**RESULT, "attempt": 2})
    is_(api, "Succeeded", "True")
    assert attempts(api) == [(1, "TrainingFailed"), (2, "Succeeded")]


def test_deleted_and_edited_children_come_back(api: ApiServer) -> None:
    start(api)
    prepared(api)
    for kind in ("ConfigMap", "ServiceAccount", "RoleBinding"):
        (made,) = list(api.list(kind, "app.kubernetes.io/managed-by=raysmith"))
        api.delete(kind, made["metadata"]["name"])
        again = wait_for(
            lambda kind=kind, uid=made["metadata"]["uid"]: [  # type: ignore[misc]
                o for o in api.list(kind, "app.kubernetes.io/managed-by=raysmith") if o["metadata"]["uid"] != uid
            ],
            f"a new {kind}",
        )
        assert len(again) == 1
    (role,) = api.list("Role", "app.kubernetes.io/managed-by=raysmith")
    wider = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    api.patch("Role", role["metadata"]["name"], {"rules": wider})
    wait_for(
        lambda: api.list("Role", "app.kubernetes.io/managed-by=raysmith")[0]["rules"] == role["rules"], "the rules of the Role"
    )


def test_reconciling_what_is_as_it_should_be_writes_nothing(api: ApiServer, operator: Operator) -> None:
    start(api)
    ray_job_is(api, prepared(api), "Running")
    is_(api, "Running", "True")

    children = ("ConfigMap", "ServiceAccount", "Role", "RoleBinding", "Job", "RayJob")
    before = versions(api, "LLMFineTune", "run", *children)
    operator.kill()
    operator.start()
    start(api, name="marker")  # when the new process has come to this one, it has looked at what lay there before
    is_(api, "Accepted", "True", name="marker")
    assert versions(api, "LLMFineTune", "run", *children) == before


def test_a_run_may_write_the_status_of_its_own_object_and_nothing_else(api: ApiServer, cluster: ApiServer) -> None:
    start(api)
    head = prepared(api)["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    account = f"{api.namespace}:{head['serviceAccountName']}"
    own, others, status = "llmfinetunes.raysmith.io/run", "llmfinetunes.raysmith.io/other", "--subresource=status"
    wait_for(lambda: may(api, account, "patch", own, status), "its right")
    assert not may(api, account, "patch", others, status)
    assert not may(api, account, "patch", own)
    assert not may(api, account, "get", "secrets")
    elsewhere = cluster.within(f"{api.namespace}-not")
    assert not may(elsewhere, account, "patch", own, status)

    def rights(of: str, where: ApiServer) -> set[str]:
        listed = where.kubectl("auth", "can-i", "--list", "--no-headers", f"--as=system:serviceaccount:{api.namespace}:{of}")
        return {" ".join(line.split()) for line in listed.splitlines()}

    beyond = [rights(head["serviceAccountName"], where) - rights("nobody", where) for where in (api, elsewhere)]
    assert beyond == [{"llmfinetunes.raysmith.io/status [] [run] [patch]"}, set()]


def test_the_store_that_the_chart_makes_is_the_one_that_runs_write_to(api: ApiServer) -> None:
    (claim,) = of_kind(rendered({"store": {"create": True, "namespaces": [api.namespace]}}), "PersistentVolumeClaim")
    made = api.apply(claim)
    start(api)
    job = wait_for(child(api, "Job", "prepare"), "the preparation")
    volumes = [volume.get("persistentVolumeClaim") or {} for volume in job["spec"]["template"]["spec"]["volumes"]]
    assert made["metadata"]["name"] in [volume.get("claimName") for volume in volumes]


def test_suspending_gives_the_machines_back_and_resuming_starts_the_next_attempt(api: ApiServer) -> None:
    start(api)
    ray_job = prepared(api)
    ray_job_is(api, ray_job, "Running")
    is_(api, "Running", "True")
    api.patch("LLMFineTune", "run", {"spec": {"suspend": True}})
    is_(api, "Running", "False", "Suspending")
    ray_job_is(api, ray_job, "Failed", "FAILED", reason="AppFailed", message="interrupted")
    is_(api, "Running", "False", "Suspended")
    wait_for(lambda: api.list("RayJob") == [], "the RayJob to go")
    api.patch("LLMFineTune", "run", {"spec": {"suspend": False}})
    wait_for(lambda: attempts(api) == [(1, "Suspended"), (2, None)], "attempt 2")


def test_a_queue_keeps_the_ray_job_and_what_it_writes_into_it(api: ApiServer) -> None:
    """As Kueue does: its label is handed on, and `spec.suspend` of the RayJob stays its own."""
    document = finetune(name="run", data=ROWS)
    document["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "team"}
    api.create(document)
    job = wait_for(child(api, "Job", "prepare"), "the preparation")
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    ray_job = prepared(api)
    assert ray_job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    api.patch("RayJob", ray_job["metadata"]["name"], {"spec": {"suspend": True}})
    is_(api, "Running", "False", "Queued")
    assert (api.get("RayJob", ray_job["metadata"]["name"]) or {})["spec"]["suspend"] is True


def test_a_run_goes_on_from_another_one_when_that_has_passed_its_gate(api: ApiServer) -> None:
    start(api, name="second", model={"fineTune": {"name": "run"}})
    is_(api, "Running", "False", "WaitingForModel", name="second")
    start(api)
    ray_job_is(api, prepared(api), "Complete", "SUCCEEDED")
    tell(api, result=RESULT)
    is_(api, "Succeeded", "True")
    wait_for(lambda: (api.get("LLMFineTune", "second") or {})["status"].get("model"), "what the reference leads to")
    assert (api.get("LLMFineTune", "second") or {})["status"]["model"]["digest"] == RESULT["artifact"]["digest"]  # type: ignore[index]


def test_a_run_on_one_that_failed_its_gate_is_refused_with_the_reason(api: ApiServer) -> None:
    start(api)
    start(api, name="second", model={"fineTune": {"name": "run"}})
    prepared(api)
    tell(api, result={**RESULT, "promoted": False, "message": "ValidationLoss is 3.1."})
    is_(api, "Promoted", "False", "GateFailed")
    is_(api, "Finished", "True", "ModelNotPromoted", name="second")


def test_what_is_not_built_is_refused_by_name(api: ApiServer) -> None:
    start(api, objective="DPO")
    found = is_(api, "Accepted", "False", "Refused")
    assert "spec.objective" in found["message"]
    is_(api, "Finished", "True")
    assert api.list("Job") == []


def test_deleting_the_object_takes_its_children_along(api: ApiServer) -> None:
    start(api)
    prepared(api)
    api.delete("LLMFineTune", "run")
    wait_for(lambda: api.get("LLMFineTune", "run") is None, "the object to go")
    wait_for(lambda: not api.list("RayJob") and not api.list("Job"), "its children to go")


def test_a_run_that_is_made_again_under_its_name_gets_children_of_its_own(api: ApiServer) -> None:
    old = start(api)["metadata"]["uid"]
    wait_for(child(api, "Job", "prepare"), "the preparation")
    api.delete("LLMFineTune", "run")
    wait_for(lambda: api.get("LLMFineTune", "run") is None, "the object to go")
    new = start(api)["metadata"]["uid"]  # while what the old one owned is still being cleared away

    def owners() -> set[str]:
        return {owner["uid"] for job in api.list("Job") for owner in job["metadata"]["ownerReferences"]}

    wait_for(lambda: owners() == {new} != {old}, "a preparation of the new object's own", 90)
    assert attempts(api) == [(1, None)]


def test_an_artefact_that_is_not_to_stay_is_deleted_before_the_object_goes(api: ApiServer) -> None:
    start(api, output={"deletionPolicy": "Delete"})
    wait_for(child(api, "Job", "prepare"), "the preparation")
    api.delete("LLMFineTune", "run")
    deletion = wait_for(lambda: list(api.list("Job", "raysmith.io/step=delete")), "the Job that deletes")[0]
    assert api.get("LLMFineTune", "run") is not None
    end_pod(api, deletion)
    wait_for(lambda: api.get("LLMFineTune", "run") is None, "the object to go")


def test_a_finished_object_is_deleted_when_its_time_is_over(api: ApiServer) -> None:
    start(api, ttlSecondsAfterFinished=1)
    prepared(api)
    tell(api, result=RESULT)
    wait_for(lambda: api.get("LLMFineTune", "run") is None, "the object to go")


def test_every_change_is_told_in_an_event(api: ApiServer) -> None:
    start(api)
    wait_for(child(api, "Job", "prepare"), "the preparation")
    told = wait_for(lambda: [e for e in api.list("Event") if e["involvedObject"]["kind"] == "LLMFineTune"], "an Event")
    assert {e["source"]["component"] for e in told} == {"raysmith"}
    assert "Accepted" in {e["reason"] for e in told}


def test_kubectl_shows_phase_progress_and_attempt(api: ApiServer) -> None:
    start(api)
    ray_job_is(api, prepared(api), "Running")
    progress = {
        "stage": "Training",
        "percent": 40,
        "loss": 1.25,
        "tokensPerSecond": 900.0,
        "secondsLeft": 61,
        "updatedTime": now(),
    }
    tell(api, manager="raysmith-progress", progress=progress)
    wait_for(lambda: (api.get("LLMFineTune", "run") or {})["status"]["phase"] == "Training", "the phase")
    shown = api.kubectl("get", "llmfinetunes", "run").split("\n")
    assert shown[0].split()[:7] == ["NAME", "PHASE", "PROGRESS%", "LOSS", "TOKENS/S", "LEFT", "ATTEMPT"]
    assert shown[1].split()[:7] == ["run", "Training", "40", "1.25", "900", "61", "1"]


def test_kubectl_waits_for_the_end_of_a_run(api: ApiServer) -> None:
    start(api)
    prepared(api)
    tell(api, result=RESULT)
    assert "condition met" in api.kubectl("wait", "--for=condition=Succeeded", "llmfinetune/run", "--timeout=30s")
