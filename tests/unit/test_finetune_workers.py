"""How many workers, and which share of the machines each one gets."""

import pytest

from raysmith.api.common import Resources
from raysmith.api.finetune import Workers
from raysmith_workloads.errors import Refused
from raysmith_workloads.finetune.workers import allot, threads


def workers(replicas: int | None = None, cpu: str | int | None = None, gpu: int | None = None, **more: str) -> Workers:
    requests = None if cpu is None else {"cpu": cpu}
    limits = None if gpu is None else {"nvidia.com/gpu": gpu}
    return Workers(replicas=replicas, resources=Resources(requests=requests, limits=limits), **more)


@pytest.mark.parametrize(
    ("asked", "cluster", "replicas", "cpus"),
    [
        pytest.param(workers(), {"CPU": 2.0}, 1, 2.0, id="one worker takes all"),
        pytest.param(workers(4), {"CPU": 2.0}, 4, 0.5, id="four workers share two CPUs"),
        pytest.param(workers(2, "8"), {"CPU": 64.0}, 2, 8.0, id="what is asked for is given"),
        pytest.param(workers(2, "500m"), {"CPU": 2.0}, 2, 0.5, id="thousandths"),
        pytest.param(workers(4, 8), {"CPU": 2.0}, 4, 0.5, id="never more than there is"),
        pytest.param(workers(3), {"CPU": 1.0}, 3, 0.33, id="shares are rounded down"),
        pytest.param(workers(4, 8, 1), {"CPU": 32.0, "GPU": 4.0}, 4, 8.0, id="a GPU each"),
    ],
)
def test_workers_get_their_share(asked: Workers, cluster: dict[str, float], replicas: int, cpus: float) -> None:
    allotment = allot(asked, cluster)
    assert (allotment.replicas, allotment.cpus) == (replicas, cpus)
    assert allotment.gpu is ("GPU" in cluster)


def test_less_than_asked_for_is_noted() -> None:
    assert allot(workers(4, "8"), {"CPU": 2.0}).note == (
        "Each of the 4 workers asks for 8 CPUs, but Ray has 2 in all; they share these and the run takes longer."
    )
    assert allot(workers(1, "2"), {"CPU": 2.0}).note is None


def test_an_accelerator_goes_with_the_gpus() -> None:
    cluster = {"CPU": 8.0, "GPU": 1.0, "accelerator_type:H100": 1.0}
    assert allot(workers(1, 8, 1, accelerator="H100"), cluster).accelerator == "H100"


@pytest.mark.parametrize(
    ("asked", "cluster", "message"),
    [
        (workers(2, 1, 1), {"CPU": 8.0, "GPU": 1.0}, "asks for 2 GPUs, but Ray has 1; lower replicas"),
        (workers(1, 1, 1), {"CPU": 8.0}, "leave the GPU out of resources.limits to train on CPUs"),
        (workers(1, 1, 2), {"CPU": 8.0, "GPU": 2.0}, "has 2 GPUs for a worker; set 1 and more replicas"),
        (workers(1, 1, 1, accelerator="L4"), {"CPU": 8.0, "GPU": 1.0}, "accelerator is L4, but Ray has no machine with it"),
        (workers(), {}, "Ray has no CPUs to train on"),
    ],
)
def test_what_would_wait_for_ever_is_refused(asked: Workers, cluster: dict[str, float], message: str) -> None:
    with pytest.raises(Refused, match=message):
        allot(asked, cluster)


@pytest.mark.parametrize(
    ("cpus", "cores", "here", "expected"),
    [(2.0, 2, 1, 2), (8.0, 2, 1, 2), (0.5, 2, 4, 1), (8.0, 64, 2, 8), (3.9, 64, 1, 3), (6.0, 2, 2, 1)],
)
def test_a_worker_has_as_many_threads_as_its_share_of_the_cores(cpus: float, cores: int, here: int, expected: int) -> None:
    assert threads(cpus, cores, here) == expected
