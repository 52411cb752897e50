"""Starts Ray, also on a machine that is so busy that Ray gives itself up."""

import logging
from typing import Any, Final

from raysmith_workloads.errors import Failed

log = logging.getLogger(__name__)

TRIES: Final = 3
TIMED_OUT: Final = "timed out during startup"
"""What Ray 2.60 says if its own processes have not found one another in 30 seconds, which no setting changes."""


def init_ray(**options: Any) -> Any:
    """`ray.init(**options)`, tried again when Ray took too long to start. Raises Failed if it always does."""
    import ray

    for _ in range(TRIES):
        try:
            return ray.init(**options)
        except Exception as error:
            if TIMED_OUT not in str(error):
                raise
        log.warning("Ray did not start in time, because this machine is very busy.")
        ray.shutdown()
    raise Failed(
        "RayNotStarted",
        f"Ray did not start in 30 s, {TRIES} times in a row, because this machine is too busy. Try again when it is less so; "
        "in a cluster, have the pods ask for more CPU (the container ray in spec.podTemplate.head).",
    )
