"""What workers died of: Ray's own errors, made as Ray makes them, and the sentence that a person reads."""

import pytest
from ray.core.generated.common_pb2 import ActorDiedErrorContext
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayTaskError, WorkerCrashedError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from raysmith_workloads.finetune.faults import workers_failed, workers_not_started

CONNECTION_LOST = (
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker "
    "unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the process was killed "
    "by the OOM killer due to high memory usage, (2) ray stop --force was called, or (3) the worker crashed unexpectedly "
    "due to SIGSEGV or another unexpected error."
)
NODE_LOST = "The actor died because its node has died. Node Id: 4f5a\n\tthe actor's node was terminated unexpectedly"
LOW = "1 worker(s) were killed due to the node running low on memory. Memory on the node was 15.3GB / 16.0GB (0.955)."
CUDA = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB."
PEER = RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.2]:4711")


def died(words: str) -> ActorDiedError:
    return ActorDiedError(ActorDiedErrorContext(error_message=words, actor_id=b"\x01" * 16, class_name="RayTrainWorker"))


def checked(failure: Exception) -> Exception:
    """As Ray Train hands on what it hears when it asks a worker how it is."""
    made: Exception = WorkerHealthCheckFailedError("A worker health check failed.\nWorker info: Worker(...)", failure)
    return made


@pytest.mark.parametrize(
    ("failures", "reason", "said"),
    [
        ({0: checked(died(CONNECTION_LOST))}, "OutOfMemory", ("Worker 0 was killed", "spec.workers.resources")),
        ({0: checked(WorkerCrashedError())}, "OutOfMemory", ("Worker 0 was killed", "spec.training.microBatchSize")),
        ({0: checked(OutOfMemoryError(LOW))}, "OutOfMemory", ("Ray stopped worker 0", "spec.workers.resources")),
        ({0: PEER, 1: checked(died(CONNECTION_LOST))}, "OutOfMemory", ("Worker 1 was killed",)),
        ({0: checked(died(CONNECTION_LOST)), 1: checked(died(NODE_LOST))}, "NodeLost", ("machine of worker 1 was lost",)),
        ({0: RuntimeError(CUDA)}, "AcceleratorOutOfMemory", ("Worker 0 ran out", "spec.training.microBatchSize to 1")),
        ({0: ValueError("bad\nand more")}, "TrainingFailed", ("Worker 0 failed once too often: ValueError: bad",)),
        ({0: PEER, 1: ValueError("bad")}, "TrainingFailed", ("Worker 1 failed once too often: ValueError: bad",)),
        ({0: PEER}, "TrainingFailed", ("Connection closed by peer",)),
        (
            {2: RayTaskError("train", "Traceback ...", KeyError("weight"))},
            "TrainingFailed",
            ("Worker 2 failed once too often: KeyError: 'weight'",),
        ),
    ],
)
def test_the_cause_is_named_and_what_to_set(failures: dict[int, Exception], reason: str, said: tuple[str, ...]) -> None:
    failed = workers_failed(failures)
    assert failed.reason == reason
    assert all(words in failed.message for words in said), failed.message
    assert "\n" not in failed.message


def test_workers_that_do_not_start_are_explained_by_the_error_that_began_it_without_colours() -> None:
    told = (
        "Training failed due to controller error:\n\x1b[36mray::RayTrainWorker.init_train_context()\x1b[39m (pid=117)\n"
        "  At least one of the input arguments for this task could not be computed:\n"
        "ray.exceptions.RaySystemError: System error: The value must be OFF, INFO, or DETAIL.\n"
        "traceback: Traceback (most recent call last):\n"
        '  File "functional.py", line 8, in <module>\n'
        "ValueError: The value must be OFF, INFO, or DETAIL.\n"
    )
    failed = workers_not_started(RuntimeError(told))
    assert failed.reason == "TrainingFailed"
    assert str(failed) == "The workers could not be started: ValueError: The value must be OFF, INFO, or DETAIL."


def test_workers_that_do_not_start_without_an_error_are_explained_by_the_first_line() -> None:
    said = str(workers_not_started(RuntimeError("No room for 4 workers.\nMore.")))
    assert said == "The workers could not be started: No room for 4 workers."
