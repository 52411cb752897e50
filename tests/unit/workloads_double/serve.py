"""An OpenAI endpoint that answers every question of a service with what it was told to say."""

import argparse
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from raysmith.api import LLMService

from .script import order

parser = argparse.ArgumentParser()
parser.add_argument("--object", type=Path, action="append", required=True)
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--ready-file", type=Path, required=True)
arguments = parser.parse_args()
services = [LLMService.model_validate_json(file.read_text()) for file in arguments.object]
word = order("serve")
if word in ("fail", "refuse"):
    print("error: the model folder has no weights; put a *.safetensors file there.", file=sys.stderr)
    sys.exit(2 if word == "refuse" else 1)
served = json.loads(Path(os.environ["RAYSMITH_DOUBLE"]).read_text())["served"]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = served[asked["model"]]
        if asked.get("stream"):
            pieces = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in text.split(" ")]
            body = "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces) + "data: [DONE]\n\n"
            self.answer(body, "text/event-stream")
        else:
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            self.answer(json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}))

    def do_GET(self) -> None:
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "raysmith"} for name in served]
        self.answer(json.dumps({"object": "list", "data": models}))

    def answer(self, body: str, kind: str = "application/json") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body.encode())


server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler)
several = len(services) > 1
entries = [
    {
        "name": service.metadata.name,
        "url": f"http://127.0.0.1:{arguments.port}{'/' + service.metadata.name if several else ''}/v1",
        "model": service.metadata.name,
    }
    for service in services
]
arguments.ready_file.write_text(json.dumps(entries))
server.serve_forever()
