"""What keeps an object's children from being made, as its conditions tell it."""

from typing import Final

from raysmith.cluster import KindMissing, NameTaken, Rejected
from raysmith.status.conditions import Finding, kuberay_missing, name_taken, rejected

HINDRANCES: Final = (KindMissing, NameTaken, Rejected)


def finding(why: KindMissing | NameTaken | Rejected, type_: str, what: str) -> Finding:
    """The condition `type_`, which does not hold. `what` is "run" or "service"."""
    match why:
        case KindMissing():
            return kuberay_missing(type_, why.kind, what)
        case NameTaken():
            return name_taken(type_, str(why))
        case Rejected():
            return rejected(type_, f"{why.kind} {why.name}", why.message)
