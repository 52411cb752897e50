"""The `openai` client as the commands use it: patient with a slow CPU, blind to proxies on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from raysmith.cli.errors import RunFailed
from raysmith.cli.side_by_side import Endpoint

if TYPE_CHECKING:
    from openai import OpenAI

TIMEOUT_SECONDS = 300


def client(url: str) -> OpenAI:
    """A client for the OpenAI-compatible address `url`, which ends in `/v1`."""
    from openai import DefaultHttpxClient, OpenAI

    here = urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    http = DefaultHttpxClient(trust_env=not here)
    key = "none" if here else os.environ.get("OPENAI_API_KEY", "none")  # what is on this machine asks for no key
    return OpenAI(base_url=url, api_key=key, http_client=http, timeout=TIMEOUT_SECONDS, max_retries=0)


def ask(endpoint: Endpoint, question: str, max_tokens: int) -> str:
    """The answer to one question, the most likely one. Raises RunFailed if there is none."""
    with client(endpoint.url) as openai, explained(endpoint.url):
        answer = openai.chat.completions.create(
            model=endpoint.model,
            messages=[{"role": "user", "content": question}],
            temperature=0,
            max_tokens=max_tokens,
        )
    return answer.choices[0].message.content or ""


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn the client's errors into sentences. Raises RunFailed."""
    from openai import APIConnectionError, APIStatusError

    try:
        yield
    except APIConnectionError as error:
        raise RunFailed(
            f"nothing answers at {url}; start a service with `raysmith run`, or name its address with --url."
        ) from error
    except APIStatusError as error:
        raise RunFailed(f"{url} answered {error.status_code}: {error.message}") from error
