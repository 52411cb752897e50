"""Where an LLMService stands: which revision answers, which one takes over, and which ones go. Pure.

Requests go to one revision, the active one, which the Service's selector names. Another one that is wanted is started beside
it, takes over when it answers, and is given up at its deadline. The former one goes when its last requests have had time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from raysmith.api import LLMService
from raysmith.api.common import Artifact
from raysmith.api.service import AdapterStatus, LLMServiceStatus
from raysmith.status.conditions import Finding, accepted, find, no, updated, yes
from raysmith.status.evidence import Diagnosis

NO_REVISION: Final = "none"
"""What the selector names when there are no pods."""
DRAIN_SECONDS: Final = 60
"""What the former revision gets to finish its requests."""
PROBE_SECONDS: Final = 10
"""Between two looks at a revision that does not answer yet."""
CHECK_SECONDS: Final = 15
"""Between two looks at one that does."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was observed of the service."""

    refusals: list[str] = field(default_factory=list)
    """Sentences about what no pod can be made from."""
    waiting_for: str | None = None
    """Why a reference has no result yet, as a sentence."""
    model: Artifact | None = None
    """What `spec.model` resolves to now."""
    adapters: list[AdapterStatus] = field(default_factory=list)
    """What `spec.adapters` resolve to now."""
    desired: str | None = None
    """The revision that the object asks for; None without replicas, or as long as a reference has no result."""
    active: str | None = None
    """The revision in the Service's selector; None without a Service."""
    revisions: Mapping[str, Any] = field(default_factory=dict)
    """The RayServices there are, by revision."""
    answering: Mapping[str, int] = field(default_factory=dict)
    """Pods that answered just now, by revision."""
    reached: bool = True
    """Whether something answered at the Service's address just now."""
    diagnosis: Diagnosis | None = None
    """What keeps the desired revision from answering, if anything is known."""
    hindered: Finding | None = None
    """Why what has to be there cannot be made."""


@dataclass(frozen=True)
class Verdict:
    """The new status, where the Service points, and which revisions there are to be."""

    status: LLMServiceStatus
    point_to: str
    """The revision for the Service's selector."""
    start: bool
    """Whether the desired revision must be there."""
    keep: frozenset[str]
    """Revisions that stay; all others are deleted."""
    again: float | None


def verdict(obj: LLMService, seen: Seen, now: datetime, *, address: str) -> Verdict:
    """What is true of `obj`, which is reached at `address`, and what it needs."""
    old = obj.status or LLMServiceStatus()
    # Without its Service, what answered last goes on answering.
    active = next((revision for revision in (seen.active, old.revision) if revision in seen.revisions), None)
    if obj.spec.replicas == 0:
        return _without_replicas(obj, seen, now)
    if seen.refusals:
        return _standing(obj, seen, now, address, active, no("Accepted", "Refused", " ".join(seen.refusals)))
    if seen.waiting_for:
        return _standing(obj, seen, now, address, active, no("Progressing", "WaitingForModel", seen.waiting_for))
    if seen.desired is None:
        return _without_replicas(obj, seen, now)
    if active is None or active == seen.desired or seen.answering.get(seen.desired):
        return _arrived(obj, seen, seen.desired, now, address)
    return _upgrading(obj, seen, seen.desired, now, address, active)


def without_address(obj: LLMService, seen: Seen, now: datetime, taken: Finding) -> Verdict:
    """The address is somebody else's: nothing is ready, even if pods answer."""
    findings = [accepted(), taken]
    status = _status(obj, seen, now, "", findings, revision=None, phase="Waiting")
    return Verdict(status, NO_REVISION, False, frozenset(seen.revisions), CHECK_SECONDS)


def _arrived(obj: LLMService, seen: Seen, desired: str, now: datetime, address: str) -> Verdict:
    """Requests go to the desired revision: it answers, or there is no other one."""
    old = obj.status or LLMServiceStatus()
    done = no("Progressing", "RolledOut", "Requests go to what the object asks for.")
    ready = _ready(seen, desired)
    findings = [accepted(), ready, done]
    status = _status(
        obj,
        seen,
        now,
        address,
        findings,
        revision=desired,
        phase="Ready" if _answers(seen, desired) else _phase(seen),
    )
    status = status.model_copy(update={"model": seen.model, "adapters": seen.adapters or None})
    switched = find(old.conditions, "Progressing")
    former = set(seen.revisions) - {desired}
    left = 0.0
    if former:
        since = switched.last_transition_time if old.revision == desired and switched else now
        left = DRAIN_SECONDS - (now - since).total_seconds()
    keep = {desired} | (former if left > 0 else set())
    again = min(left, PROBE_SECONDS) if left > 0 else _pause(seen, desired)
    return Verdict(status, desired, True, frozenset(keep), again)


def _upgrading(obj: LLMService, seen: Seen, desired: str, now: datetime, address: str, active: str) -> Verdict:
    """The desired revision starts beside the active one, unless it has failed before."""
    old = obj.status or LLMServiceStatus()
    if desired == old.failed_revision:
        message = f"Revision {desired} was not ready in time and was removed; {active} goes on. Change the object to try again."
        return _standing(obj, seen, now, address, active, no("Progressing", "UpgradeFailed", message))
    since = old.pending_since if old.pending_revision == desired and old.pending_since else now
    left = obj.spec.upgrade.deadline_seconds - (now - since).total_seconds()
    hindrance = seen.hindered or seen.diagnosis
    why = f" {hindrance.message}" if hindrance else ""
    if left <= 0:
        message = f"Revision {desired} was not ready within spec.upgrade.deadlineSeconds and is removed; {active} goes on.{why}"
        made = _standing(obj, seen, now, address, active, no("Progressing", "UpgradeFailed", message))
        failed = made.status.model_copy(update={"failed_revision": desired})
        return Verdict(failed, active, False, frozenset({active}), made.again)
    going = yes("Progressing", "Upgrading", f"Revision {desired} starts beside {active} and takes over when it answers.{why}")
    findings = [accepted(), _ready(seen, active), going]
    status = _status(obj, seen, now, address, findings, revision=active, phase="Upgrading")
    status = status.model_copy(update={"pending_revision": desired, "pending_since": since})
    return Verdict(status, active, True, frozenset({active, desired}), min(left, PROBE_SECONDS))


def _standing(obj: LLMService, seen: Seen, now: datetime, address: str, active: str | None, finding: Finding) -> Verdict:
    """Nothing new can be started; what answers goes on."""
    general = [] if finding.type == "Accepted" else [accepted()]
    ready = _ready(seen, active) if active else no("Ready", finding.reason, finding.message)
    phase = "Ready" if _answers(seen, active) else ("Refused" if finding.type == "Accepted" else "Waiting")
    status = _status(obj, seen, now, address, [*general, ready, finding], revision=active, phase=phase)
    keep = frozenset({active} if active else ())
    return Verdict(status, active or NO_REVISION, False, keep, _pause(seen, active) if active else None)


def _without_replicas(obj: LLMService, seen: Seen, now: datetime) -> Verdict:
    message = "spec.replicas is 0, so there are no pods; the address stays."
    findings = [accepted(), no("Ready", "NoReplicas", message), no("Progressing", "NoReplicas", message)]
    status = _status(obj, seen, now, "", findings, revision=None, phase="ScaledToZero")
    return Verdict(status, NO_REVISION, False, frozenset(), None)


def _answers(seen: Seen, revision: str | None) -> bool:
    return bool(revision and seen.answering.get(revision) and seen.reached)


def _ready(seen: Seen, revision: str) -> Finding:
    count = seen.answering.get(revision, 0)
    if count and not seen.reached:
        message = f"Pods of revision {revision} answer, but nothing does at the service's address yet."
        return no("Ready", "AddressSilent", message)
    if count:
        return yes("Ready", "Answering", f"{count} of the replicas of revision {revision} answer.")
    if seen.hindered:
        return seen.hindered
    if seen.diagnosis:
        return no("Ready", seen.diagnosis.reason, seen.diagnosis.message)
    return no("Ready", "Starting", f"Revision {revision} is starting and does not answer yet.")


def _phase(seen: Seen) -> str:
    return "Failing" if seen.diagnosis and seen.diagnosis.terminal else "Starting"


def _pause(seen: Seen, revision: str | None) -> float:
    return CHECK_SECONDS if _answers(seen, revision) else PROBE_SECONDS


def _status(
    obj: LLMService, seen: Seen, now: datetime, address: str, findings: list[Finding], *, revision: str | None, phase: str
) -> LLMServiceStatus:
    old = obj.status or LLMServiceStatus()
    return LLMServiceStatus(
        observed_generation=obj.metadata.generation,
        phase=phase,
        conditions=updated(old.conditions or [], findings, obj.metadata.generation, now),
        model=old.model,
        adapters=old.adapters,
        revision=revision,
        failed_revision=old.failed_revision if old.failed_revision == seen.desired else None,
        url=address or None,
        replicas=1 if obj.spec.replicas is None else obj.spec.replicas,
        ready_replicas=seen.answering.get(revision, 0) if revision else 0,
    )
