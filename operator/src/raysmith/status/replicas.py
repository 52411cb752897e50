"""Why a revision of a service does not answer: what Ray Serve says about its applications, through KubeRay."""

from collections.abc import Iterator

from raysmith.status.evidence import Cause, Diagnosis, Evidence, Object, condition, status
from raysmith.status.memory import out_of_memory
from raysmith.status.messages import plain, replica_failure, sentence
from raysmith.status.reasons import Reason

_FAILED = ("DEPLOY_FAILED", "UNHEALTHY")
_RETRIED = "A replica failed to start with exception"


def start_given_up(evidence: Evidence) -> Diagnosis | None:
    """KubeRay deleted the cluster, because it was told to wait no longer."""
    if condition(evidence.ray_service, "Ready").get("reason") != "InitializingTimeout":
        return None
    message = "The pods of the service were not ready in time, and KubeRay gave them up. Change the object to try again."
    return Diagnosis(Reason.START_TIMEOUT, message, None, Cause.RUN)


def engine_failed(evidence: Evidence) -> Diagnosis | None:
    """A replica does not start, or does not answer any more."""
    for application in _applications(evidence):
        deployments = (application.get("serveDeploymentStatuses") or {}).values()
        texts = [
            text for part in (*deployments, application) if _is_failing(part) and (text := (part.get("message") or "").strip())
        ]
        if not texts and not _is_failing(application):
            continue
        killed = out_of_memory(evidence)
        if killed:
            return Diagnosis(killed.reason, killed.message, killed.pod, killed.cause, terminal=False)
        said, is_refused = replica_failure(plain("\n".join(reversed(texts))))
        told = sentence(said) if said else "The engine does not run, and Ray Serve does not say why. See the worker pods' logs."
        # Ray Serve has given up after several trials; until then it tries again by itself.
        is_final = application.get("status") == "DEPLOY_FAILED"
        return Diagnosis(Reason.ENGINE_FAILED, told, None, Cause.USER if is_refused else Cause.RUN, terminal=is_final)
    return None


def _applications(evidence: Evidence) -> Iterator[Object]:
    found = status(evidence.ray_service)
    for cluster in ("pendingServiceStatus", "activeServiceStatus"):
        yield from ((found.get(cluster) or {}).get("applicationStatuses") or {}).values()


def _is_failing(part: Object) -> bool:
    return part.get("status") in _FAILED or _RETRIED in (part.get("message") or "")
