"""How many workers, and which share of the machines each one gets: pure."""

from collections.abc import Mapping
from typing import NamedTuple

from raysmith.api.finetune import Workers
from raysmith.api.quantities import accelerators, amount
from raysmith.api.schema import Model
from raysmith_workloads.errors import Refused


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
    count = int(sum(accelerators(workers.resources).values()))
    if count > 1:
        raise Refused(
            "AcceleratorsInvalid", f"spec.workers.resources.limits has {count} GPUs for a worker; set 1 and more replicas."
        )
    return count


def _amount(workers: Workers, name: str) -> float | None:
    resources = workers.resources
    amounts: dict[str, int | str] = {**(resources.limits or {}), **(resources.requests or {})} if resources else {}
    return float(amount(amounts[name])) if name in amounts else None


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
