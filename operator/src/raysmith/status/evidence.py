"""What is known about an attempt or a revision, gathered once, and what is concluded from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final

Object = dict[str, Any]
"""One Kubernetes object as JSON data."""

FRESH_SECONDS: Final = 300
"""The kubelet repeats what keeps a pod from starting at least every two minutes; what was said earlier has passed."""


class Cause(Enum):
    """Who is at fault, which decides about another attempt."""

    USER = "user"
    """The object, its data, its image: another attempt would end alike."""
    RUN = "run"
    """A fault of the run: another attempt is counted."""
    INFRASTRUCTURE = "infrastructure"
    """A machine was lost or taken away: another attempt is free."""
    WAITING = "waiting"
    """Nothing has failed; something keeps it from going on, and may pass."""


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong."""

    reason: str
    """A stable word in CamelCase."""
    message: str
    """Whole sentences to a person: what happened, where, and what to do next."""
    pod: str | None
    """The pod that it happened in."""
    cause: Cause
    terminal: bool = True
    """Whether it ends the attempt; for a service, whether it stays so until the object changes."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that is looked at. Objects are as the API server gives them; what does not exist is left out."""

    now: datetime
    job: Object | None = None
    """The Job that prepares the data."""
    ray_job: Object | None = None
    ray_cluster: Object | None = None
    """The one that belongs to the RayJob or to the RayService."""
    ray_service: Object | None = None
    pods: Sequence[Object] = ()
    """Of this attempt or revision only."""
    events: Sequence[Object] = ()
    """core/v1 Events about these objects, their pods and the pods' claims."""
    claims: Sequence[Object] = ()
    """The PersistentVolumeClaims that the pods name."""
    attempt: int | None = None
    failure: Object | None = None
    """`.status.failure` of the LLMFineTune, of whichever attempt."""
    start_seconds: int = 1800
    """How long the preparation's pod may take to start; KubeRay itself watches over the others."""

    @property
    def own_failure(self) -> Object | None:
        """What the run says about the end of this attempt."""
        return self.failure if self.failure and self.failure["attempt"] == self.attempt else None


def status(obj: Object | None) -> Object:
    """The object's status, empty if there is none."""
    return (obj or {}).get("status") or {}


def condition(obj: Object | None, type_: str) -> Object:
    """The condition of this type, empty if there is none."""
    return next((found for found in status(obj).get("conditions") or () if found["type"] == type_), {})


def holds(obj: Object | None, type_: str) -> bool:
    """Whether the condition of this type is true."""
    return condition(obj, type_).get("status") == "True"


def time(text: str | None) -> datetime | None:
    """A metav1.Time or MicroTime."""
    return datetime.fromisoformat(text) if text else None


def event_time(event: Object) -> datetime | None:
    """When the event was last seen. Which field holds it depends on who wrote it."""
    series = (event.get("series") or {}).get("lastObservedTime")
    return time(series or event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp"))


def events_about(evidence: Evidence, kind: str, name: str | None = None) -> Iterator[Object]:
    """Events about objects of this kind, with this name if it is given, the newest first."""
    about = [event for event in evidence.events if event["involvedObject"].get("kind") == kind]
    for event in sorted(about, key=lambda event: event_time(event) or evidence.now, reverse=True):
        if name is None or event["involvedObject"].get("name") == name:
            yield event


def is_fresh(evidence: Evidence, event: Object) -> bool:
    """Whether what the event says may still be so."""
    seen = event_time(event)
    return seen is None or (evidence.now - seen).total_seconds() <= FRESH_SECONDS
