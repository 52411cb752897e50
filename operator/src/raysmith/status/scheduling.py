"""Why no node takes a pod, out of the scheduler's words: the condition PodScheduled and the claims of the pod."""

import re
from collections.abc import Iterator
from typing import Final

from raysmith.status import pods
from raysmith.status.evidence import Cause, Diagnosis, Evidence, Object, condition, events_about, status
from raysmith.status.messages import clause
from raysmith.status.reasons import Reason

_NODES: Final = re.compile(r"0/(?P<all>\d+) nodes are available: (?P<why>.*)", re.DOTALL)
_COUNTED: Final = re.compile(r"(?P<count>\d+) (?P<what>.+)", re.DOTALL)
_CLAIM: Final = re.compile(r'persistentvolumeclaim "(?P<name>[^"]+)" (?P<what>not found|bound to|is being deleted)')
_UNBOUND: Final = re.compile(r"unbound immediate PersistentVolumeClaims|persistent volumes to bind|free storage")
_SHORT: Final = ("Insufficient ", "Too many pods")
_PLACEMENT: Final = ("node affinity", "taint", "topology spread", "affinity rules")
# What nodes have instead, for a sentence about "1 node has" or "2 nodes have".
_TOLD: Final = (
    ("Too many pods", "no room for another pod"),
    ("untolerated taint", "a taint that the pod does not tolerate"),
    ("node affinity/selector", "other labels than the pod's nodeSelector or affinity asks for"),
    ("were unschedulable", "been cordoned"),
)


def scheduling_gated(_evidence: Evidence, pod: Object) -> Diagnosis | None:
    """A queue, for example Kueue, has not let the pod go yet."""
    if condition(pod, "PodScheduled").get("reason") != "SchedulingGated":
        return None
    message = f"A scheduling gate holds {pods.title(pod)} back: its queue has not admitted it yet. Ask whoever runs the queue."
    return Diagnosis(Reason.SCHEDULING_GATED, message, pods.name(pod), Cause.RUN)


def claim_missing(_evidence: Evidence, pod: Object) -> Diagnosis | None:
    """A claim that the object names does not exist, or not for long."""
    found = _CLAIM.search(_why(pod))
    if found is None:
        return None
    claim = f"PersistentVolumeClaim {found['name']}, which {pods.title(pod)} needs,"
    told = {
        "not found": f"{claim} is not in this namespace. Create it, or correct the pvc:// address.",
        "bound to": f"{claim} has lost its volume. Restore the volume, or name another claim in the pvc:// address.",
        "is being deleted": f"{claim} is being deleted. Name another claim in the pvc:// address.",
    }
    return Diagnosis(Reason.CLAIM_MISSING, told[found["what"]], pods.name(pod), Cause.USER)


def claim_unbound(evidence: Evidence, pod: Object) -> Diagnosis | None:
    """A claim that the object names has no volume."""
    why = _why(pod)
    if not _UNBOUND.search(why):
        return None
    unbound = sorted(pods.name(claim) for claim in evidence.claims if status(claim).get("phase") == "Pending")
    which = f"PersistentVolumeClaim {', '.join(unbound)}" if unbound else "A PersistentVolumeClaim"
    said = "; ".join(_said_of_claims(evidence, unbound)) or clause(why)
    message = (
        f"{which} of {pods.title(pod)} has no volume yet: {said}. "
        "Check the claim's storage class, size and access mode (kubectl describe pvc)."
    )
    return Diagnosis(Reason.CLAIM_UNBOUND, message, pods.name(pod), Cause.USER)


def unschedulable(evidence: Evidence, pod: Object) -> Diagnosis | None:
    """No node has room for the pod, or none suits it."""
    why = _why(pod)
    if not why:
        return None
    nodes = _NODES.fullmatch(why)
    parts = [_told(pod, part) for part in nodes["why"].split(", ")] if nodes else [clause(why)]
    counted = f"of {_count(int(nodes['all']), 'node')}, {', '.join(parts)}" if nodes else parts[0]
    remedy, cause = _remedy(evidence, pod, why)
    return Diagnosis(Reason.UNSCHEDULABLE, f"No node takes {pods.title(pod)}: {counted}. {remedy}", pods.name(pod), cause)


def _why(pod: Object) -> str:
    """The first sentence of the scheduler, empty if it has found a node. The second says whom preemption would not help."""
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") != "False" or scheduled.get("reason") != "Unschedulable":
        return ""
    return str(scheduled.get("message") or "the scheduler gives no reason").partition(". ")[0].rstrip(".")


def _told(pod: Object, part: str) -> str:
    """One reason of the scheduler: how many nodes lack what, and what the pod asks for."""
    counted = _COUNTED.fullmatch(part)
    if counted is None:
        return clause(part)
    what = counted["what"]
    has = f"{counted['count']} {'has' if counted['count'] == '1' else 'have'}"
    resource = what.removeprefix("Insufficient ")
    if resource == what:
        told = next((told for words, told in _TOLD if words in what), None)
        return f"{has} {told or f'another obstacle: {clause(what)}'}"
    asked = pods.asked(pod, resource)
    return f"{has} too little {resource}{f' (the pod asks for {asked})' if asked else ''}"


def _remedy(evidence: Evidence, pod: Object, why: str) -> tuple[str, Cause]:
    """What to do, and whose fault it is: room may come, a node that suits the pod will not."""
    if any(word in why for word in _SHORT):
        return f"Ask for less in {pods.resources_field(evidence, pods.role(pod))}, make room, or add nodes.", Cause.RUN
    if any(word in why for word in _PLACEMENT):
        fields = f"nodeSelector, affinity or tolerations in spec.podTemplate.{pods.template(pod)}"
        return f"Correct {fields}, or add nodes that match.", Cause.USER
    return f"See kubectl describe pod {pods.name(pod)}.", Cause.RUN


def _said_of_claims(evidence: Evidence, claims: list[str]) -> Iterator[str]:
    """What the volume controller last said about each of the claims."""
    for claim in claims:
        for event in events_about(evidence, "PersistentVolumeClaim", claim):
            if event.get("reason") in ("FailedBinding", "ProvisioningFailed"):
                yield clause(event.get("message") or "")
                break


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
