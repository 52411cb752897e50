"""What keeps pods from starting: one broken thing per row, and what the user is told about it."""

from dataclasses import replace
from typing import Any

import pytest

import observed as o
from raysmith.status.diagnose import Cause, Evidence, diagnose


def _about(*pods: o.Object, **more: Any) -> Evidence:
    return Evidence(now=o.NOW, pods=pods, **more)


def _unscheduled(message: str | None, **more: Any) -> Evidence:
    pod = o.worker(conditions=o.unscheduled(message), spec=more.pop("spec", None))
    return _about(pod, **more)


def _mount(message: str | None, reason: str = "FailedMount", **more: Any) -> Evidence:
    return _about(o.worker(o.waits("ContainerCreating")), events=[o.event("Pod", "w", reason, message, **more)])


def _denied(message: str) -> Evidence:
    return Evidence(now=o.NOW, ray_cluster=o.ray_cluster(o.condition("ReplicaFailure", "FailedCreateWorkerPod", message)))


SPEC = {
    "containers": [
        {"name": "ray", "resources": {"requests": {"cpu": "8"}, "limits": {"nvidia.com/gpu": "4", "memory": "4Gi"}}},
        {"name": "logs", "resources": {"requests": {"cpu": "1"}}},
        {"name": "idle"},
    ]
}
BOTH_SHORT = f"{o.NODES}1 Insufficient cpu, 2 Insufficient nvidia.com/gpu{o.NO_HELP}"
PULL = 'failed to pull and unpack image "registry.example/ray:1": '
CLAIM = "PersistentVolumeClaim"

OBSTACLES: dict[str, tuple[Evidence, str, str]] = {
    "an image that the registry does not have": (
        _about(o.worker(o.waits("ErrImagePull", f"{PULL}not found"))),
        "ImagePullFailed",
        (
            f"Image registry.example/ray:1 of container ray in worker pod w cannot be pulled: {PULL}not found. "
            "Check its name and tag."
        ),
    ),
    "the same, while the kubelet waits to try again": (
        _about(
            o.worker(
                o.waits("ImagePullBackOff", f'Back-off pulling image "registry.example/ray:1": ErrImagePull: {PULL}not found')
            )
        ),
        "ImagePullFailed",
        (
            f"Image registry.example/ray:1 of container ray in worker pod w cannot be pulled: {PULL}not found. "
            "Check its name and tag."
        ),
    ),
    "an image that the registry does not give": (
        _about(o.head(o.waits("ErrImagePull", f"{PULL}401 Unauthorized"))),
        "ImagePullFailed",
        (
            f"Image registry.example/ray:1 of container ray in head pod h cannot be pulled: {PULL}401 Unauthorized. "
            "Check its name, and that the pods have a pull secret for it (imagePullSecrets in spec.podTemplate)."
        ),
    ),
    "a registry that does not answer": (
        _about(o.preparation(o.waits("ErrImagePull", f"{PULL}dial tcp: i/o timeout"))),
        "ImagePullFailed",
        (
            f"Image registry.example/ray:1 of container ray in preparation pod p cannot be pulled: {PULL}dial tcp: i/o timeout"
            ". Check that the nodes reach its registry."
        ),
    ),
    "a pull that fails without a word, in an init container": (
        _about(o.worker(o.waits("PodInitializing"), initContainerStatuses=[o.waits("ImagePullBackOff", name="init")])),
        "ImagePullFailed",
        (
            "Image registry.example/ray:1 of container init in worker pod w cannot be pulled: the kubelet does not say why. "
            "Check that the nodes reach its registry."
        ),
    ),
    "an image that may not be pulled": (
        _about(o.worker(o.waits("ErrImageNeverPull"))),
        "ImageMissing",
        (
            "Image registry.example/ray:1 of container ray in worker pod w is not on the pod's node, "
            "and its pull policy is Never. Load it onto every node."
        ),
    ),
    "accelerators that are short": (
        _unscheduled(BOTH_SHORT, spec=SPEC),
        "Unschedulable",
        (
            "No node takes worker pod w: of 3 nodes, 1 has too little cpu (the pod asks for 8 + 1), "
            "2 have too little nvidia.com/gpu (the pod asks for 4). "
            "Ask for less in spec.workers.resources, make room, or add nodes."
        ),
    ),
    "room that is short for a service, and nothing known of what the pod asks for": (
        _unscheduled("0/1 nodes are available: 1 Too many pods, 1 Insufficient memory.", ray_service=o.ray_service()),
        "Unschedulable",
        (
            "No node takes worker pod w: of 1 node, 1 has no room for another pod, 1 has too little memory. "
            "Ask for less in spec.resources, make room, or add nodes."
        ),
    ),
    "room that is short for the head": (
        _about(o.head(conditions=o.unscheduled("0/1 nodes are available: 1 Insufficient cpu."))),
        "Unschedulable",
        (
            "No node takes head pod h: of 1 node, 1 has too little cpu. "
            "Ask for less in the resources of container ray in spec.podTemplate.head, make room, or add nodes."
        ),
    ),
    "nodes that do not suit": (
        _unscheduled(f"{o.NODES}1 node(s) had untolerated taint(s), 2 node(s) didn't match Pod's node affinity/selector."),
        "Unschedulable",
        (
            "No node takes worker pod w: of 3 nodes, 1 has a taint that the pod does not tolerate, "
            "2 have other labels than the pod's nodeSelector or affinity asks for. "
            "Correct nodeSelector, affinity or tolerations in spec.podTemplate.workers, or add nodes that match."
        ),
    ),
    "nodes that are cordoned or have something else": (
        _unscheduled(f"{o.NODES}1 node(s) were unschedulable, 2 node(s) exceed max volume count."),
        "Unschedulable",
        (
            "No node takes worker pod w: of 3 nodes, 1 has been cordoned, "
            "2 have another obstacle: node(s) exceed max volume count. See kubectl describe pod w."
        ),
    ),
    "an answer of the scheduler that does not count nodes": (
        _unscheduled(f"{o.NODES}waiting for the driver."),
        "Unschedulable",
        "No node takes worker pod w: of 3 nodes, waiting for the driver. See kubectl describe pod w.",
    ),
    "a scheduler with words of its own": (
        _unscheduled("all nodes are reserved"),
        "Unschedulable",
        "No node takes worker pod w: all nodes are reserved. See kubectl describe pod w.",
    ),
    "a scheduler without words": (
        _unscheduled(None),
        "Unschedulable",
        "No node takes worker pod w: the scheduler gives no reason. See kubectl describe pod w.",
    ),
    "a queue that holds the pod back": (
        _about(
            o.worker(conditions=o.unscheduled("Scheduling is blocked due to non-empty scheduling gates", "SchedulingGated"))
        ),
        "SchedulingGated",
        "A scheduling gate holds worker pod w back: its queue has not admitted it yet. Ask whoever runs the queue.",
    ),
    "a claim that does not exist": (
        _unscheduled(f'{o.NODES}persistentvolumeclaim "data" not found{o.NO_HELP}'),
        "ClaimMissing",
        (
            "PersistentVolumeClaim data, which worker pod w needs, is not in this namespace. "
            "Create it, or correct the pvc:// address."
        ),
    ),
    "a claim that lost its volume": (
        _unscheduled(f'{o.NODES}persistentvolumeclaim "data" bound to non-existent persistentvolume "pv1".'),
        "ClaimMissing",
        (
            "PersistentVolumeClaim data, which worker pod w needs, has lost its volume. "
            "Restore the volume, or name another claim in the pvc:// address."
        ),
    ),
    "a claim that goes": (
        _unscheduled(f'{o.NODES}persistentvolumeclaim "data" is being deleted.'),
        "ClaimMissing",
        "PersistentVolumeClaim data, which worker pod w needs, is being deleted. Name another claim in the pvc:// address.",
    ),
    "a claim without a volume, of which the volume controller speaks": (
        _unscheduled(
            f"{o.NODES}pod has unbound immediate PersistentVolumeClaims.",
            claims=[
                {"metadata": {"name": "data"}, "status": {"phase": "Pending"}},
                {"metadata": {"name": "mute"}, "status": {"phase": "Pending"}},
                {"metadata": {"name": "store"}, "status": {"phase": "Bound"}},
            ],
            events=[
                o.event(CLAIM, "data", "ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found'),
                o.event(CLAIM, "data", "ProvisioningFailed", "an older word", seen=o.ago(hours=1)),
                o.event(CLAIM, "mute", "ExternalProvisioning", "waiting for a volume to be created"),
            ],
        ),
        "ClaimUnbound",
        (
            'PersistentVolumeClaim data, mute of worker pod w has no volume yet: storageclass.storage.k8s.io "fast" not found. '
            "Check the claim's storage class, size and access mode (kubectl describe pvc)."
        ),
    ),
    "a claim without a volume, of which only the scheduler speaks": (
        _unscheduled("pod has unbound immediate PersistentVolumeClaims"),
        "ClaimUnbound",
        (
            "A PersistentVolumeClaim of worker pod w has no volume yet: pod has unbound immediate PersistentVolumeClaims. "
            "Check the claim's storage class, size and access mode (kubectl describe pvc)."
        ),
    ),
    "a secret that a variable names": (
        _about(o.worker(o.waits("CreateContainerConfigError", 'secret "hub" not found'))),
        "SecretMissing",
        "Secret hub is not in this namespace, and worker pod w needs it. Create it there; the pod then goes on.",
    ),
    "a secret without the key": (
        _about(o.worker(o.waits("CreateContainerConfigError", "couldn't find key HF_TOKEN in Secret team/hub"))),
        "SecretMissing",
        "Secret hub has no key HF_TOKEN, and worker pod w needs it. Create it there; the pod then goes on.",
    ),
    "a config map that a volume names": (
        _mount('MountVolume.SetUp failed for volume "object" : configmap "run-object-1" not found'),
        "ConfigMapMissing",
        "ConfigMap run-object-1 is not in this namespace, and worker pod w needs it. Create it there; the pod then goes on.",
    ),
    "a secret's key that a volume names": (
        _mount('MountVolume.SetUp failed for volume "keys" : references non-existent secret key: token'),
        "SecretMissing",
        "The Secret of volume keys has no key token, and worker pod w needs it. Create it there; the pod then goes on.",
    ),
    "a volume that another node holds": (
        _mount('Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) other', "FailedAttachVolume"),
        "VolumeInUse",
        (
            "A volume of worker pod w is in use on another node: "
            'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) other. '
            "Runs on several nodes need a claim with access mode ReadWriteMany."
        ),
    ),
    "a volume that cannot be mounted": (
        _mount('MountVolume.SetUp failed for volume "data" : mount failed: exit status 32'),
        "VolumeNotMounted",
        (
            "A volume of worker pod w cannot be mounted: "
            'MountVolume.SetUp failed for volume "data" : mount failed: exit status 32. '
            "Check the claim and its storage."
        ),
    ),
    "a volume of which nothing is said": (
        _mount(None),
        "VolumeNotMounted",
        "A volume of worker pod w cannot be mounted: no more is known. Check the claim and its storage.",
    ),
    "a container that the runtime cannot make": (
        _about(o.head(o.waits("RunContainerError", "nvidia-container-cli: no devices"))),
        "ContainerNotCreated",
        (
            "Container ray of head pod h cannot be made (RunContainerError): nvidia-container-cli: no devices. "
            "Check its image and spec.podTemplate.head."
        ),
    ),
    "a container that cannot be made for no known reason": (
        _about(o.worker(o.waits("CreateContainerError"))),
        "ContainerNotCreated",
        (
            "Container ray of worker pod w cannot be made (CreateContainerError): no more is known. "
            "Check its image and spec.podTemplate.workers."
        ),
    ),
    "a container that ends again and again": (
        _about(o.head(o.waits("CrashLoopBackOff", restartCount=4, lastState=o.before(3)), phase="Running")),
        "CrashLoop",
        (
            "Container ray of head pod h ends again and again: 4 times so far, last with exit code 3 (Error). "
            "See why with kubectl logs h -c ray --previous."
        ),
    ),
    "a container that ends again and again, and nobody has seen how": (
        _about(o.worker(o.waits("CrashLoopBackOff"))),
        "CrashLoop",
        (
            "Container ray of worker pod w ends again and again: 0 times so far, "
            "last with exit code unknown (no reason given). See why with kubectl logs w -c ray --previous."
        ),
    ),
    "a container that is killed for its memory again and again": (
        _about(o.worker(o.waits("CrashLoopBackOff", lastState=o.before(137, "OOMKilled")), spec=SPEC)),
        "OutOfMemory",
        (
            "Container ray of worker pod w used more memory than its limit of 4Gi and was killed. Raise the memory in "
            "spec.workers.resources, or set spec.training.microBatchSize to 1 or lower spec.data.maxLength."
        ),
    ),
    "a quota": (
        _denied(
            'FailedCreateWorkerPod\npods "w" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=4, '
            "used: requests.nvidia.com/gpu=6, limited: requests.nvidia.com/gpu=8"
        ),
        "QuotaExceeded",
        (
            "The namespace's quota gpus has no room for the pods: they ask for requests.nvidia.com/gpu=4, and "
            "requests.nvidia.com/gpu=8 is allowed in all. Ask for less, wait until others end, or have the quota raised."
        ),
    ),
    "a quota that wants limits": (
        _denied('FailedCreateWorkerPod\npods "w" is forbidden: failed quota: cpus: must specify limits.cpu for: ray'),
        "AdmissionDenied",
        (
            'The API server refuses the pods: pods "w" is forbidden: failed quota: cpus: must specify limits.cpu for: ray. '
            "Set what the quota asks for in the object's resources, or ask whoever runs the namespace."
        ),
    ),
    "a security standard": (
        _denied('FailedCreateWorkerPod\npods "w" is forbidden: violates PodSecurity "restricted:latest": host namespaces'),
        "AdmissionDenied",
        (
            'The API server refuses the pods: pods "w" is forbidden: violates PodSecurity "restricted:latest": '
            "host namespaces. Change spec.podTemplate so that the pods keep to the standard, or ask whoever runs the namespace."
        ),
    ),
    "a refusal for a reason of its own": (
        _denied("FailedCreateWorkerPod\nPod is invalid"),
        "AdmissionDenied",
        "The API server refuses the pods: Pod is invalid. Change what is refused in spec.podTemplate.",
    ),
    "a refusal without a reason": (
        _denied("FailedCreateWorkerPod"),
        "AdmissionDenied",
        "The API server refuses the pods: KubeRay gives no reason. Change what is refused in spec.podTemplate.",
    ),
    "a webhook that denies the Job's pod": (
        Evidence(
            now=o.NOW,
            job=o.job(),
            events=[
                o.event("Job", "run-prepare-1", "SuccessfulCreate", "Created pod: p"),
                o.event(
                    "Job", "run-prepare-1", "FailedCreate", 'Error creating: admission webhook "w" denied the request: no owner'
                ),
            ],
        ),
        "AdmissionDenied",
        (
            'The API server refuses the pods: admission webhook "w" denied the request: no owner. '
            "Change the object as the webhook asks, or ask whoever runs the cluster."
        ),
    ),
    "a limit range that denies the Job's pod": (
        Evidence(
            now=o.NOW,
            job=o.job(),
            events=[
                o.event(
                    "Job",
                    "run-prepare-1",
                    "FailedCreate",
                    'Error creating: pods "p" is forbidden: maximum memory usage per Container is 2Gi, but limit is 4Gi',
                )
            ],
        ),
        "AdmissionDenied",
        (
            'The API server refuses the pods: pods "p" is forbidden: '
            "maximum memory usage per Container is 2Gi, but limit is 4Gi. "
            "Change the object's resources so that they keep to the namespace's LimitRange."
        ),
    ),
    "a RayCluster that may not be made": (
        Evidence(
            now=o.NOW,
            ray_job=o.ray_job("Initializing"),
            events=[
                o.event("RayJob", "run-ft-1", "Other"),
                o.event("RayJob", "run-ft-1", "FailedToCreateRayCluster", 'failed calling webhook "w": timeout'),
            ],
        ),
        "AdmissionDenied",
        (
            'The API server refuses the pods: failed calling webhook "w": timeout. '
            "Ask whoever runs the cluster to repair the webhook."
        ),
    ),
}


@pytest.mark.parametrize(("evidence", "reason", "message"), OBSTACLES.values(), ids=OBSTACLES)
def test_pods_that_do_not_start_are_waited_for_and_the_message_says_why(evidence: Evidence, reason: str, message: str) -> None:
    found = diagnose(evidence)
    assert found is not None
    assert (found.reason, found.message) == (reason, message)
    assert (found.cause, found.terminal) == (Cause.WAITING, False)
    assert found.pod == (evidence.pods[0]["metadata"]["name"] if evidence.pods else None)


GIVEN_UP = o.ray_job("Failed", "PreRunningDeadlineExceeded", "The RayJob has passed the preRunningDeadlineSeconds.")
LATER: dict[str, Cause] = {
    "an image that the registry does not have": Cause.USER,
    "an image that may not be pulled": Cause.USER,
    "accelerators that are short": Cause.RUN,
    "nodes that do not suit": Cause.USER,
    "nodes that are cordoned or have something else": Cause.RUN,
    "a queue that holds the pod back": Cause.RUN,
    "a claim that does not exist": Cause.USER,
    "a claim without a volume, of which only the scheduler speaks": Cause.USER,
    "a secret that a variable names": Cause.USER,
    "a config map that a volume names": Cause.USER,
    "a volume that another node holds": Cause.RUN,
    "a volume that cannot be mounted": Cause.RUN,
    "a container that the runtime cannot make": Cause.USER,
    "a container that ends again and again": Cause.RUN,
    "a container that is killed for its memory again and again": Cause.RUN,
    "a quota": Cause.RUN,
    "a security standard": Cause.USER,
}


@pytest.mark.parametrize(("row", "cause"), LATER.items(), ids=LATER)
def test_at_the_deadline_what_kept_the_pods_is_the_reason_of_the_end(row: str, cause: Cause) -> None:
    evidence, reason, message = OBSTACLES[row]
    found = diagnose(replace(evidence, ray_job=GIVEN_UP))
    assert found is not None
    assert (found.reason, found.cause, found.terminal) == (reason, cause, True)
    if reason != "OutOfMemory":  # which is known without the deadline
        assert found.message == f"The pods of the Ray cluster were not running in time. {message}"


def test_a_deadline_without_a_known_obstacle_still_has_a_next_step() -> None:
    found = diagnose(Evidence(now=o.NOW, ray_job=GIVEN_UP))
    assert found is not None
    assert (found.reason, found.cause, found.terminal) == ("StartTimeout", Cause.RUN, True)
    assert "kubectl get events" in found.message


def test_a_name_that_no_image_can_have_ends_the_attempt_at_once() -> None:
    found = diagnose(_about(o.worker(o.waits("InvalidImageName", image=""))))
    assert found is not None
    assert (found.reason, found.cause, found.terminal) == ("ImageNameInvalid", Cause.USER, True)
    assert found.message == (
        "Image without a name of container ray in worker pod w has no valid name. Correct the image's name."
    )


@pytest.mark.parametrize(
    ("job", "cause"),
    [
        (o.job(startTime=o.ago(minutes=10)), Cause.WAITING),
        (o.job(startTime=o.ago(minutes=31)), Cause.USER),
        (o.job(o.condition("Complete"), startTime=o.ago(minutes=31)), Cause.WAITING),
        (o.job(), Cause.WAITING),
    ],
    ids=["in time", "too late", "done long ago", "held back by a queue"],
)
def test_a_preparation_that_cannot_start_is_given_up_after_its_time(job: o.Object, cause: Cause) -> None:
    found = diagnose(_about(o.preparation(o.waits("ErrImageNeverPull")), job=job))
    assert found is not None
    assert found.cause is cause


def test_the_head_is_explained_first_because_the_workers_wait_for_it() -> None:
    waiting = [o.pod(name, kind, o.waits("ErrImageNeverPull")) for name, kind in (("a", "worker"), ("b", "head"))]
    found = diagnose(_about(*waiting))
    assert found is not None
    assert found.pod == "b"


TIMED_OUT = "Unable to attach or mount volumes: unmounted volumes=[data]: timed out waiting for the condition"


def test_the_cause_of_a_failed_mount_is_told_rather_than_the_waiting_for_it() -> None:
    events = [
        o.event("Pod", "w", "FailedMount", TIMED_OUT, seen=o.ago(seconds=5)),
        o.event("Pod", "w", "FailedMount", "mount failed: exit status 32", seen=o.ago(seconds=90)),
    ]
    found = diagnose(_about(o.worker(o.waits("ContainerCreating")), events=events))
    assert found is not None
    assert "exit status 32" in found.message


NOTHING_WRONG: dict[str, Evidence] = {
    "nothing there": Evidence(now=o.NOW),
    "pods that start": _about(o.head(o.waits("ContainerCreating")), o.worker(o.waits("PodInitializing"))),
    "a pod that has a node": _about(o.worker(conditions=[{"type": "PodScheduled", "status": "True"}])),
    "a pod whose scheduler had an error": _about(o.worker(conditions=o.unscheduled("a conflict", "SchedulerError"))),
    "pods that run": _about(o.head(o.runs(o.ago(hours=1)), phase="Running"), {"metadata": {"name": "x"}}),
    "a preparation that ended well": _about(o.preparation(o.ended(0, "Completed"), phase="Succeeded"), job=o.job()),
    "a pod that goes": _about(o.deleted(o.worker(o.waits("ErrImagePull")), o.ago(seconds=1))),
    "a mount that failed long ago": _mount("mount failed", seen=o.ago(minutes=6)),
    "a mount that failed before the pod ran": _about(
        o.worker(o.runs(o.ago(hours=1))), events=[o.event("Pod", "w", "FailedMount", "mount failed")]
    ),
    "other events": _about(
        o.worker(o.waits("ContainerCreating")),
        events=[o.event("Pod", "w", "Pulling", "Pulling image"), o.event("Pod", "other", "FailedMount", "mount failed")],
    ),
    "pods that were refused for a time": Evidence(
        now=o.NOW,
        ray_cluster=o.ray_cluster({**o.condition("ReplicaFailure", "FailedCreateHeadPod", "no"), "status": "False"}),
    ),
    "pods that cannot be deleted": Evidence(
        now=o.NOW, ray_cluster=o.ray_cluster(o.condition("ReplicaFailure", "FailedDeleteAllPods", "no"))
    ),
    "a Job that has its pod in the end": _about(
        o.preparation(o.runs(o.ago(minutes=1)), phase="Running"),
        job=o.job(),
        events=[o.event("Job", "run-prepare-1", "FailedCreate", "Error creating: no")],
    ),
    "a Job without trouble": Evidence(now=o.NOW, job=o.job()),
    "a RayJob without trouble": Evidence(now=o.NOW, ray_job=o.ray_job("Initializing")),
    "a RayJob that has its cluster in the end": Evidence(
        now=o.NOW,
        ray_job=o.ray_job("Initializing"),
        ray_cluster=o.ray_cluster(),
        events=[o.event("RayJob", "run-ft-1", "FailedToCreateRayCluster", "no")],
    ),
    "a run that succeeded while a worker was made anew": _about(
        o.worker(o.waits("ErrImagePull")), ray_job=o.ray_job("Complete", jobStatus="SUCCEEDED")
    ),
}


@pytest.mark.parametrize("evidence", NOTHING_WRONG.values(), ids=NOTHING_WRONG)
def test_where_nothing_is_wrong_nothing_is_said(evidence: Evidence) -> None:
    assert diagnose(evidence) is None


@pytest.mark.parametrize(
    "times",
    [
        {"lastTimestamp": None, "eventTime": o.ago(minutes=20)},
        {"lastTimestamp": o.ago(minutes=1), "series": {"lastObservedTime": o.ago(minutes=20)}},
        {"lastTimestamp": None, "metadata": {"creationTimestamp": o.ago(minutes=20)}},
    ],
    ids=["one event", "a series", "neither"],
)
def test_the_age_of_an_event_is_found_wherever_it_stands(times: o.Object) -> None:
    event = o.event("Pod", "w", "FailedMount", "mount failed") | times
    assert diagnose(_about(o.worker(o.waits("ContainerCreating")), events=[event])) is None


def test_an_event_without_any_time_counts_as_new() -> None:
    event = o.event("Pod", "w", "FailedMount", "mount failed") | {"lastTimestamp": None}
    found = diagnose(_about(o.worker(o.waits("ContainerCreating")), events=[event]))
    assert found is not None
    assert found.reason == "VolumeNotMounted"
