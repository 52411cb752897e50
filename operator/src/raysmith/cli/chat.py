"""`raysmith chat`: talk to a service, with the `openai` client."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from raysmith.cli.data_dir import DataDir
from raysmith.cli.openai_client import client, explained
from raysmith.cli.records import read_json
from raysmith.cli.side_by_side import Endpoint
from raysmith.errors import RaysmithError

Say = Callable[[str], None]
"""Prints a piece of text as it is, without a line break."""


def endpoint(data: DataDir, url: str | None, model: str | None) -> Endpoint:
    """Where to ask: at `url`, else at the service of the last local run that serves `model`, else at its last service.

    Raises RaysmithError if there was no such service, RunFailed if nothing answers.
    """
    if url is None:
        return _last_service(data, model)
    _check_address(url)
    return Endpoint(url, model or _first_model(url))


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and " " not in url
    except ValueError:  # a port or an IPv6 address that is none
        whole = False
    if not whole:
        raise RaysmithError(f"--url must be an address such as http://127.0.0.1:8000/v1, not '{url}'.")


def chat_once(at: Endpoint, message: str, say: Say) -> None:
    """Ask one question, print the answer as it comes. Raises RunFailed if there is none."""
    _answer(at, [{"role": "user", "content": message}], say)


def chat(at: Endpoint, questions: Iterable[str], say: Say) -> None:
    """A conversation: every answer sees what was said before. Raises RunFailed if an answer does not come."""
    messages: list[dict[str, str]] = []
    for question in questions:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": _answer(at, messages, say)})


def _answer(at: Endpoint, messages: list[dict[str, str]], say: Say) -> str:
    pieces = []
    with client(at.url) as openai, explained(at.url):
        stream = openai.chat.completions.create(model=at.model, messages=cast("Any", messages), stream=True)
        for chunk in stream:
            if chunk.choices and (piece := chunk.choices[0].delta.content):
                pieces.append(piece)
                say(piece)
    say("\n")
    return "".join(pieces)


def _first_model(url: str) -> str:
    with client(url) as openai, explained(url):
        models = [model.id for model in openai.models.list()]
    if not models:
        raise RaysmithError(f"{url} serves no model; name another address with --url.")
    return models[0]


def _last_service(data: DataDir, model: str | None) -> Endpoint:
    services = _services(data.last_run) if data.last_run.exists() else []
    if not services:
        raise RaysmithError(f"no service was started from {data.root} yet; start one with `raysmith run`, or give its --url.")
    if model is None:
        return services[-1]
    for service in services:
        if service.model in (model, model.partition(":")[0]):
            return Endpoint(service.url, model)
    known = ", ".join(service.model for service in services)
    raise RaysmithError(f"the last run served {known}, and not {model}; correct --model, or give the --url that serves it.")


def _services(last_run: Path) -> list[Endpoint]:
    summary = read_json(last_run)
    services = summary.get("services") if isinstance(summary, dict) else None
    return [Endpoint(str(service["url"]), str(service["model"])) for service in services or []]
