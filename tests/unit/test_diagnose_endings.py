"""Why an attempt has ended: one end per row, whose fault it is, and what the user is told about it."""

from typing import Any

import pytest

import observed as o
from raysmith.status.diagnose import Cause, Diagnosis, Evidence, diagnose, retry

RUNNING = o.ray_job("Running", jobStatus="RUNNING", rayJobInfo={"startTime": o.ago(minutes=30)})
APP_FAILED = o.driver(1, "no traceback")
NOT_COUNTED = "The attempt is not counted; the next one goes on from the last checkpoint."
MORE = "More stands in kubectl get rayjob run-ft-1 -o jsonpath='{.status.message}'."
GONE = o.ray_cluster({"type": "HeadPodReady", "status": "False", "reason": "HeadPodNotFound"})


def _after(ray_job: o.Object, *pods: o.Object, **more: Any) -> Evidence:
    return Evidence(now=o.NOW, ray_job=ray_job, pods=pods, attempt=1, **more)


def _prepared(*pods: o.Object, job: o.Object = o.FAILED_JOB, **more: Any) -> Evidence:
    return Evidence(now=o.NOW, job=job, pods=pods, attempt=1, **more)


def _evicted(text: str) -> o.Object:
    return o.worker(phase="Failed", reason="Evicted", message=text)


TRACEBACK = """\
(RayTrainWorker pid=12, ip=10.0.0.7) Traceback (most recent call last):
(RayTrainWorker pid=12, ip=10.0.0.7)   File "worker.py", line 3, in train
(RayTrainWorker pid=12, ip=10.0.0.7) KeyError: 'inner'
\x1b[36mTraceback (most recent call last):\x1b[0m
  File "run.py", line 9, in main
    step()
    ^^^^^^

ValueError: expected 4 columns,
got 3
"""

ENDINGS: dict[str, tuple[Evidence, str, Cause, str]] = {
    "a RayJob that KubeRay refuses": (
        _after(o.ray_job("ValidationFailed", "ValidationFailed", "the RayJob spec is invalid: entrypoint")),
        "SpecRefused",
        Cause.USER,
        (
            "KubeRay refuses the RayJob that was made for this object: the RayJob spec is invalid: entrypoint. "
            "Change spec.podTemplate if that is the cause; otherwise ask whoever runs Raysmith."
        ),
    ),
    "a RayJob that KubeRay refuses without a word": (
        _after(o.ray_job("ValidationFailed")),
        "SpecRefused",
        Cause.USER,
        (
            "KubeRay refuses the RayJob that was made for this object: it does not say why. "
            "Change spec.podTemplate if that is the cause; otherwise ask whoever runs Raysmith."
        ),
    ),
    "a model that the run did not find": (
        _after(APP_FAILED, failure=o.failure("ModelNotFound", "hf://a/b was not found.", retryable=False)),
        "ModelNotFound",
        Cause.USER,
        "hf://a/b was not found.",
    ),
    "a full disk, which the run knows better than its pods": (
        _after(APP_FAILED, _evicted("The node was low on resource: memory."), o.head(), failure=o.failure("StorageFull")),
        "StorageFull",
        Cause.RUN,
        "It failed.",
    ),
    "workers that failed, and nobody knows more": (
        _after(APP_FAILED, failure=o.failure("TrainingFailed", "WorkersFailed: worker 0 failed once too often.")),
        "TrainingFailed",
        Cause.RUN,
        "WorkersFailed: worker 0 failed once too often.",
    ),
    "a run that was interrupted": (
        _after(APP_FAILED, failure=o.failure("Interrupted", "The run was interrupted.")),
        "Interrupted",
        Cause.INFRASTRUCTURE,
        "The run was interrupted.",
    ),
    "a worker whose machine was lost, as only the run has seen": (
        _after(APP_FAILED, failure=o.failure("NodeLost", "The machine of worker 1 was lost.")),
        "NodeLost",
        Cause.INFRASTRUCTURE,
        "The machine of worker 1 was lost.",
    ),
    "a worker whose memory ran out, as the run has found out": (
        _after(
            o.driver(1, "Workers (tasks / actors) killed due to memory pressure (OOM)"),
            failure=o.failure("OutOfMemory", "Ray stopped worker 1."),
        ),
        "OutOfMemory",
        Cause.RUN,
        "Ray stopped worker 1.",
    ),
    "a worker that the run believes lost, although it was killed for its memory": (
        _after(APP_FAILED, o.worker(o.ended(137, "OOMKilled")), failure=o.failure("NodeLost")),
        "OutOfMemory",
        Cause.RUN,
        (
            "Container ray of worker pod w used more memory than its limit and was killed. Raise the memory in "
            "spec.workers.resources, or set spec.training.microBatchSize to 1 or lower spec.data.maxLength."
        ),
    ),
    "a worker that the run believes killed for its memory, although it was preempted": (
        _after(APP_FAILED, o.worker(conditions=o.disrupted("PreemptionByScheduler")), failure=o.failure("OutOfMemory")),
        "PodPreempted",
        Cause.INFRASTRUCTURE,
        f"Worker pod w had to make room for a pod of higher priority. {NOT_COUNTED}",
    ),
    "a run whose words are none": (
        _after(APP_FAILED, failure=o.failure("<script>", " ")),
        "RunFailed",
        Cause.RUN,
        "The run ended and does not say why.",
    ),
    "workers that failed because one was killed for its memory": (
        _after(
            APP_FAILED,
            o.worker(o.runs(o.ago(minutes=1), lastState=o.before(137, "OOMKilled")), phase="Running"),
            failure=o.failure("TrainingFailed"),
        ),
        "OutOfMemory",
        Cause.RUN,
        (
            "Container ray of worker pod w used more memory than its limit and was killed. Raise the memory in "
            "spec.workers.resources, or set spec.training.microBatchSize to 1 or lower spec.data.maxLength."
        ),
    ),
    "workers that failed because one was preempted": (
        _after(
            APP_FAILED,
            o.worker(conditions=o.disrupted("PreemptionByScheduler", "preempting to accommodate a higher priority pod")),
            failure=o.failure("TrainingFailed"),
        ),
        "PodPreempted",
        Cause.INFRASTRUCTURE,
        (
            "Worker pod w had to make room for a pod of higher priority (preempting to accommodate a higher priority pod). "
            f"{NOT_COUNTED}"
        ),
    ),
    "a worker that its node evicted": (
        _after(APP_FAILED, _evicted("The node was low on resource: memory. ")),
        "PodEvicted",
        Cause.INFRASTRUCTURE,
        f"Worker pod w was evicted (The node was low on resource: memory). {NOT_COUNTED}",
    ),
    "a worker that filled its disk": (
        _after(APP_FAILED, _evicted('Usage of EmptyDir volume "scratch" exceeds the limit "1Gi". ')),
        "LocalStorageExceeded",
        Cause.RUN,
        (
            "Worker pod w was evicted for writing more to its node's disk than it may: "
            'Usage of EmptyDir volume "scratch" exceeds the limit "1Gi". '
            "Raise ephemeral-storage in its resources or the sizeLimit of its volume (spec.podTemplate)."
        ),
    ),
    "a worker that a drain evicted": (
        _after(APP_FAILED, o.worker(phase="Running", conditions=o.disrupted("EvictionByEvictionAPI"))),
        "PodEvicted",
        Cause.INFRASTRUCTURE,
        f"Worker pod w was evicted. {NOT_COUNTED}",
    ),
    "a worker whose node was tainted": (
        _after(APP_FAILED, o.worker(phase="Failed", reason="Error", conditions=o.disrupted("DeletionByTaintManager"))),
        "NodeLost",
        Cause.INFRASTRUCTURE,
        f"The node of worker pod w went away. {NOT_COUNTED}",
    ),
    "a worker whose node does not answer": (
        _after(APP_FAILED, o.worker(phase="Running", reason="NodeLost")),
        "NodeLost",
        Cause.INFRASTRUCTURE,
        f"The node of worker pod w went away. {NOT_COUNTED}",
    ),
    "a worker that its node did not take": (
        _after(APP_FAILED, o.worker(phase="Failed", reason="OutOfnvidia.com/gpu", message="Node didn't have enough resource")),
        "PodRejected",
        Cause.INFRASTRUCTURE,
        f"The node that was chosen for worker pod w did not take it (Node didn't have enough resource). {NOT_COUNTED}",
    ),
    "a worker of which only an event is left": (
        _after(
            o.driver(1, "") | {"metadata": {"name": "run-ft-1"}},
            events=[
                o.event("Pod", "w", "Started"),
                o.event("Pod", "w", "TaintManagerEviction", "Cancelling deletion of Pod team/w"),
                o.event("Pod", "w", "Evicted", "long before", seen=o.ago(hours=2)),
                o.event("Pod", "w", "Preempted", "Preempted by pod 12 on node n", seen=o.ago(minutes=4)),
            ],
        ),
        "PodPreempted",
        Cause.INFRASTRUCTURE,
        f"Pod w had to make room for a pod of higher priority (Preempted by pod 12 on node n). {NOT_COUNTED}",
    ),
    "an event without a word, long ago but at the end of the run": (
        _after(
            o.ray_job("Failed", "AppFailed", "x", endTime=o.ago(hours=1)),
            events=[o.event("Pod", "w", "NodeNotReady", seen=o.ago(minutes=62))],
        ),
        "NodeLost",
        Cause.INFRASTRUCTURE,
        f"The node of pod w went away. {NOT_COUNTED}",
    ),
    "a run that took too long": (
        _after(o.ray_job("Failed", "DeadlineExceeded", "The RayJob has passed the activeDeadlineSeconds.")),
        "DeadlineExceeded",
        Cause.USER,
        "The run took longer than spec.activeDeadlineSeconds. Raise it, or train on less or for fewer steps.",
    ),
    "a preparation that took too long": (
        _prepared(job=o.job(o.condition("Failed", "DeadlineExceeded", "Job was active longer than specified deadline"))),
        "DeadlineExceeded",
        Cause.USER,
        (
            "The preparation of the data took longer than spec.activeDeadlineSeconds. "
            "Raise it, or train on less or for fewer steps."
        ),
    ),
    "data that the preparation refuses": (
        _prepared(
            o.preparation(
                o.ended(2, message='{"reason":"DataRefused","message":"rows.jsonl, line 3:\\nno answer.","retryable":false}'),
                phase="Failed",
            )
        ),
        "DataRefused",
        Cause.USER,
        "rows.jsonl, line 3: no answer.",
    ),
    "a preparation that may go better": (
        _prepared(o.preparation(o.ended(2, message='{"reason":"HubUnreachable","message":"Try again.","retryable":true}'))),
        "HubUnreachable",
        Cause.RUN,
        "Try again.",
    ),
    "a preparation with last words that are no failure": (
        _prepared(o.preparation(o.ended(1, message='{"rows": 3}'))),
        "PreparationFailed",
        Cause.RUN,
        'The preparation of the data ended with exit code 1 (Error): {"rows": 3}. See why with kubectl logs p.',
    ),
    "a preparation without last words": (
        _prepared(o.preparation(o.ended(1, ""), o.ended(0)), o.head(o.ended(9))),
        "PreparationFailed",
        Cause.RUN,
        "The preparation of the data ended with exit code 1 (no reason given). See why with kubectl logs p.",
    ),
    "a preparation that was killed for its memory": (
        _prepared(o.preparation(o.ended(137, "OOMKilled"))),
        "OutOfMemory",
        Cause.RUN,
        (
            "Container ray of preparation pod p used more memory than its limit and was killed. "
            "Raise the memory in the resources of container ray in spec.podTemplate.head."
        ),
    ),
    "a preparation whose pod was deleted": (
        _prepared(),
        "PodGone",
        Cause.INFRASTRUCTURE,
        "The pod that prepared the data was deleted before it ended. The attempt is not counted; the data is prepared anew.",
    ),
    "a head that is gone, as KubeRay says": (
        _after(RUNNING, ray_cluster=GONE),
        "HeadLost",
        Cause.INFRASTRUCTURE,
        "The head pod of the Ray cluster was lost or cannot be reached any more, and the run with it. " + NOT_COUNTED,
    ),
    "a head that was deleted, and whose grace is over": (
        _after(RUNNING, o.deleted(o.head(o.runs(o.ago(hours=1)), phase="Running"), o.ago(seconds=5))),
        "HeadLost",
        Cause.INFRASTRUCTURE,
        "The head pod of the Ray cluster was lost or cannot be reached any more, and the run with it. " + NOT_COUNTED,
    ),
    "a head that was deleted, and ended for that": (
        _after(RUNNING, o.deleted(o.head(o.ended(143), phase="Running"), o.ago(seconds=-20))),
        "HeadLost",
        Cause.INFRASTRUCTURE,
        "The head pod of the Ray cluster was lost or cannot be reached any more, and the run with it. " + NOT_COUNTED,
    ),
    "a head whose Ray ended": (
        _after(RUNNING, o.head(o.ended(1), phase="Failed")),
        "HeadLost",
        Cause.RUN,
        (
            "Container ray of head pod h ended with exit code 1 (Error), and the run with it. "
            "See why with kubectl logs h -c ray --previous."
        ),
    ),
    "a head whose Ray was started anew": (
        _after(RUNNING, o.head(o.runs(o.ago(minutes=2), lastState=o.before(139)), phase="Running")),
        "HeadLost",
        Cause.RUN,
        (
            "Container ray of head pod h ended with exit code 139 (Error), and the run with it. "
            "See why with kubectl logs h -c ray --previous."
        ),
    ),
    "a head whose Ray was killed for its memory and started anew": (
        _after(RUNNING, o.head(o.runs(o.ago(minutes=2), lastState=o.before(137, "OOMKilled")), phase="Running")),
        "OutOfMemory",
        Cause.RUN,
        (
            "Container ray of head pod h used more memory than its limit and was killed. "
            "Raise the memory in the resources of container ray in spec.podTemplate.head."
        ),
    ),
    "a head that took another one's place": (
        _after(RUNNING, o.head(o.waits("PodInitializing"))),
        "HeadLost",
        Cause.INFRASTRUCTURE,
        "The head pod of the Ray cluster was lost or cannot be reached any more, and the run with it. " + NOT_COUNTED,
    ),
    "a head whose node does not answer": (
        _after(RUNNING, o.head(o.runs(o.ago(hours=1)), phase="Running", reason="NodeLost")),
        "NodeLost",
        Cause.INFRASTRUCTURE,
        f"The node of head pod h went away. {NOT_COUNTED}",
    ),
    "a head that KubeRay cannot reach": (
        _after(o.ray_job("Failed", "JobStatusCheckTimeoutExceeded", "timeout"), o.head(o.runs(o.ago(hours=1)))),
        "HeadLost",
        Cause.INFRASTRUCTURE,
        "The head pod of the Ray cluster was lost or cannot be reached any more, and the run with it. " + NOT_COUNTED,
    ),
    "a run that a new head started once more": (
        _after(APP_FAILED, o.head(o.runs(o.ago(minutes=1))), failure=o.failure("Superseded", retryable=False)),
        "HeadLost",
        Cause.INFRASTRUCTURE,
        "The head pod of the Ray cluster was lost or cannot be reached any more, and the run with it. " + NOT_COUNTED,
    ),
    "an accelerator that is too small": (
        _after(
            APP_FAILED, failure=o.failure("TrainingFailed", "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB")
        ),
        "AcceleratorOutOfMemory",
        Cause.RUN,
        (
            "A worker's accelerator has too little memory for the batch. "
            "Set spec.training.microBatchSize to 1, lower spec.data.maxLength, or choose method.lora or method.qlora."
        ),
    ),
    "a run's process that the kernel killed": (
        _after(o.driver(-9, "step 3"), o.head(o.runs(o.ago(hours=1)))),
        "OutOfMemory",
        Cause.RUN,
        (
            "A process in the head pod h was killed, because the memory of its container was used up. "
            "Raise the memory in the resources of container ray in spec.podTemplate.head."
        ),
    ),
    "a run's process that the kernel killed in a pod that is gone": (
        _after(o.driver(137, "step 3")),
        "OutOfMemory",
        Cause.RUN,
        (
            "A process in a head pod was killed, because the memory of its container was used up. "
            "Raise the memory in the resources of container ray in spec.podTemplate.head."
        ),
    ),
    "a worker's process that Ray killed": (
        _after(o.driver(1, "2 worker(s) were killed due to the node running low on memory."), o.head()),
        "OutOfMemory",
        Cause.RUN,
        (
            "A process in a worker pod was killed, because the memory of its container was used up. Raise the memory in "
            "spec.workers.resources, or set spec.training.microBatchSize to 1 or lower spec.data.maxLength."
        ),
    ),
    "a submission that KubeRay gave up": (
        _after(o.ray_job("Failed", "SubmissionFailed")),
        "SubmissionFailed",
        Cause.RUN,
        f"The run could not be started on its Ray cluster: KubeRay does not say why. {MORE}",
    ),
    "a supervisor that Ray could not start": (
        _after(o.ray_job("Failed", "AppFailed", "Unexpected error occurred: failed to get job supervisor.")),
        "SubmissionFailed",
        Cause.RUN,
        "The run could not be started on its Ray cluster: Unexpected error occurred: failed to get job supervisor. " + MORE,
    ),
    "an exception": (
        _after(o.driver(1, TRACEBACK)),
        "RunFailed",
        Cause.RUN,
        f"The run ended with ValueError: expected 4 columns. {MORE}",
    ),
    "an exception without a text": (
        _after(o.driver(1, 'Traceback (most recent call last):\n  File "x"\nraysmith.Odd\n')),
        "RunFailed",
        Cause.RUN,
        f"The run ended with raysmith.Odd. {MORE}",
    ),
    "an exception whose traceback was cut off": (
        _after(o.driver(1, '  File "x", line 1\nray.exceptions.ActorDiedError: The actor died\nbye\n')),
        "RunFailed",
        Cause.RUN,
        f"The run ended with ray.exceptions.ActorDiedError: The actor died. {MORE}",
    ),
    "a fault that the run puts into one line": (
        _after(o.driver(1, "error: Odd: it broke\n")),
        "RunFailed",
        Cause.RUN,
        f"The run ended with Odd: it broke. {MORE}",
    ),
    "a run that left no message": (
        _after(o.ray_job("Failed", "AppFailed", "Job entrypoint command failed with exit code 3. No logs available.")),
        "RunFailed",
        Cause.RUN,
        f"The run ended with exit code 3 and left no error message. {MORE}",
    ),
    "a run that refused its input and could not write so": (
        _after(o.driver(2, "reading\nerror: rows.jsonl holds no rows.\n")),
        "RunRefused",
        Cause.USER,
        "rows.jsonl holds no rows.",
    ),
    "a run that ended with 2 for a reason of its own": (
        _after(o.driver(2, "usage: finetune")),
        "RunFailed",
        Cause.RUN,
        f"The run ended with exit code 2 and left no error message. {MORE}",
    ),
    "a run that was interrupted and could not write so": (
        _after(o.driver(130, "error: Interrupted")),
        "Interrupted",
        Cause.INFRASTRUCTURE,
        "The run was interrupted from outside. The next attempt goes on from the last checkpoint.",
    ),
    "a run that somebody stopped": (
        _after(o.ray_job("Complete", jobStatus="STOPPED")),
        "RunStopped",
        Cause.RUN,
        "The run was stopped through Ray's job API, not by Raysmith. The next attempt goes on from the last checkpoint.",
    ),
    "a reason of KubeRay's that nobody knows": (
        _after(o.ray_job("Failed", "SomethingNew", "odd")),
        "RayJobFailed",
        Cause.RUN,
        f"KubeRay reports that the run failed (SomethingNew): odd. {MORE}",
    ),
    "a failure of which nothing is known": (
        _after(o.ray_job("Failed")),
        "RayJobFailed",
        Cause.RUN,
        f"KubeRay reports that the run failed (no reason): no message. {MORE}",
    ),
}


@pytest.mark.parametrize(("evidence", "reason", "cause", "message"), ENDINGS.values(), ids=ENDINGS)
def test_every_end_has_a_reason_a_cause_and_a_message(evidence: Evidence, reason: str, cause: Cause, message: str) -> None:
    found = diagnose(evidence)
    assert found is not None
    told, where = found.message, f"It happened in pod {found.pod}."
    assert (found.reason, told.removesuffix(f" {where}")) == (reason, message)
    assert found.pod is None or found.pod in told
    assert (found.cause, found.terminal) == (cause, True)


def test_the_pod_that_it_happened_in_is_named() -> None:
    found = {
        row: diagnose(ENDINGS[row][0]) for row in ("a full disk, which the run knows better than its pods", "an exception")
    }
    assert [diagnosis.pod for diagnosis in found.values() if diagnosis] == ["h", None]


def test_what_the_run_said_about_an_earlier_attempt_explains_nothing() -> None:
    found = diagnose(_after(o.driver(1, TRACEBACK), failure=o.failure("ModelNotFound", attempt=7)))
    assert found is not None
    assert found.reason == "RunFailed"


GOING_ON: dict[str, Evidence] = {
    "a head that runs": _after(RUNNING, o.head(o.runs(o.ago(hours=1)), phase="Running")),
    "a head that gets its time to end": _after(
        RUNNING, o.deleted(o.head(o.runs(o.ago(hours=1)), phase="Running"), o.ago(seconds=-20))
    ),
    "a head beside the one that it replaced too early": _after(
        RUNNING, o.head(o.runs(o.ago(hours=1)), phase="Running"), o.pod("i", "head", o.waits("PodInitializing"))
    ),
    "pods that were not seen yet": _after(RUNNING),
    "a head that is missed before the run began": _after(o.ray_job("Running"), ray_cluster=GONE),
    "what the run said before": _after(
        RUNNING, o.head(o.runs(o.ago(hours=1)), phase="Running"), failure=o.failure("ModelNotFound")
    ),
}


@pytest.mark.parametrize("evidence", GOING_ON.values(), ids=GOING_ON)
def test_a_run_that_goes_on_is_left_alone(evidence: Evidence) -> None:
    assert diagnose(evidence) is None


def test_messages_of_others_are_cut_before_they_fill_the_status() -> None:
    found = diagnose(_after(o.ray_job("Failed", "Odd", "word " * 5000)))
    assert found is not None
    assert len(found.message) < 1000
    assert " [...]. More stands" in found.message


@pytest.mark.parametrize(
    ("cause", "failures", "is_tried"),
    [
        (Cause.USER, 1, False),
        (Cause.WAITING, 0, False),
        (Cause.RUN, 2, True),
        (Cause.RUN, 3, False),
        (Cause.INFRASTRUCTURE, 3, True),
    ],
)
def test_three_attempts_are_made_at_faults_of_the_run_and_lost_machines_are_free(
    cause: Cause, failures: int, is_tried: bool
) -> None:
    assert retry(Diagnosis("Reason", "A sentence.", None, cause), failures, 3) is is_tried
