"""Serving for real: one process with two services, one plain and one with two adapters, asked as any client would."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from typer.testing import CliRunner

from objects import service
from raysmith.cli.main import app
from tiny_models import make_adapter, make_llama

pytestmark = [
    pytest.mark.real,
    # peft asks transformers for a property by its old name.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

READY_SECONDS = 300
QUESTION: Any = [{"role": "user", "content": "What does the del statement do?"}]
TOKENS = 12


@dataclass(frozen=True)
class Folders:
    base: Path
    a: Path
    b: Path


@dataclass(frozen=True)
class Serving:
    """Addresses of two services in one process."""

    plain: str
    skills: str
    process: subprocess.Popen[str]
    ready_file: Path
    files: list[Path]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    root = tmp_path_factory.mktemp("models")
    base = make_llama(root / "base")
    return Folders(base, make_adapter(root / "a", base, seed=1), make_adapter(root / "b", base, seed=2))


@pytest.fixture(scope="module")
def serving(folders: Folders, ray_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Both services, ready; they end with a SIGTERM, cleanly."""
    root = tmp_path_factory.mktemp("services")
    adapters = [{"name": "a", "source": f"file://{folders.a}"}, {"name": "b", "source": f"file://{folders.b}"}]
    files = [
        write(root, service(name="plain", model={"source": f"file://{folders.base}"})),
        write(root, service(name="skills", model={"source": f"file://{folders.base}"}, adapters=adapters)),
    ]
    ready_file = root / "ready.json"
    with subprocess.Popen(
        command(files, free_port(), ready_file), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            deadline = time.monotonic() + READY_SECONDS
            while not ready_file.exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.2)
            assert ready_file.exists(), (
                f"not ready: {process.communicate(timeout=5) if process.poll() is not None else 'too slow'}"
            )
            entries = {entry["name"]: entry for entry in json.loads(ready_file.read_text())}
            assert {name: entry["model"] for name, entry in entries.items()} == {"plain": "plain", "skills": "skills"}
            yield Serving(entries["plain"]["url"], entries["skills"]["url"], process, ready_file, files)
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=60)
            assert process.returncode == 0, output
            assert output.splitlines() == [
                "starting plain and skills",
                "loading the models",
                f"ready: plain at {entries['plain']['url']}",
                f"ready: skills at {entries['skills']['url']}",
                "stopping",
            ]
            assert not ready_file.exists()
        finally:
            process.kill()


@pytest.fixture
def plain(serving: Serving) -> Iterator[openai.OpenAI]:
    with client(serving.plain) as asked:
        yield asked


@pytest.fixture
def skills(serving: Serving) -> Iterator[openai.OpenAI]:
    with client(serving.skills) as asked:
        yield asked


def write(folder: Path, document: dict[str, Any]) -> Path:
    file = folder / f"{document['metadata']['name']}.json"
    file.write_text(json.dumps(document))
    return file


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def command(files: list[Path], port: int, ready_file: Path) -> list[str]:
    objects = [word for file in files for word in ("--object", str(file))]
    return [sys.executable, "-m", "raysmith_workloads.serve", *objects, "--port", str(port), "--ready-file", str(ready_file)]


def run(files: list[Path], port: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """To the end, with a Ray of its own: the session's serves already."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_A")}
    words = command(files, port, folder / "ready")
    return subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=environment)


def client(url: str) -> openai.OpenAI:
    own = openai.DefaultHttpxClient(trust_env=False)  # no proxy between this machine and itself
    return openai.OpenAI(base_url=url, api_key="none is asked for", max_retries=0, http_client=own)


def chat(asked: openai.OpenAI, model: str) -> str:
    answer = asked.chat.completions.create(model=model, messages=QUESTION, max_tokens=TOKENS, temperature=0)
    return answer.choices[0].message.content or ""


def greedy(base: Path, adapter: Path | None = None) -> str:
    """The same answer by transformers and peft."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
    tokens = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        answer = model.generate(**tokens, max_new_tokens=TOKENS, do_sample=False)
    text: str = tokenizer.decode(answer[0, tokens["input_ids"].shape[1] :], skip_special_tokens=True)
    return text


def test_the_models_are_those_of_the_service(plain: openai.OpenAI, skills: openai.OpenAI) -> None:
    assert [model.id for model in plain.models.list()] == ["plain"]
    assert [model.id for model in skills.models.list()] == ["skills", "skills:a", "skills:b"]
    assert skills.models.retrieve("skills:a").id == "skills:a"


def test_base_and_adapters_answer_as_transformers_and_peft_do(skills: openai.OpenAI, folders: Folders) -> None:
    answers = {model: chat(skills, model) for model in ("skills", "skills:a", "skills:b")}
    assert answers == {
        "skills": greedy(folders.base),
        "skills:a": greedy(folders.base, folders.a),
        "skills:b": greedy(folders.base, folders.b),
    }
    assert len(set(answers.values())) == 3


def test_the_command_line_talks_with_an_adapter(serving: Serving) -> None:
    """One turn: a model that has learned nothing never stops by itself, and its first answer fills the context."""
    words = ["chat", "--url", serving.skills, "--model", "skills:b"]
    done = CliRunner().invoke(app, words, input="Hello.\n", catch_exceptions=False)
    assert (done.exit_code, done.stderr) == (0, f"skills:b at {serving.skills}. Ctrl-D ends the conversation.\n")
    assert len(done.stdout.strip()) > 1


def test_a_streamed_answer_is_the_same_text_and_ends_with_its_usage(plain: openai.OpenAI) -> None:
    chunks = list(
        plain.chat.completions.create(
            model="plain",
            messages=QUESTION,
            max_tokens=TOKENS,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == chat(plain, "plain")
    assert len([chunk for chunk in chunks if chunk.choices]) > 2
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens <= TOKENS


def test_completions_count_their_tokens(plain: openai.OpenAI) -> None:
    answer = plain.completions.create(
        model="plain", prompt="The del statement", max_tokens=5, temperature=0, extra_body={"ignore_eos": True}
    )
    assert answer.model == "plain"
    assert answer.usage is not None
    assert (answer.usage.completion_tokens, answer.choices[0].finish_reason) == (5, "length")


@pytest.mark.parametrize(
    "ask",
    [
        lambda asked: chat(asked, "nobody"),
        lambda asked: chat(asked, "skills:nobody"),
        lambda asked: asked.completions.create(model="nobody", prompt="x"),
        lambda asked: asked.models.retrieve("nobody"),
    ],
)
def test_an_unknown_model_is_not_found_in_openais_form(skills: openai.OpenAI, ask: Callable[[openai.OpenAI], object]) -> None:
    with pytest.raises(openai.NotFoundError, match=r"The model `.*nobody` does not exist") as error:
        ask(skills)
    assert isinstance(error.value.body, dict)
    assert {"message", "type", "code"} <= error.value.body.keys()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"max_tokens": -1}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"messages": "hello"}, "list"),
        ({"messages": [{"role": "user", "content": "word " * 2000}]}, "maximum context length is 512 tokens"),
    ],
)
def test_a_bad_request_is_refused_in_openais_form(serving: Serving, body: dict[str, Any], sentence: str) -> None:
    question = {"model": "plain", "messages": QUESTION} | body
    answer = httpx.post(f"{serving.plain}/chat/completions", json=question, timeout=60, trust_env=False)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["scale_elastic_ep", "invocations", "inference/v1/generate"])
def test_routes_that_steer_the_engine_are_not_there(serving: Serving, path: str) -> None:
    assert httpx.post(serving.plain.replace("/v1", f"/{path}"), json={}, trust_env=False).status_code == 404


def test_it_listens_on_this_machine_only(serving: Serving) -> None:
    port = httpx.URL(serving.plain).port
    others = {address[4][0] for address in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)} - {
        "127.0.0.1",
        "127.0.1.1",
    }
    for address in others:
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://{address}:{port}/plain/v1/models", trust_env=False, timeout=5)


def test_a_port_in_use_is_refused_before_anything_starts(serving: Serving, tmp_path: Path) -> None:
    port = httpx.URL(serving.plain).port
    assert port is not None
    refused = run(serving.files[:1], port, tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == f"error: port {port} is in use by another program; choose another with --port.\n"


def test_an_engine_that_does_not_start_says_why_in_its_own_words(folders: Folders, tmp_path: Path) -> None:
    """Without a tensor the file is whole but the model is not, which only the engine finds out."""
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    broken.mkdir()
    for file in folders.base.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    weights = load_file(broken / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    files = [write(tmp_path, service(name="broken", model={"source": f"file://{broken}"}))]
    failed = run(files, free_port(), tmp_path)
    assert failed.returncode == 1
    assert failed.stdout.splitlines() == ["starting broken", "loading the models"]
    assert failed.stderr.splitlines()[-1] == (
        "error: The engine of broken did not start: ValueError: Following weights were not initialized from checkpoint: "
        "{'model.norm.weight'}"
    )
    assert "Traceback" not in failed.stderr
    assert not (tmp_path / "ready").exists()
