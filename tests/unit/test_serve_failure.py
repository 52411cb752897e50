"""One line out of a long output: why an engine did not start."""

import pytest

from raysmith_workloads.serve.failure import EngineFailed, cause, last_error, sentence

CORE = """
(EngineCore pid=25264) ERROR 11-23 02:21:38 [core.py:1198] EngineCore failed to start.
(EngineCore pid=25264) Process EngineCore:
(EngineCore pid=25264) Traceback (most recent call last):
(EngineCore pid=25264)     raise ValueError(
(EngineCore pid=25264) ValueError: Following weights were not initialized from checkpoint: {'model.norm.weight'}
"""
SYMPTOM = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}\n"


@pytest.mark.parametrize(
    ("output", "error"),
    [
        (CORE, "ValueError: Following weights were not initialized from checkpoint: {'model.norm.weight'}"),
        (CORE + SYMPTOM, "ValueError: Following weights were not initialized from checkpoint: {'model.norm.weight'}"),
        ("(Worker pid=7) ERROR 11-23 02:21:38 [w.py:11] torch.OutOfMemoryError: no room\n", "torch.OutOfMemoryError: no room"),
        (SYMPTOM, None),
        ("all is well\n", None),
    ],
)
def test_the_last_line_that_names_a_cause_is_found(output: str, error: str | None) -> None:
    assert last_error(output) == error


def test_an_error_with_its_own_reason_is_its_own_cause() -> None:
    assert cause(ValueError("no such\n  architecture")) == "ValueError: no such architecture"


def test_the_cause_of_a_failed_engine_process_is_read_from_what_it_wrote(capfd: pytest.CaptureFixture[str]) -> None:
    print(CORE, flush=True)
    assert cause(RuntimeError("Engine core initialization failed. See root cause above.")).startswith("ValueError: Following")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            "Traceback\n  File x\nraysmith_workloads.serve.failure.EngineFailed: The engine did not start.\n",
            "The engine did not start.",
        ),
        ("Traceback\nraysmith_workloads.errors.Refused: The folder is empty.\nmore", "The folder is empty."),
        ("Traceback\n  File x\nKeyError: 'x'\n", "KeyError: 'x'"),
        ("Failed to update the deployments", "Failed to update the deployments"),
        ("", "no reason is known"),
    ],
)
def test_ray_serves_status_is_reduced_to_what_the_replica_said(status: str, said: str) -> None:
    assert sentence(status) == said


def test_an_engine_failure_reads_as_its_message() -> None:
    assert str(EngineFailed("It failed.")) == "It failed."
