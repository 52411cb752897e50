"""`raysmith chat`: one question or a conversation, with a service or one of its adapters. The endpoint is a fake."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fake_openai import FakeOpenAI, fake_openai
from raysmith.cli.data_dir import DataDir, write_json
from raysmith.cli.main import app


def chat(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(app, ["chat", *arguments], input=typed, catch_exceptions=False)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def asked(fake: FakeOpenAI) -> list[tuple[str, list[dict[str, Any]]]]:
    return [(request["model"], request["messages"]) for request in fake.asked]


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """A data folder whose last run served `base` and `dates`; their address answers nothing."""
    data = tmp_path / "raysmith-data"
    services = [{"name": name, "url": f"http://127.0.0.1:9/{name}/v1", "model": name} for name in ("base", "dates")]
    write_json(DataDir(data).last_run, {"services": services})
    return data


def test_every_turn_of_a_conversation_sees_what_was_said_before() -> None:
    with fake_openai("dates", answers=["the first", "the second", "the third"]) as fake:
        done = chat("--url", fake.url, typed="one\n\n  \ntwo\nthree\n")
    assert done.exit_code == 0
    assert done.stdout == "the first\nthe second\nthe third\n"
    assert done.stderr == f"dates at {fake.url}. Ctrl-D ends the conversation.\n"
    first = [user("one")]
    second = [*first, assistant("the first"), user("two")]
    third = [*second, assistant("the second"), user("three")]
    assert asked(fake) == [("dates", first), ("dates", second), ("dates", third)], "and an empty line is no question"


def test_a_question_on_the_command_line_stands_alone() -> None:
    with fake_openai("dates", answers=["the answer"]) as fake:
        done = chat("--url", fake.url, "one", typed="two\n")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "the answer\n", "")
    assert asked(fake) == [("dates", [user("one")])]


def test_an_adapter_is_asked_by_the_names_of_service_and_adapter() -> None:
    with fake_openai("dates", "dates:us", answers=["the first", "the second"]) as fake:
        done = chat("--url", fake.url, "--model", "dates:us", typed="one\ntwo\n")
    assert done.exit_code == 0
    assert [model for model, _ in asked(fake)] == ["dates:us", "dates:us"]


@pytest.mark.parametrize(
    ("model", "service"), [(None, "dates"), ("base", "base"), ("dates", "dates"), ("dates:us", "dates")], ids=str
)
def test_without_an_address_the_last_runs_service_of_that_name_is_asked(served: Path, model: str | None, service: str) -> None:
    with fake_openai("anything", answers=["the answer"]) as fake:
        services = [{"name": name, "url": fake.url, "model": name} for name in ("base", "dates")]
        write_json(DataDir(served).last_run, {"services": services})
        named = ["--model", model] if model else []
        done = chat("one", "--data-dir", str(served), *named)
    assert done.exit_code == 0, done.stderr
    assert [name for name, _ in asked(fake)] == [model or service]


@pytest.mark.parametrize("model", ["german", "german:us"])
def test_a_service_that_the_last_run_did_not_serve_is_a_sentence(served: Path, model: str) -> None:
    done = chat("one", "--data-dir", str(served), "--model", model)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: the last run served base, dates, and not {model}; correct --model")


def test_a_conversation_whose_service_breaks_down_ends_with_a_sentence_after_what_was_said() -> None:
    with fake_openai("dates", answers=["the first"]) as fake:
        done = chat("--url", fake.url, typed="one\ntwo\nthree\n")
    assert done.exit_code == 1
    assert done.stdout == "the first\n"
    assert done.stderr.splitlines()[-1].startswith(f"error: {fake.url} answered 500: ")
    assert len(fake.asked) == 2


def test_a_service_that_does_not_answer_is_a_sentence_with_what_to_do(served: Path) -> None:
    done = chat("one", "--data-dir", str(served))
    assert done.exit_code == 1
    assert done.stderr == (
        "error: nothing answers at http://127.0.0.1:9/dates/v1; start a service with `raysmith run`, or name its address "
        "with --url.\n"
    )


def test_an_endpoint_without_a_model_is_a_sentence() -> None:
    with fake_openai() as fake:
        done = chat("--url", fake.url, "one")
    assert done.exit_code == 2
    assert done.stderr == f"error: {fake.url} serves no model; name another address with --url.\n"
