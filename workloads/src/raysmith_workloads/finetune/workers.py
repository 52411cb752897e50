"""How many workers, and which share of the machines each one gets: pure."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from raysmith.api.finetune import Workers
from raysmith.api.schema import Model
from raysmith_workloads.errors import Refused

_SUFFIXES: Final = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal(1000)}


class Allotment(NamedTuple):
    """What Ray Train is asked for."""

    replicas: int
    """Workers."""
    cpus: float
    """CPUs that Ray sets aside for each worker."""
    gpu: bool
    """Whether each worker gets a GPU."""
    accelerator: str | None
    """Type of accelerator, as Ray names it."""
    note: str | None
    """A sentence about what could not be given as asked."""


def allot(workers: Workers, cluster: Mapping[str, float]) -> Allotment:
    """Share out `cluster`, Ray's total resources.

    More CPUs than there are is no obstacle: workers then share what there is. Raises Refused if accelerators are missing,
    because a worker would wait for them for ever.
    """
    replicas = workers.replicas or 1
    gpus = _gpus(workers)
    if gpus * replicas > cluster.get("GPU", 0):
        raise Refused(
            "AcceleratorNotFound",
            f"spec.workers asks for {gpus * replicas} GPUs, but Ray has {cluster.get('GPU', 0):g}; "
            "lower replicas, or leave the GPU out of resources.limits to train on CPUs.",
        )
    if workers.accelerator and gpus and f"accelerator_type:{workers.accelerator}" not in cluster:
        raise Refused(
            "AcceleratorNotFound",
            f"spec.workers.accelerator is {workers.accelerator}, but Ray has no machine with it; leave it out or correct it.",
        )
    cpus, note = _cpus(workers, replicas, cluster.get("CPU", 0))
    return Allotment(replicas, cpus, bool(gpus), workers.accelerator if gpus else None, note)


def _cpus(workers: Workers, replicas: int, total: float) -> tuple[float, str | None]:
    if total <= 0:
        raise Refused(
            "NoCPUs", "Ray has no CPUs to train on; start it with num-cpus of at least 1 on a worker.", retryable=True
        )
    share = max(int(100 * total / replicas) / 100, 0.01)
    asked = _amount(workers, "cpu")
    if asked is None or asked <= 0:
        return share, None
    if asked * replicas <= total:
        return asked, None
    each = "The worker asks" if replicas == 1 else f"Each of the {replicas} workers asks"
    return share, f"{each} for {asked:g} CPUs, but Ray has {total:g} in all; they share these and the run takes longer."


def _gpus(workers: Workers) -> int:
    limits = (workers.resources.limits if workers.resources else None) or {}
    count = sum(int(parse_quantity(amount)) for name, amount in limits.items() if name.endswith("gpu"))
    if count > 1:
        raise Refused(
            "AcceleratorsInvalid", f"spec.workers.resources.limits has {count} GPUs for a worker; set 1 and more replicas."
        )
    return count


def _amount(workers: Workers, name: str) -> float | None:
    resources = workers.resources
    amounts: dict[str, int | str] = {**(resources.limits or {}), **(resources.requests or {})} if resources else {}
    return parse_quantity(amounts[name]) if name in amounts else None


def parse_quantity(amount: int | str) -> float:
    """An amount of CPUs or devices as core/v1 writes it: 2, "500m", "1e1". Raises Refused for other units."""
    match = re.fullmatch(r"\+?([0-9.]+(?:[eE][+-]?[0-9]+)?)([numk]?)", str(amount))
    if match is None:
        raise Refused("ObjectInvalid", f"{amount} is not a number of CPUs or devices; write for example 2 or 500m.")
    return float(Decimal(match[1]) * _SUFFIXES[match[2]])


def threads(cpus: float, cores: int, workers_here: int) -> int:
    """Threads for a worker that has `cpus` set aside, on a machine with `cores` that it shares with `workers_here` workers."""
    return max(1, min(int(cpus), cores // max(workers_here, 1)))


class WorkerSettings(Model):
    """What the driver hands to every worker."""

    object: str
    """The object, as JSON."""
    run: str
    """Folder of the run."""
    prepared: str
    """Folder of the prepared data."""
    attempt: int
    """Number of the attempt."""
    cpus: float
    """CPUs set aside for the worker."""
    model: str | None = None
    """Folder of the model to start from; None for new weights."""
    adapter: str | None = None
    """Folder of the adapter to go on from."""
    message: str | None = None
    """What is worth saying from the start."""
