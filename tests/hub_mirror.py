"""A local hub mirror: serves model and data set folders on 127.0.0.1 the way the Hugging Face client asks for them.

    root/models/<owner>/<name>/...      root/datasets/<owner>/<name>/...

Every repository has the revisions `main` and its commit. With a token, requests without it find nothing, as on the hub.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from typing_extensions import override


@contextmanager
def hub_mirror(root: Path, token: str | None = None) -> Iterator[str]:
    """Serve the repositories below `root` until the block ends; the value is the address for HF_ENDPOINT."""

    class Handler(_Handler):
        pass

    Handler.root, Handler.token = root, token
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    root: Path
    token: str | None

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self) -> None:
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        if parts[0] == "api":
            _, kind, owner, name, question, revision = parts[:6]
            rest = ""
        else:
            kind = parts.pop(0) if parts[0] == "datasets" else "models"
            owner, name, question, revision = parts[:4]
            rest = "/".join(parts[4:])
        folder = self.root / kind / owner / name
        if not folder.is_dir() or (self.token and self.headers.get("Authorization") != f"Bearer {self.token}"):
            self._send(401 if self.token else 404, b"", {"X-Error-Code": "RepoNotFound"})
        elif revision not in ("main", _commit(folder)):
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif question == "resolve":
            self._send_file(folder, rest)
        else:
            self._send_json(_tree(folder) if question == "tree" else _info(folder, f"{owner}/{name}"))

    def _send_file(self, folder: Path, name: str) -> None:
        path = folder / name
        if not path.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        content = path.read_bytes()
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        self._send(200, content, {"ETag": etag, "X-Repo-Commit": _commit(folder), "Accept-Ranges": "bytes"})

    def _send_json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def _commit(folder: Path) -> str:
    content = b"".join(str(path.relative_to(folder)).encode() + path.read_bytes() for path in _files(folder))
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def _info(folder: Path, name: str) -> dict[str, object]:
    siblings = [{"rfilename": str(path.relative_to(folder))} for path in _files(folder)]
    return {"id": name, "sha": _commit(folder), "private": False, "siblings": siblings, "tags": [], "downloads": 0, "likes": 0}


def _tree(folder: Path) -> list[dict[str, object]]:
    return [
        {
            "type": "file",
            "path": str(path.relative_to(folder)),
            "size": path.stat().st_size,
            "oid": hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest(),
        }
        for path in _files(folder)
    ]
