"""How `make cluster-demo` judges what the tuned model answers (hack/ask_both.py)."""

import json
import sys
from pathlib import Path

import pytest
from hack import ask_both

from objects import service
from raysmith.api.common import to_wire
from raysmith.api.record import Sample
from raysmith.cli.errors import RunFailed
from raysmith.cli.side_by_side import Endpoint
from run_records import DIGEST, run_record

RIGHT = {f"question {number}": f"answer {number}" for number in range(5)}
WORDS = {"evaluation": {"maxNewTokens": 9}}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, dict[str, str]]:
    """What each service will answer, by its address; who is asked is a pod of the tuned one."""
    samples = [Sample(prompt=question, expected=answer, base="", tuned=answer) for question, answer in RIGHT.items()]
    record = run_record(spec=WORDS, samples=samples)
    (tmp_path / "run.json").write_text(json.dumps(to_wire(record)))
    document = service(name="tuned") | {"status": {"model": {"uri": f"file://{tmp_path}", "digest": DIGEST}}}
    (tmp_path / "object.json").write_text(json.dumps(document))
    monkeypatch.setattr(sys, "argv", ["-", str(tmp_path / "object.json"), "http://base", "http://tuned"])
    answers: dict[str, dict[str, str]] = {"http://base": dict.fromkeys(RIGHT, "no\nidea"), "http://tuned": dict(RIGHT)}

    def ask(endpoint: Endpoint, question: str, most_tokens: int) -> str:
        assert (endpoint.url, most_tokens) == (f"http://{endpoint.model}", 9)
        if question not in answers[endpoint.url]:
            raise RunFailed(f"nothing answers at {endpoint.url}.")
        return answers[endpoint.url][question]

    monkeypatch.setattr(ask_both, "ask", ask)
    return answers


def test_right_answers_are_printed_beside_the_base_models(
    asked: dict[str, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    ask_both.main()
    printed = capsys.readouterr().out.splitlines()
    assert printed[:4] == ["question 0", "  right: answer 0", "  base:  no idea", "  tuned: answer 0"]
    assert printed[-1] == "The tuned model answers 5 of 5 questions right, the base model 0."


def test_one_wrong_answer_is_forgiven_and_two_are_not(asked: dict[str, dict[str, str]]) -> None:
    asked["http://tuned"]["question 1"] = "wrong"
    ask_both.main()
    asked["http://tuned"]["question 2"] = "wrong"
    with pytest.raises(SystemExit, match=r"^The tuned model answers 3 of 5 questions right, and .*\.$"):
        ask_both.main()


def test_a_service_that_does_not_answer_fails_the_demo(asked: dict[str, dict[str, str]]) -> None:
    del asked["http://base"]["question 4"]
    with pytest.raises(SystemExit, match=r"^A service does not answer: nothing answers at http://base\.$"):
        ask_both.main()
