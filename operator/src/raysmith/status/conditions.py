"""Conditions: one entry for each type; the transition time moves only when the status does."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from raysmith.api.common import Condition, ConditionStatus
from raysmith.status.messages import clause
from raysmith.status.reasons import Reason


class Finding(NamedTuple):
    """What is found about one condition at this moment."""

    type: str
    status: ConditionStatus
    reason: str
    """A stable CamelCase word."""
    message: str
    """A sentence to a person."""


def yes(type_: str, reason: str, message: str) -> Finding:
    """The condition holds."""
    return Finding(type_, ConditionStatus.TRUE, reason, message)


def no(type_: str, reason: str, message: str) -> Finding:
    """The condition does not hold."""
    return Finding(type_, ConditionStatus.FALSE, reason, message)


def accepted() -> Finding:
    """The object can be worked on."""
    return yes("Accepted", "Accepted", "The object is valid, and pods can be made from it.")


def kuberay_missing(type_: str, kind: str, what: str) -> Finding:
    """`kind` is not known to the API server, so that `what` ("run", "service") cannot go on."""
    message = (
        f"The cluster does not know the kind {kind}: KubeRay is not installed, or still starting. "
        f"Install the KubeRay operator; this {what} goes on by itself then."
    )
    return no(type_, "KubeRayMissing", message)


def name_taken(type_: str, taken: str) -> Finding:
    """`taken`, the kind and the name of what has to be made, is there and belongs to somebody else."""
    message = (
        f"There is a {taken} in this namespace already that was not made for this object, so it is left alone. "
        "If it is left from an object of the same name, it goes by itself; otherwise delete it, or rename this object."
    )
    return no(type_, "NameTaken", message)


def rejected(type_: str, thing: str, said: str) -> Finding:
    """The API server does not take `thing`, the kind and the name of what has to be made, and has `said` why."""
    message = (
        f"The API server does not take the {thing} that this object needs: {clause(said)}. "
        "Change what it names, or ask whoever runs the namespace; it is tried again by itself."
    )
    return no(type_, Reason.ADMISSION_DENIED, message)


def updated(old: Sequence[Condition], findings: Sequence[Finding], generation: int | None, now: datetime) -> list[Condition]:
    """`old` with `findings` written over it, in the order of their first appearance."""
    conditions = {condition.type: condition for condition in old}
    for finding in findings:
        before = conditions.get(finding.type)
        since = before.last_transition_time if before and before.status == finding.status else now
        conditions[finding.type] = Condition(
            type=finding.type,
            status=finding.status,
            reason=finding.reason,
            message=finding.message[:32768],
            last_transition_time=since,
            observed_generation=generation,
        )
    return list(conditions.values())


def find(conditions: Sequence[Condition] | None, type_: str) -> Condition | None:
    """The condition of this type."""
    return next((condition for condition in conditions or [] if condition.type == type_), None)


def holds(conditions: Sequence[Condition] | None, type_: str) -> bool:
    """Whether the condition is there and true."""
    condition = find(conditions, type_)
    return condition is not None and condition.status is ConditionStatus.TRUE
