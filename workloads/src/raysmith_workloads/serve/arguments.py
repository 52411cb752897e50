"""`spec.engine.args`, read by the program that they are for."""

import argparse
from collections.abc import Mapping
from typing import Any, NoReturn

from raysmith_workloads.errors import Refused


def engine_arguments(arguments: Mapping[str, str]) -> dict[str, Any]:
    """`spec.engine.args` as vLLM's own command-line parser reads it. Raises Refused (`EngineArgumentRefused`)."""
    if not arguments:
        return {}
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    class Parser(FlexibleArgumentParser):  # type: ignore[misc]  # vLLM has no types
        def error(self, message: str) -> NoReturn:
            raise Refused("EngineArgumentRefused", f"spec.engine.args: {message}; see vLLM's settings for what is possible.")

    parser = AsyncEngineArgs.add_cli_args(Parser(allow_abbrev=False))
    switches = {
        option
        for action in parser._actions
        if isinstance(action, argparse.BooleanOptionalAction)
        for option in action.option_strings
    }
    words: list[str] = []
    for name, value in arguments.items():
        words += _switch(name, value) if f"--{name}" in switches else [f"--{name}={value}"]
    parsed = vars(parser.parse_args(words))
    return {key: parsed[key] for key in (name.replace("-", "_") for name in arguments)}


def _switch(name: str, value: str) -> list[str]:
    if value.lower() not in ("true", "false"):
        raise Refused("EngineArgumentRefused", f'spec.engine.args: {name} is a switch; write "true" or "false", not "{value}".')
    return [f"--{name}" if value.lower() == "true" else f"--no-{name}"]
