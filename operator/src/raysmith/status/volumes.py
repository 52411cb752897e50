"""Volumes that are not mounted, and Secrets and ConfigMaps that are not there."""

import re
from collections.abc import Iterator
from itertools import chain
from typing import Final

from raysmith.status import pods
from raysmith.status.evidence import Cause, Diagnosis, Evidence, Object, events_about, is_fresh
from raysmith.status.messages import clause
from raysmith.status.reasons import Reason

_MOUNT_FAILURES: Final = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")

# What the kubelet writes where a pod names a Secret or a ConfigMap: (pattern, reason, sentence).
_MISSING: Final = (
    (re.compile(r'secret "(?P<name>[^"]+)" not found'), Reason.SECRET_MISSING, "Secret {name} is not in this namespace"),
    (
        re.compile(r"couldn't find key (?P<key>\S+) in Secret [^/]+/(?P<name>\S+)"),
        Reason.SECRET_MISSING,
        "Secret {name} has no key {key}",
    ),
    (
        re.compile(r'for volume "(?P<name>[^"]+)" : references non-existent secret key: (?P<key>\S+)'),
        Reason.SECRET_MISSING,
        "The Secret of volume {name} has no key {key}",
    ),
    (
        re.compile(r'configmap "(?P<name>[^"]+)" not found'),
        Reason.CONFIG_MAP_MISSING,
        "ConfigMap {name} is not in this namespace",
    ),
    (
        re.compile(r"couldn't find key (?P<key>\S+) in ConfigMap [^/]+/(?P<name>\S+)"),
        Reason.CONFIG_MAP_MISSING,
        "ConfigMap {name} has no key {key}",
    ),
    (
        re.compile(r'for volume "(?P<name>[^"]+)" : configmap references non-existent config key: (?P<key>\S+)'),
        Reason.CONFIG_MAP_MISSING,
        "The ConfigMap of volume {name} has no key {key}",
    ),
)


def reference_missing(evidence: Evidence, pod: Object) -> Diagnosis | None:
    """A Secret or a ConfigMap that the pod names is not there, or lacks a key."""
    said = chain(
        (pods.waiting(c).get("message") or "" for c in pods.waiting_for(pod, *pods.CREATION_FAILURES)),
        _mount_failures(evidence, pod),
    )
    for text in said:
        for pattern, reason, told in _MISSING:
            if found := pattern.search(text):
                what = told.format(**found.groupdict())
                message = f"{what}, and {pods.title(pod)} needs it. Create it there; the pod then goes on."
                return Diagnosis(reason, message, pods.name(pod), Cause.USER)
    return None


def volume_in_use(evidence: Evidence, pod: Object) -> Diagnosis | None:
    """A volume that only one node may have is on another one."""
    for text in _mount_failures(evidence, pod):
        if text.startswith("Multi-Attach error"):
            message = (
                f"A volume of {pods.title(pod)} is in use on another node: {clause(text)}. "
                "Runs on several nodes need a claim with access mode ReadWriteMany."
            )
            return Diagnosis(Reason.VOLUME_IN_USE, message, pods.name(pod), Cause.RUN)
    return None


def volume_not_mounted(evidence: Evidence, pod: Object) -> Diagnosis | None:
    """The node cannot attach or mount a volume."""
    for text in _mount_failures(evidence, pod):
        message = f"A volume of {pods.title(pod)} cannot be mounted: {clause(text)}. Check the claim and its storage."
        return Diagnosis(Reason.VOLUME_NOT_MOUNTED, message, pods.name(pod), Cause.RUN)
    return None


def _mount_failures(evidence: Evidence, pod: Object) -> Iterator[str]:
    """What the kubelet and the attach controller say now about the volumes of a pod whose containers wait for them."""
    if not any(pods.waiting(container) for container in pods.containers(pod)):
        return
    events = (event for event in events_about(evidence, "Pod", pods.name(pod)) if is_fresh(evidence, event))
    texts = [event.get("message") or "no more is known" for event in events if event.get("reason") in _MOUNT_FAILURES]
    # The kubelet adds from time to time that it has waited, without saying for what.
    yield from sorted(texts, key=lambda text: text.startswith("Unable to attach or mount volumes"))
