"""Pods that the API server does not let come to be: quota, security standards, limit ranges, webhooks."""

import re
from typing import Final

from raysmith.status.evidence import Cause, Diagnosis, Evidence, condition, events_about, holds
from raysmith.status.messages import clause
from raysmith.status.reasons import Reason

_QUOTA: Final = re.compile(
    r"exceeded quota: (?P<quota>[^,]+), requested: (?P<requested>.*?), used: .*?, limited: (?P<limited>.*)"
)
_MARKERS: Final = ("FailedCreateHeadPod", "FailedCreateWorkerPod")
# In this order: the first that occurs says what to do.
_REMEDIES: Final = (
    ("failed quota", "Set what the quota asks for in the object's resources, or ask whoever runs the namespace."),
    (
        "violates PodSecurity",
        "Change spec.podTemplate so that the pods keep to the standard, or ask whoever runs the namespace.",
    ),
    ("denied the request", "Change the object as the webhook asks, or ask whoever runs the cluster."),
    ("failed calling webhook", "Ask whoever runs the cluster to repair the webhook."),
    (" usage per ", "Change the object's resources so that they keep to the namespace's LimitRange."),
    ("serviceaccount", "Create the service account, or correct the installation's settings."),
    ("PriorityClass", "Correct priorityClassName in spec.podTemplate."),
)


def creation_denied(evidence: Evidence) -> Diagnosis | None:
    """Pods are wanted, and the API server refuses them."""
    text = _denial(evidence)
    if not text:
        return None
    if quota := _QUOTA.search(text):
        message = (
            f"The namespace's quota {quota['quota']} has no room for the pods: they ask for {quota['requested']}, and "
            f"{clause(quota['limited'])} is allowed in all. Ask for less, wait until others end, or have the quota raised."
        )
        return Diagnosis(Reason.QUOTA_EXCEEDED, message, None, Cause.RUN)
    remedy = next((remedy for words, remedy in _REMEDIES if words in text), "Change what is refused in spec.podTemplate.")
    return Diagnosis(Reason.ADMISSION_DENIED, f"The API server refuses the pods: {clause(text)}. {remedy}", None, Cause.USER)


def _denial(evidence: Evidence) -> str:
    """What the API server said to KubeRay, or to the Job's controller as long as the Job has no pod."""
    if holds(evidence.ray_cluster, "ReplicaFailure"):
        failure = condition(evidence.ray_cluster, "ReplicaFailure")
        if failure.get("reason") in _MARKERS:
            return _without_marker(failure.get("message") or "") or "KubeRay gives no reason."
    if evidence.job and not evidence.pods and not holds(evidence.job, "Complete"):
        for event in events_about(evidence, "Job", evidence.job["metadata"]["name"]):
            if event.get("reason") == "FailedCreate":
                return str(event.get("message") or "no more is known").removeprefix("Error creating: ")
    if evidence.ray_job and not evidence.ray_cluster:
        for event in events_about(evidence, "RayJob", evidence.ray_job["metadata"]["name"]):
            if event.get("reason") == "FailedToCreateRayCluster":
                return str(event.get("message") or "no more is known")
    return ""


def _without_marker(message: str) -> str:
    """KubeRay joins a word of its own and the error, one line each."""
    return "\n".join(line for line in message.splitlines() if line not in _MARKERS)
