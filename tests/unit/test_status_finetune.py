"""Where a run stands and what it needs next: a table of situations, each a sentence."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from raysmith.api import LLMFineTune
from raysmith.api.common import Artifact
from raysmith.status.conditions import find, kuberay_missing
from raysmith.status.evidence import Cause, Diagnosis
from raysmith.status.finetune import Seen, Verdict, Want, expired, verdict

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
RESULT = {
    "attempt": 1,
    "artifact": {"uri": "pvc://s/default/tune-1", "digest": "sha256:" + "1" * 64},
    "promoted": True,
    "message": "All good.",
}
JOB_DONE: dict[str, Any] = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
RUNNING: dict[str, Any] = {"status": {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}}
ENDED: dict[str, Any] = {
    "status": {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED", "endTime": "2026-01-01T11:59:50Z"}
}
LOST_NODE = Diagnosis("NodeLost", "The node went away.", "pod", Cause.INFRASTRUCTURE)
FAULT = Diagnosis("TrainingFailed", "ValueError: no.", None, Cause.RUN)
BAD_DATA = Diagnosis("DataRefused", "rows.jsonl:7 is no JSON.", None, Cause.USER)
NO_ROOM = Diagnosis("Unschedulable", "No node has 8 CPUs.", "pod", Cause.WAITING, terminal=False)


def tune(status: dict[str, Any] | None = None, **spec: Any) -> LLMFineTune:
    document = {
        "metadata": {"name": "tune", "uid": "12345678", "generation": 3},
        "spec": {
            "model": {"source": "builtin://tiny"},
            "data": {"train": [{"name": "rows", "source": "pvc://c/rows.jsonl"}]},
            "method": {"full": {}},
            **spec,
        },
        **({"status": status} if status else {}),
    }
    return LLMFineTune.model_validate(document)


def later(obj: LLMFineTune, said: Verdict, **by_the_run: Any) -> LLMFineTune:
    """The object with the status that was written, and with what the run has written beside it."""
    return obj.model_copy(update={"status": said.status.model_copy(update=by_the_run)})


def condition(said: Verdict, type_: str) -> tuple[str, str]:
    found = find(said.status.conditions, type_)
    assert found is not None, [c.type for c in said.status.conditions or []]
    return found.status.value, found.reason


def test_a_new_run_opens_its_first_attempt_and_prepares_its_data() -> None:
    said = verdict(tune(), Seen(), NOW)
    assert said.want is Want.PREPARE
    assert [(a.number, a.end_time) for a in said.status.attempts or []] == [(1, None)]
    assert condition(said, "Accepted") == ("True", "Accepted")
    assert said.status.observed_generation == 3


def test_prepared_data_asks_for_the_pods_that_train() -> None:
    said = verdict(later(tune(), verdict(tune(), Seen(), NOW)), Seen(job=JOB_DONE), NOW)
    assert said.want is Want.TRAIN
    assert condition(said, "Prepared") == ("True", "Prepared")


def test_the_same_observations_come_to_the_same_verdict() -> None:
    first = verdict(tune(), Seen(), NOW)
    second = verdict(later(tune(), first), Seen(), NOW + timedelta(seconds=30))
    assert second == first


def test_a_start_is_looked_at_again_ever_more_rarely_because_not_everything_that_delays_it_is_watched() -> None:
    first = verdict(tune(), Seen(), NOW)
    looks = [verdict(later(tune(), first), Seen(), NOW + timedelta(seconds=age)).again for age in (0, 60, 3600)]
    assert looks == [15, 30, 300]


def test_what_keeps_a_pod_waiting_is_told_and_nothing_is_given_up() -> None:
    said = verdict(later(tune(), verdict(tune(), Seen(), NOW)), Seen(diagnosis=NO_ROOM), NOW)
    assert said.want is Want.PREPARE
    assert condition(said, "Prepared") == ("False", "Unschedulable")


def test_a_run_that_is_going_shows_its_own_stage() -> None:
    progress = {"stage": "Training", "updatedTime": "2026-01-01T12:00:00Z"}
    obj = tune({"attempts": [{"number": 1}], "attempt": 1, "progress": progress})
    said = verdict(obj, Seen(job=JOB_DONE, ray_job=RUNNING), NOW)
    assert (said.want, said.status.phase) == (Want.KEEP, "Training")
    assert condition(said, "Running") == ("True", "Running")


def test_a_queue_that_holds_the_run_back_is_told() -> None:
    said = verdict(tune({"attempts": [{"number": 1}]}), Seen(job=JOB_DONE, ray_job={"spec": {"suspend": True}}), NOW)
    assert (said.status.phase, condition(said, "Running")) == ("Queued", ("False", "Queued"))


@pytest.mark.parametrize(("promoted", "phase"), [(True, "Succeeded"), (False, "GateFailed")])
def test_a_result_ends_the_run(promoted: bool, phase: str) -> None:
    obj = tune({"attempts": [{"number": 1}], "result": {**RESULT, "promoted": promoted}})
    said = verdict(obj, Seen(job=JOB_DONE, ray_job=ENDED), NOW)
    assert (said.want, said.status.phase) == (Want.NOTHING, phase)
    assert condition(said, "Succeeded")[0] == "True"
    assert condition(said, "Finished")[0] == "True"
    assert condition(said, "Promoted")[0] == str(promoted)
    assert (said.status.attempts or [])[0].reason == "Succeeded"


def test_a_result_that_did_not_arrive_is_awaited_and_then_read_from_the_record() -> None:
    obj = tune({"attempts": [{"number": 1}]})
    waiting = verdict(obj, Seen(job=JOB_DONE, ray_job=ENDED), NOW)
    assert (waiting.want, waiting.again) == (Want.KEEP, 20)
    assert verdict(obj, Seen(job=JOB_DONE, ray_job=ENDED), NOW + timedelta(seconds=20)).want is Want.RECOVER


def test_a_recovery_without_a_result_fails_the_attempt() -> None:
    obj = tune({"attempts": [{"number": 1}]})
    said = verdict(obj, Seen(job=JOB_DONE, ray_job=ENDED, recovery=JOB_DONE), NOW + timedelta(seconds=60))
    assert (said.status.attempts or [])[0].reason == "ResultLost"


def test_a_lost_machine_costs_no_attempt_and_the_next_one_starts_at_once() -> None:
    failed = verdict(tune({"attempts": [{"number": 1}]}), Seen(ray_job=RUNNING, diagnosis=LOST_NODE), NOW)
    assert failed.status.phase == "Retrying"
    assert (failed.status.attempts or [])[0].counted is False
    again = verdict(later(tune(), failed), Seen(), NOW)
    assert again.want is Want.PREPARE
    assert again.status.attempt == 2


def test_faults_of_the_run_are_tried_again_later_each_time_and_then_no_more() -> None:
    obj, now = tune(faultTolerance={"attempts": 2}), NOW
    first = verdict(later(obj, verdict(obj, Seen(), now)), Seen(ray_job=RUNNING, diagnosis=FAULT), now)
    assert first.again == 10
    early = verdict(later(obj, first), Seen(), now + timedelta(seconds=4))
    assert (early.want, early.again) == (Want.NOTHING, 6)
    assert condition(early, "Running") == ("False", "BackingOff")
    second = verdict(later(obj, first), Seen(), now + timedelta(seconds=10))
    assert second.status.attempt == 2
    last = verdict(later(obj, second), Seen(ray_job=RUNNING, diagnosis=FAULT), now + timedelta(seconds=20))
    assert last.status.phase == "Failed"
    assert condition(last, "Finished") == ("True", "TrainingFailed")
    assert condition(last, "Succeeded") == ("False", "TrainingFailed")


def test_refused_data_is_never_tried_again() -> None:
    said = verdict(tune({"attempts": [{"number": 1}]}), Seen(diagnosis=BAD_DATA), NOW)
    assert said.status.phase == "Failed"
    found = find(said.status.conditions, "Succeeded")
    assert found is not None
    assert found.message == BAD_DATA.message


def test_what_no_pod_can_be_made_from_is_refused_and_finished() -> None:
    said = verdict(tune(), Seen(refusals=["spec.x is wrong; mend it."]), NOW)
    assert (said.want, said.status.phase) == (Want.NOTHING, "Refused")
    assert condition(said, "Accepted") == ("False", "Refused")
    assert condition(said, "Finished")[0] == "True"


def test_a_reference_without_a_result_is_waited_for_and_kept_once_it_was_there() -> None:
    obj = tune(model={"fineTune": {"name": "base"}})
    waiting = verdict(obj, Seen(waiting_for="base has not finished yet."), NOW)
    assert (waiting.want, condition(waiting, "Running")) == (Want.NOTHING, ("False", "WaitingForModel"))
    model = Artifact(uri="pvc://s/x", digest="sha256:" + "2" * 64)
    started = verdict(later(obj, waiting), Seen(model=model), NOW)
    assert started.status.model == model
    gone = verdict(later(obj, started), Seen(waiting_for="base is not in the namespace."), NOW)
    assert (gone.want, gone.status.model) == (Want.PREPARE, model)


def test_a_reference_that_failed_its_gate_ends_the_run() -> None:
    said = verdict(tune(), Seen(reference_failed="base failed its gate."), NOW)
    assert condition(said, "Finished") == ("True", "ModelNotPromoted")


def test_suspending_waits_for_a_last_checkpoint_and_then_gives_the_machines_back() -> None:
    obj = tune({"attempts": [{"number": 1}]}, suspend=True)
    first = verdict(obj, Seen(ray_job=RUNNING), NOW)
    assert (first.want, first.status.phase, first.again) == (Want.KEEP, "Suspending", 60)
    ended = verdict(later(obj, first), Seen(ray_job=ENDED), NOW + timedelta(seconds=5))
    assert (ended.want, ended.status.phase) == (Want.CLEAR, "Suspended")
    assert [(a.reason, a.counted) for a in ended.status.attempts or []] == [("Suspended", False)]
    overdue = verdict(later(obj, first), Seen(ray_job=RUNNING), NOW + timedelta(seconds=60))
    assert overdue.want is Want.CLEAR


def test_a_run_that_ends_well_while_it_is_being_suspended_has_succeeded() -> None:
    obj = tune({"attempts": [{"number": 1}], "result": RESULT}, suspend=True)
    said = verdict(obj, Seen(ray_job=ENDED), NOW)
    assert (said.status.phase, condition(said, "Finished")[0]) == ("Succeeded", "True")
    closed = tune({"attempts": [{"number": 1, "reason": "Suspended", "endTime": "2026-01-01T11:00:00Z"}], "result": RESULT})
    late = verdict(closed, Seen(), NOW)
    assert late.status.phase == "Succeeded"
    assert [attempt.reason for attempt in late.status.attempts or []] == ["Suspended"]


def test_resuming_opens_the_next_attempt_at_once() -> None:
    suspended = verdict(tune({"attempts": [{"number": 1}]}, suspend=True), Seen(), NOW)
    said = verdict(later(tune(), suspended), Seen(), NOW)
    assert (said.want, said.status.attempt) == (Want.PREPARE, 2)


def test_missing_kuberay_is_a_condition_and_not_the_end() -> None:
    obj = tune({"attempts": [{"number": 1}]})
    said = verdict(obj, Seen(job=JOB_DONE, hindered=kuberay_missing("Running", "RayJob", "run")), NOW)
    assert condition(said, "Running") == ("False", "KubeRayMissing")
    assert said.again == 30
    assert verdict(later(obj, said), Seen(job=JOB_DONE, ray_job=RUNNING), NOW).want is Want.KEEP


def test_a_deleted_ray_job_costs_its_attempt_and_nothing_more() -> None:
    deleted = Diagnosis("RayJobDeleted", "It was deleted.", None, Cause.INFRASTRUCTURE)
    said = verdict(tune({"attempts": [{"number": 1}]}), Seen(job=JOB_DONE, diagnosis=deleted), NOW)
    assert said.status.phase == "Retrying"


def test_a_finished_run_stays_as_it_is_until_its_time_to_live_is_over() -> None:
    obj = tune({"attempts": [{"number": 1}], "result": RESULT}, ttlSecondsAfterFinished=60)
    done = later(obj, verdict(obj, Seen(), NOW))
    kept = verdict(done, Seen(diagnosis=FAULT), NOW + timedelta(seconds=10))
    assert (kept.want, kept.again, kept.status) == (Want.NOTHING, 50, done.status)
    assert not expired(done, NOW + timedelta(seconds=59))
    assert expired(done, NOW + timedelta(seconds=60))


def test_a_refusal_that_comes_while_it_trains_waits_for_another_attempt() -> None:
    obj = tune({"attempts": [{"number": 1}]})
    said = verdict(obj, Seen(job=JOB_DONE, ray_job=RUNNING, refusals=["No."]), NOW)
    assert (said.want, said.status.phase) == (Want.KEEP, "Starting")
    told = tune({"attempts": [{"number": 1}], "result": RESULT})
    said = verdict(told, Seen(ray_job=ENDED, refusals=["No."]), NOW)
    assert condition(said, "Succeeded")[0] == "True"


def test_a_refusal_before_it_trains_takes_the_preparation_away() -> None:
    said = verdict(tune({"attempts": [{"number": 1}]}), Seen(refusals=["No."]), NOW)
    assert (said.want, said.status.phase) == (Want.CLEAR, "Refused")
    assert said.status.attempts is not None
    assert said.status.attempts[0].end_time == NOW


def test_a_run_that_is_given_up_while_its_ray_job_goes_on_gives_the_machines_back() -> None:
    obj = tune({"attempts": [{"number": 1}]}, faultTolerance={"attempts": 1})
    assert verdict(obj, Seen(ray_job=RUNNING, diagnosis=FAULT), NOW).want is Want.CLEAR


def test_after_a_hundred_attempts_it_is_over() -> None:
    ended = {"reason": "Suspended", "counted": False, "endTime": NOW.isoformat()}
    said = verdict(tune({"attempts": [{"number": number, **ended} for number in range(1, 101)]}), Seen(), NOW)
    assert condition(said, "Finished") == ("True", "TooManyAttempts")


@pytest.mark.parametrize("deployment", ["", "Initializing", "Suspended"])
def test_what_does_not_run_has_nothing_to_save_and_is_suspended_at_once(deployment: str) -> None:
    obj = tune({"attempts": [{"number": 1}]}, suspend=True)
    said = verdict(obj, Seen(job=JOB_DONE, ray_job={"status": {"jobDeploymentStatus": deployment}}), NOW)
    assert (said.want, said.status.phase) == (Want.CLEAR, "Suspended")


def test_what_an_earlier_attempt_has_reported_says_nothing_about_this_one() -> None:
    def phase(updated: datetime) -> str | None:
        progress = {"stage": "Saving", "percent": 90, "updatedTime": updated.isoformat()}
        obj = tune({"attempts": [{"number": 2, "startTime": NOW.isoformat()}], "progress": progress})
        return verdict(obj, Seen(ray_job=RUNNING), NOW).status.phase

    assert phase(NOW - timedelta(minutes=1)) == "Starting"
    assert phase(NOW + timedelta(minutes=1)) == "Saving"


def test_a_kuberay_that_says_nothing_for_a_minute_is_asked_after() -> None:
    obj = tune({"attempts": [{"number": 1}]})
    silent = {"metadata": {"name": "tune-ft-1", "creationTimestamp": NOW.isoformat()}}
    assert condition(verdict(obj, Seen(ray_job=silent), NOW), "Running") == ("False", "Starting")
    late = NOW + timedelta(minutes=2)
    assert condition(verdict(obj, Seen(ray_job=silent), late), "Running") == ("False", "KubeRaySilent")
