"""What `helm test` runs, against a double of the operator and the API server: both are elsewhere, and it only asks them."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from charts import CHART

KINDS = ("llmfinetunes", "llmservices")


class Double:
    """Answers what stands in `answers`, 404 otherwise, and 401 to whoever asks the API without the token."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {"/healthz": "working\n"}
        for kind in KINDS:
            self.answers[f"/apis/raysmith.io/v1alpha1/{kind}?limit=1"] = {"items": []}
        self.asked: list[str] = []

    def answer(self, path: str, token: str | None) -> tuple[int, bytes]:
        self.asked.append(path)
        if path.startswith("/apis/") and token != "Bearer secret":
            return 401, b""
        found = self.answers.get(path)
        return (404, b"") if found is None else (200, (found if isinstance(found, str) else json.dumps(found)).encode())


@pytest.fixture
def double() -> Double:
    return Double()


@pytest.fixture
def address(double: Double) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = double.answer(self.path, self.headers["Authorization"])
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def check(address: str, folder: Path, *namespaces: str) -> subprocess.CompletedProcess[str]:
    (folder / "token").write_text("secret\n")
    command = [sys.executable, str(CHART / "files" / "check.py"), f"{address}/healthz", address, str(folder), *namespaces]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_all_is_well(address: str, tmp_path: Path) -> None:
    done = check(address, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "The operator answers: working." in done.stdout
    assert "may list them in all namespaces" in done.stdout


def test_an_operator_that_does_not_answer_fails(double: Double, address: str, tmp_path: Path) -> None:
    del double.answers["/healthz"]
    done = check(address, tmp_path)
    assert done.returncode == 1
    assert f"{address}/healthz does not answer as it should" in done.stderr


def test_a_kind_that_is_not_there_fails(double: Double, address: str, tmp_path: Path) -> None:
    del double.answers["/apis/raysmith.io/v1alpha1/llmservices?limit=1"]
    done = check(address, tmp_path)
    assert done.returncode == 1
    assert "llmservices?limit=1 does not answer as it should: HTTP Error 404" in done.stderr


def test_named_namespaces_are_asked_one_by_one(double: Double, address: str, tmp_path: Path) -> None:
    assert check(address, tmp_path, "research").returncode == 1
    for kind in KINDS:
        double.answers[f"/apis/raysmith.io/v1alpha1/namespaces/research/{kind}?limit=1"] = {"items": []}
    assert check(address, tmp_path, "research").returncode == 0
    assert not any(path.startswith("/apis/raysmith.io/v1alpha1/llm") for path in double.asked)
