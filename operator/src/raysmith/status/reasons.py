"""The words for what is wrong, one for each cause. They are part of the API: programs may rely on them.

A run and a preparation that say themselves why they ended bring their own word (`DataRefused`, `ModelNotFound`, ...).
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why something does not start, or has ended."""

    # Pods that do not come to be.
    QUOTA_EXCEEDED = "QuotaExceeded"
    """The namespace's quota has no room for the pods."""
    ADMISSION_DENIED = "AdmissionDenied"
    """The API server refuses the pods: a security standard, a limit range, a webhook."""
    SPEC_REFUSED = "SpecRefused"
    """KubeRay refuses the object that was made for it."""

    # Pods that find no node.
    UNSCHEDULABLE = "Unschedulable"
    """No node takes the pod."""
    SCHEDULING_GATED = "SchedulingGated"
    """A queue holds the pod back."""
    CLAIM_MISSING = "ClaimMissing"
    """There is no such PersistentVolumeClaim."""
    CLAIM_UNBOUND = "ClaimUnbound"
    """The PersistentVolumeClaim has no volume."""

    # Pods that do not start.
    IMAGE_NAME_INVALID = "ImageNameInvalid"
    """What the container names is not the name of an image."""
    IMAGE_MISSING = "ImageMissing"
    """The image is not on the node and may not be pulled."""
    IMAGE_PULL_FAILED = "ImagePullFailed"
    """The image cannot be pulled."""
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - a word, no secret
    """There is no such Secret, or it lacks a key."""
    CONFIG_MAP_MISSING = "ConfigMapMissing"
    """There is no such ConfigMap, or it lacks a key."""
    VOLUME_IN_USE = "VolumeInUse"
    """The volume is held by another node."""
    VOLUME_NOT_MOUNTED = "VolumeNotMounted"
    """The volume cannot be attached or mounted."""
    CONTAINER_NOT_CREATED = "ContainerNotCreated"
    """The node cannot make the container."""
    CRASH_LOOP = "CrashLoop"
    """The container ends again and again."""
    START_TIMEOUT = "StartTimeout"
    """The pods were not running in time, and nobody says why."""

    # Pods that were taken away.
    POD_PREEMPTED = "PodPreempted"
    """A pod of higher priority took the place."""
    POD_EVICTED = "PodEvicted"
    """The pod was evicted, by its node or through the API (a drain)."""
    POD_REJECTED = "PodRejected"
    """The node that was chosen did not take the pod."""
    POD_GONE = "PodGone"
    """The pod was deleted before it ended."""
    NODE_LOST = "NodeLost"
    """The node went away."""
    HEAD_LOST = "HeadLost"
    """The Ray head ended or was replaced, and the run's process with it."""

    # Runs that failed.
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    """The run took longer than it may."""
    STORAGE_EXCEEDED = "LocalStorageExceeded"
    """The pod wrote more to its node's disk than it may."""
    OUT_OF_MEMORY = "OutOfMemory"
    """A container or a process in it used more memory than it may."""
    ACCELERATOR_OUT_OF_MEMORY = "AcceleratorOutOfMemory"
    """The accelerator's memory is too small for the batch."""
    PREPARATION_FAILED = "PreparationFailed"
    """The preparation of the data ended without saying why."""
    SUBMISSION_FAILED = "SubmissionFailed"
    """The run's process could not be started on the Ray cluster."""
    RUN_REFUSED = "RunRefused"
    """The run refused its input, and its own report did not arrive."""
    RUN_FAILED = "RunFailed"
    """The run ended with an exception, and its own report did not arrive."""
    RUN_STOPPED = "RunStopped"
    """Somebody stopped the run."""
    RAY_JOB_FAILED = "RayJobFailed"
    """KubeRay says that the run failed; nothing else is known."""

    # Services.
    ENGINE_FAILED = "EngineFailed"
    """The engine did not start, or does not answer any more."""
