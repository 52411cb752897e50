"""The engine arguments that may be set are arguments of the engine that is installed."""

import dataclasses

import pytest

from raysmith.api.engine import ALLOWED_ARGUMENTS

pytestmark = pytest.mark.real


def test_vllm_knows_every_argument_that_is_allowed() -> None:
    from vllm.engine.arg_utils import AsyncEngineArgs

    known = {field.name.replace("_", "-") for field in dataclasses.fields(AsyncEngineArgs)}
    assert ALLOWED_ARGUMENTS.keys() <= known
