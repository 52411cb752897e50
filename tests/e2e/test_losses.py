"""What clusters do to a run: a worker is killed, the head is lost, somebody suspends it. The run goes on from a checkpoint."""

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from api_server import ApiServer, wait_for
from objects import finetune
from raysmith.api import layout
from slow_runs import SLOW, lose, pods, status, wait_for_checkpoint
from tenants import Tenant, forget, namespace

pytestmark = [pytest.mark.cluster, pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(1200)]


class Ended(NamedTuple):
    """How a run ended: its status, its record in storage, and the steps that it has logged, in their order."""

    status: dict[str, Any]
    record: dict[str, Any]
    steps: list[int]


def ended(api: Tenant) -> Ended:
    wait_for(lambda: api.condition("LLMFineTune", "run", "Finished").get("status") == "True", "the end of the run", 900)
    assert status(api)["phase"] == "Succeeded", status(api)
    (folder,) = api.store.glob(f"models/{api.namespace}/run-*")
    lines = (folder / layout.attempt_folder(1) / layout.METRICS).read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines if line.endswith("}")]  # a kill may leave half a line
    return Ended(status(api), json.loads((folder / "run.json").read_text()), steps)


def loses_a_worker(api: Tenant) -> Ended:
    api.create(finetune(**SLOW, workers={"replicas": 2}))
    wait_for_checkpoint(api)
    lose(api, pods(api, "worker")[1])
    return ended(api)


def loses_its_head(api: Tenant) -> Ended:
    api.create(finetune(**SLOW, faultTolerance={"attempts": 1}))
    wait_for_checkpoint(api)
    lose(api, *pods(api, "head"))
    wait_for_checkpoint(api, attempt=2)
    return ended(api)


def is_suspended(api: Tenant) -> Ended:
    slower = {"training": SLOW["training"] | {"steps": 300}, "checkpoints": {"intervalSteps": 100000}}
    api.create(finetune(**SLOW | slower))
    wait_for(lambda: (status(api).get("progress") or {}).get("step", 0) > 0, "the first step", 300)
    api.patch("LLMFineTune", "run", {"spec": {"suspend": True}})
    wait_for(lambda: status(api)["phase"] == "Suspended", "it to be suspended", 180)
    wait_for(lambda: not api.list("Pod", "ray.io/is-ray-node=yes"), "the pods to go", 180)
    api.patch("LLMFineTune", "run", {"spec": {"suspend": False}})
    return ended(api)


STORIES = (loses_a_worker, loses_its_head, is_suspended)


@pytest.fixture(scope="module")
def tenants(operator: ApiServer) -> Iterator[list[Tenant]]:
    made = [namespace(operator, f"e2e-{uuid.uuid4().hex[:8]}") for _ in STORIES]
    yield made
    for tenant in made:
        forget(operator, tenant)


@pytest.fixture(scope="module")
def stories(tenants: list[Tenant]) -> Iterator[dict[Any, Future[Ended]]]:
    """All at once, because each waits most of the time, in namespaces of their own."""
    with ThreadPoolExecutor() as pool:
        yield {story: pool.submit(story, tenant) for story, tenant in zip(STORIES, tenants, strict=True)}


def test_of_two_workers_one_that_is_killed_costs_no_attempt(stories: dict[Any, Future[Ended]]) -> None:
    _, record, steps = stories[loses_a_worker].result()
    assert [attempt["number"] for attempt in record["attempts"]] == [1]
    assert record["training"]["steps"] == SLOW["training"]["steps"]
    assert record["training"]["workers"] == 2
    assert steps.count(min(steps)) == 1, "it went on from its checkpoint, not from the start"


def test_an_artefact_stays_when_its_object_is_deleted(stories: dict[Any, Future[Ended]], tenants: list[Tenant]) -> None:
    (artifact,) = [stories[loses_a_worker].result().record["artifact"]]
    tenant = tenants[STORIES.index(loses_a_worker)]
    tenant.kubectl("delete", "llmfinetune", "run", "--wait=true", "--timeout=60s")
    wait_for(lambda: not tenant.list("Job"), "what it owned to go", 60)
    assert (tenant.store / artifact["uri"].removeprefix("pvc://raysmith-store/")).is_dir()


def test_a_head_that_is_lost_costs_an_attempt_that_does_not_count(stories: dict[Any, Future[Ended]]) -> None:
    done = stories[loses_its_head].result()
    assert done.record["attempts"][1]["resumedFromStep"] > 0
    first = done.status["attempts"][0]
    assert (first["reason"], first["counted"]) == ("HeadLost", False)


def test_a_suspended_run_makes_a_checkpoint_gives_its_pods_back_and_goes_on_from_there(
    stories: dict[Any, Future[Ended]],
) -> None:
    done = stories[is_suspended].result()
    assert done.record["attempts"][1]["resumedFromStep"] > 0
    assert [attempt["reason"] for attempt in done.status["attempts"]] == ["Suspended", "Succeeded"]
