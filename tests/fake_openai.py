"""A fake of an OpenAI endpoint: it knows no model, keeps what it was asked, and answers what it was told to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import override


class FakeOpenAI:
    """What is served, what was asked, and what will be answered, turn by turn."""

    def __init__(self, models: list[str], answers: list[str]) -> None:
        self.models = models
        self.answers = answers
        self.asked: list[dict[str, Any]] = []
        self.url = ""


@contextmanager
def fake_openai(*models: str, answers: list[str] | None = None) -> Iterator[FakeOpenAI]:
    """Serves these `models` at `url`, which ends in `/v1`. Answers come in pieces of a word each; without one left it fails."""
    fake = FakeOpenAI(list(models), list(answers or []))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            models = [{"id": name, "object": "model", "created": 0, "owned_by": "nobody"} for name in fake.models]
            self.answer(200, json.dumps({"object": "list", "data": models}))

        def do_POST(self) -> None:
            fake.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if not fake.answers:
                self.answer(500, json.dumps({"error": {"message": "The engine is gone."}}))
                return
            words = fake.answers.pop(0).split(" ")
            pieces = [word if place == 0 else f" {word}" for place, word in enumerate(words)]
            chunks = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
            self.answer(200, "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n")

        def answer(self, code: int, body: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", "text/event-stream" if body.startswith("data:") else "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

        @override
        def log_message(self, *_: object) -> None:
            """Tests look at `asked`."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        fake.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
