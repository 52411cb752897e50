"""Amounts of resources as numbers. Pods and workloads must count alike, so they count here."""

import re
from decimal import Decimal
from typing import Final

from raysmith.api.common import Resources
from raysmith.api.schema import Quantity

_SUFFIXES: Final = {
    **{suffix: Decimal(10) ** power for suffix, power in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True)},
    **{f"{prefix}i": Decimal(1024) ** power for power, prefix in enumerate("KMGTPE", start=1)},
    "": Decimal(1),
}
_NUMBER_AND_SUFFIX: Final = re.compile(
    r"(?P<number>[+]?(?:[0-9]+[.]?[0-9]*|[.][0-9]+)(?:[eE][+-]?[0-9]+)?)(?P<suffix>[KMGTPE]i|[numkMGTPE])?"
)

# As KubeRay tells GPUs from other resources, and in addition the slices of NVIDIA's MIG that have media engines.
_ACCELERATOR: Final = re.compile(r".*gpu|nvidia\.com/mig-\d+g\.\d+gb(\.me)?")


def amount(quantity: Quantity) -> Decimal:
    """A core/v1 quantity as a number: cores, bytes, pieces. Raises ValueError for what is none."""
    matched = _NUMBER_AND_SUFFIX.fullmatch(str(quantity))
    if matched is None:
        raise ValueError(f"{quantity} is not an amount such as 2, 500m or 64Gi")
    return Decimal(matched["number"]) * _SUFFIXES[matched["suffix"] or ""]


def cpus(resources: Resources | None) -> int:
    """Whole CPU cores that a pod with `resources` can count on, at least 1: its request, else its limit."""
    asked = (resources and resources.requests) or {}
    limits = (resources and resources.limits) or {}
    return max(1, int(amount(asked.get("cpu", limits.get("cpu", 1)))))


def accelerators(resources: Resources | None) -> dict[str, Decimal]:
    """The accelerators among the limits, by the name of the resource: `{"nvidia.com/gpu": 1}`. Those of amount 0 are none."""
    limits = (resources and resources.limits) or {}
    counts = {name: amount(quantity) for name, quantity in limits.items() if _ACCELERATOR.fullmatch(name)}
    return {name: count for name, count in counts.items() if count}
