"""Why a service does not answer: one state of its RayService per row, and what the user is told about it."""

import pytest

import observed as o
from raysmith.status.diagnose import Cause, Evidence, diagnose

REPLICA = (
    "The deployment failed to start 3 times in a row. This may be due to a problem with its constructor or initial health "
    "check failing. See controller logs for details. Error:\nray::ServeReplica:openai:Server.initialize_and_get_metadata()\n"
    '  File "server.py", line 60, in started\n'
)
ENGINE = (
    f"{REPLICA}raysmith_workloads.serve.failure.EngineFailed: The engine of chat did not start: ValueError: no such model.\n"
)
REFUSED = f"{REPLICA}raysmith_workloads.errors.Refused: /m holds no tokenizer; save it there.\n"
GAVE_UP = "Failed to update the deployments ['Server']."
RETRYING = "A replica failed to start with exception. Retrying 2 more time(s). Error:\n"

STATES: dict[str, tuple[Evidence, str, Cause, bool, str]] = {
    "an engine that does not start": (
        Evidence(now=o.NOW, ray_service=o.serving("DEPLOY_FAILED", GAVE_UP, deployment=("DEPLOY_FAILED", ENGINE))),
        "EngineFailed",
        Cause.RUN,
        True,
        "The engine of chat did not start: ValueError: no such model.",
    ),
    "a folder that the engine refuses": (
        Evidence(now=o.NOW, ray_service=o.serving("DEPLOY_FAILED", GAVE_UP, deployment=("DEPLOY_FAILED", REFUSED))),
        "EngineFailed",
        Cause.USER,
        True,
        "/m holds no tokenizer; save it there.",
    ),
    "an engine that is tried again": (
        Evidence(now=o.NOW, ray_service=o.serving("DEPLOYING", deployment=("UPDATING", f"{RETRYING}{REFUSED}"))),
        "EngineFailed",
        Cause.USER,
        False,
        "/m holds no tokenizer; save it there.",
    ),
    "an application that cannot be built": (
        Evidence(now=o.NOW, ray_service=o.serving("DEPLOY_FAILED", "Traceback\n  File x\nImportError: no module\nbye")),
        "EngineFailed",
        Cause.RUN,
        True,
        "ImportError: no module.",
    ),
    "a replica that died": (
        Evidence(now=o.NOW, ray_service=o.serving("UNHEALTHY", "The deployments ['Server'] are UNHEALTHY.")),
        "EngineFailed",
        Cause.RUN,
        False,
        "The deployments ['Server'] are UNHEALTHY.",
    ),
    "a replica that died of too little memory": (
        Evidence(
            now=o.NOW,
            ray_service=o.serving("UNHEALTHY", deployment=("UNHEALTHY", "")),
            pods=[o.worker(o.runs(o.ago(minutes=1), lastState=o.before(137, "OOMKilled")))],
        ),
        "OutOfMemory",
        Cause.RUN,
        False,
        (
            "Container ray of worker pod w used more memory than its limit and was killed. "
            "Raise the memory in spec.resources, or lower spec.engine.maxModelLength."
        ),
    ),
    "a failure without a word": (
        Evidence(now=o.NOW, ray_service=o.serving("DEPLOY_FAILED")),
        "EngineFailed",
        Cause.RUN,
        True,
        "The engine does not run, and Ray Serve does not say why. See the worker pods' logs.",
    ),
    "a RayService that KubeRay refuses": (
        Evidence(
            now=o.NOW, ray_service=o.ray_service({**o.condition("Ready", "ValidationFailed", "bad name"), "status": "False"})
        ),
        "SpecRefused",
        Cause.USER,
        True,
        (
            "KubeRay refuses the RayService that was made for this object: bad name. "
            "Change spec.podTemplate if that is the cause; otherwise ask whoever runs Raysmith."
        ),
    ),
    "a RayService that KubeRay gave up": (
        Evidence(now=o.NOW, ray_service=o.ray_service({**o.condition("Ready", "InitializingTimeout"), "status": "False"})),
        "StartTimeout",
        Cause.RUN,
        True,
        "The pods of the service were not ready in time, and KubeRay gave them up. Change the object to try again.",
    ),
    "a replica that has no node yet": (
        Evidence(
            now=o.NOW,
            ray_service=o.serving("DEPLOYING", deployment=("UPDATING", "")),
            pods=[o.worker(conditions=o.unscheduled("0/1 nodes are available: 1 Insufficient memory."))],
        ),
        "Unschedulable",
        Cause.WAITING,
        False,
        (
            "No node takes worker pod w: of 1 node, 1 has too little memory. "
            "Ask for less in spec.resources, make room, or add nodes."
        ),
    ),
}


@pytest.mark.parametrize(("evidence", "reason", "cause", "is_final", "message"), STATES.values(), ids=STATES)
def test_a_service_that_does_not_answer_says_why(
    evidence: Evidence, reason: str, cause: Cause, is_final: bool, message: str
) -> None:
    found = diagnose(evidence)
    assert found is not None
    assert (found.reason, found.message) == (reason, message)
    assert (found.cause, found.terminal) == (cause, is_final)


@pytest.mark.parametrize(
    "service",
    [o.ray_service(), o.serving("DEPLOYING"), o.serving("RUNNING", deployment=("HEALTHY", ""))],
    ids=["no application yet", "starting", "running"],
)
def test_a_service_that_starts_or_runs_has_nothing_wrong(service: o.Object) -> None:
    assert diagnose(Evidence(now=o.NOW, ray_service=service)) is None
