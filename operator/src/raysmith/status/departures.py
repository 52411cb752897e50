"""Pods that were taken away: evicted, preempted, gone with their node. And heads that were lost for any cause."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from raysmith.status import pods
from raysmith.status.evidence import (
    Cause,
    Diagnosis,
    Evidence,
    Object,
    condition,
    event_time,
    events_about,
    status,
    time,
)
from raysmith.status.messages import clause
from raysmith.status.reasons import Reason

RAY: Final = "ray"
"""The container that Ray runs in."""

# How Kubernetes calls it: `.status.reason` of the pod, the reason of its condition DisruptionTarget, reasons of events.
_POD: Final = {
    "Evicted": Reason.POD_EVICTED,
    "Preempting": Reason.POD_PREEMPTED,  # by the kubelet, for a critical pod
    "NodeLost": Reason.NODE_LOST,
    "NodeShutdown": Reason.NODE_LOST,  # refused, because the node shuts down
    "Terminated": Reason.NODE_LOST,  # ended, because the node shuts down
    "UnexpectedAdmissionError": Reason.POD_REJECTED,  # for example a device that broke
    "NodeAffinity": Reason.POD_REJECTED,
}
_DISRUPTION: Final = {
    "PreemptionByScheduler": Reason.POD_PREEMPTED,
    "EvictionByEvictionAPI": Reason.POD_EVICTED,
    "TerminationByKubelet": Reason.POD_EVICTED,
    "DeletionByTaintManager": Reason.NODE_LOST,
    "DeletionByDeviceTaintManager": Reason.NODE_LOST,
    "DeletionByPodGC": Reason.NODE_LOST,
}
_EVENT: Final = {
    "Evicted": Reason.POD_EVICTED,
    "Preempting": Reason.POD_PREEMPTED,
    "Preempted": Reason.POD_PREEMPTED,
    "TaintManagerEviction": Reason.NODE_LOST,
    "NodeNotReady": Reason.NODE_LOST,
}
_SENTENCES: Final = {
    Reason.POD_EVICTED: "{pod} was evicted",
    Reason.POD_PREEMPTED: "{pod} had to make room for a pod of higher priority",
    Reason.POD_REJECTED: "The node that was chosen for {pod} did not take it",
    Reason.NODE_LOST: "The node of {pod} went away",
}
# An eviction that the pod brought upon itself; the next one would be evicted, too.
_OWN_LIMIT: Final = re.compile(r"local ephemeral storage limit|ephemeral local storage usage exceeds|Usage of EmptyDir volume")
_AROUND_THE_END: Final = timedelta(minutes=10)
"""A run takes some minutes to notice that a worker is gone; what happened earlier it has survived."""


class Departure(NamedTuple):
    """One pod that was taken away."""

    pod: str
    title: str
    reason: Reason
    text: str


def storage_exceeded(evidence: Evidence) -> Diagnosis | None:
    """A pod was evicted because it wrote more to its node's disk than it may."""
    for gone in _departures(evidence):
        if _OWN_LIMIT.search(gone.text):
            message = (
                f"{_capital(gone.title)} was evicted for writing more to its node's disk than it may: {clause(gone.text)}. "
                "Raise ephemeral-storage in its resources or the sizeLimit of its volume (spec.podTemplate)."
            )
            return Diagnosis(Reason.STORAGE_EXCEEDED, message, gone.pod, Cause.RUN)
    return None


def taken_away(evidence: Evidence) -> Diagnosis | None:
    """A pod was taken away shortly before the attempt ended."""
    gone = next(_departures(evidence), None)
    if gone is None:
        return None
    told = _capital(_SENTENCES[gone.reason].format(pod=gone.title))
    text = f" ({clause(gone.text)})" if clause(gone.text) else ""
    message = f"{told}{text}. The attempt is not counted; the next one goes on from the last checkpoint."
    return Diagnosis(gone.reason, message, gone.pod, Cause.INFRASTRUCTURE)


def is_head_lost(evidence: Evidence) -> bool:
    """Whether the run's process has gone with its head. KubeRay makes a new head, but nothing can go on there."""
    job = status(evidence.ray_job)
    submitted = time((job.get("rayJobInfo") or {}).get("startTime"))
    if job.get("jobDeploymentStatus") != "Running" or submitted is None:
        return False
    heads = pods.heads(evidence)
    if not heads:
        # KubeRay must say so, too: pods that this process has not seen yet are not lost.
        return bool(condition(evidence.ray_cluster, "HeadPodReady").get("reason") == "HeadPodNotFound")
    return not any(_lives(evidence, pod) and _has_run_since(pod, submitted) for pod in heads)


def head_lost(evidence: Evidence) -> Diagnosis | None:
    """The head ended, or was replaced, while the run needed it."""
    superseded = (evidence.own_failure or {}).get("reason") == "Superseded"
    unreachable = status(evidence.ray_job).get("reason") == "JobStatusCheckTimeoutExceeded"
    if not (is_head_lost(evidence) or superseded or unreachable):
        return None
    for pod in pods.heads(evidence):
        # What ended after its pod was deleted did not end by itself.
        ends = [] if pod["metadata"].get("deletionTimestamp") else [*pods.ends(_ray(pod))]
        if ends:
            ended = f"Container {RAY} of {pods.title(pod)} ended {pods.how(ends[0])}, and the run with it."
            message = f"{ended} {pods.see_log(pod, RAY)}"
            return Diagnosis(Reason.HEAD_LOST, message, pods.name(pod), Cause.RUN)
    message = (
        "The head pod of the Ray cluster was lost or cannot be reached any more, and the run with it. "
        "The attempt is not counted; the next one goes on from the last checkpoint."
    )
    return Diagnosis(Reason.HEAD_LOST, message, None, Cause.INFRASTRUCTURE)


def _departures(evidence: Evidence) -> Iterator[Departure]:
    for pod in pods.ordered(evidence.pods):
        if reason := _reason(pod):
            text = status(pod).get("message") or condition(pod, "DisruptionTarget").get("message") or ""
            yield Departure(pods.name(pod), pods.title(pod), reason, text)
    end = time(status(evidence.ray_job).get("endTime")) or evidence.now
    for event in events_about(evidence, "Pod"):
        reason, seen = _EVENT.get(event.get("reason") or ""), event_time(event)
        text = event.get("message") or ""
        if reason and seen and abs(end - seen) <= _AROUND_THE_END and not text.startswith("Cancelling deletion"):
            name = event["involvedObject"]["name"]
            yield Departure(name, f"pod {name}", reason, text)


def _reason(pod: Object) -> Reason | None:
    found = status(pod)
    if found.get("phase") == "Failed" or found.get("reason") == "NodeLost":
        told = found.get("reason") or ""
        reason = Reason.POD_REJECTED if told.startswith("OutOf") else _POD.get(told)
        if reason:
            return reason
    target = condition(pod, "DisruptionTarget")
    return _DISRUPTION.get(target.get("reason") or "") if target.get("status") == "True" else None


def _lives(evidence: Evidence, pod: Object) -> bool:
    """Whether the pod may still do something: a deleted one until its grace is over."""
    deleted = time(pod["metadata"].get("deletionTimestamp"))
    is_over = deleted is not None and evidence.now > deleted
    return status(pod).get("phase") not in ("Succeeded", "Failed") and status(pod).get("reason") != "NodeLost" and not is_over


def _has_run_since(pod: Object, moment: datetime) -> bool:
    """Whether Ray has run in the pod since `moment` without a break."""
    started = time(((_ray(pod).get("state") or {}).get("running") or {}).get("startedAt"))
    return started is not None and started <= moment


def _ray(pod: Object) -> Object:
    return next((container for container in pods.containers(pod) if container["name"] == RAY), {})


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
