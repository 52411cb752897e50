"""What an object's references mean now: which LLMFineTunes they name, and where those runs have left their results."""

from typing import NamedTuple

from raysmith.api import LLMFineTune, LLMService
from raysmith.api.common import Artifact
from raysmith.api.service import AdapterStatus
from raysmith.render.addresses import references
from raysmith.status.conditions import find, holds
from raysmith.store import Key, Store


class Resolved(NamedTuple):
    """The references of one object."""

    finetunes: dict[str, LLMFineTune]
    """The LLMFineTunes that are reached, directly or through one another, by name."""
    model: Artifact | None = None
    """What `spec.model.fineTune` leads to."""
    adapters: tuple[AdapterStatus, ...] = ()
    """What `spec.adapters` lead to."""
    waiting_for: str | None = None
    """Why one of them leads nowhere yet, as a sentence."""
    failed: str | None = None
    """Why one of them never will, as a sentence."""


def resolve(obj: LLMFineTune | LLMService, store: Store) -> Resolved:
    """What the references of `obj` lead to. References never leave the namespace."""
    namespace = obj.metadata.namespace
    finetunes = _reached(obj, store)
    waiting, failed = list[str](), list[str]()
    for field, name in references(obj).items():
        problem, final = _problem(field, name, namespace, finetunes.get(name))
        if problem:
            (failed if final else waiting).append(problem)
    model = obj.spec.model.fine_tune
    adapters = obj.spec.adapters if isinstance(obj, LLMService) else []
    return Resolved(
        finetunes,
        _artifact(finetunes.get(model.name)) if model and model.name else None,
        tuple(AdapterStatus(name=a.name, artifact=_artifact(finetunes.get(a.fine_tune.name))) for a in adapters if a.fine_tune),
        " ".join(waiting) or None,
        " ".join(failed) or None,
    )


def _reached(obj: LLMFineTune | LLMService, store: Store) -> dict[str, LLMFineTune]:
    reached: dict[str, LLMFineTune] = {}
    waiting = list(references(obj).values())
    while waiting:
        name = waiting.pop()
        raw = store.get(Key("LLMFineTune", obj.metadata.namespace, name))
        if name not in reached and raw is not None:
            reached[name] = LLMFineTune.model_validate(raw)
            waiting += references(reached[name]).values()
    return reached


def _problem(field: str, name: str, namespace: str, run: LLMFineTune | None) -> tuple[str | None, bool]:
    """Why the reference leads nowhere, and whether that is final."""
    if run is None:
        return (
            f"{field} names LLMFineTune {name}, which is not in namespace {namespace}; create it, or correct the name.",
            False,
        )
    conditions = run.status.conditions if run.status else None
    if _artifact(run) is not None:
        return None, False
    finished = find(conditions, "Finished")
    if finished is None or not holds(conditions, "Finished"):
        return f"{field} is the result of LLMFineTune {name}, which has not finished yet.", False
    message = (
        f"{field} is the result of LLMFineTune {name}, which ended without one that passed its gate ({finished.reason}); "
        "mend that run under another name, and name it here."
    )
    return message, True


def _artifact(run: LLMFineTune | None) -> Artifact | None:
    """The promoted result of the run. What failed its gate is never gone on from, and never served."""
    result = run.status.result if run and run.status else None
    return result.artifact if result and result.promoted and holds(run.status.conditions, "Finished") else None  # type: ignore[union-attr]
