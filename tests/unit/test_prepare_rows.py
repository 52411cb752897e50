"""What a row must be to be learned from."""

import json
from typing import Any

import pytest

from raysmith.api.finetune import DataFormat, Objective
from raysmith_workloads.prepare.faults import Fault, FaultKind, Faults, RowFault
from raysmith_workloads.prepare.rows import detect_format, example, fits, is_held_back

MESSAGES, PAIR, TEXT = DataFormat.MESSAGES, DataFormat.PROMPT_COMPLETION, DataFormat.TEXT


def turns(*roles: str, **contents: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": contents.get(role, f"by {role}")} for role in roles]}


@pytest.mark.parametrize(
    ("columns", "form"),
    [
        (["messages"], MESSAGES),
        (["id", "prompt", "completion"], PAIR),
        (["text", "source"], TEXT),
        (["question", "answer"], None),
        (["prompt"], None),
        ([], None),
    ],
)
def test_the_format_is_found_out_from_the_columns(columns: list[str], form: DataFormat | None) -> None:
    assert detect_format(columns) is form


@pytest.mark.parametrize("roles", [("user", "assistant"), ("system", "user", "assistant"), ("user", "assistant") * 3])
def test_conversations_that_end_with_an_answer_are_learned(roles: tuple[str, ...]) -> None:
    assert [message["role"] for message in example(turns(*roles), MESSAGES).messages] == list(roles)


@pytest.mark.parametrize(
    ("values", "form", "kind", "message"),
    [
        ({"prompt": "q"}, PAIR, FaultKind.NO_ANSWER, "the row has no answer (column completion)"),
        ({"prompt": "q", "completion": None}, PAIR, FaultKind.NO_ANSWER, "the row has no answer (column completion)"),
        ({"prompt": "q", "completion": " \n"}, PAIR, FaultKind.NO_ANSWER, "the answer is empty (column completion)"),
        ({"prompt": "q", "completion": 7}, PAIR, FaultKind.WRONG_TYPE, "completion must be text and is a number"),
        ({"completion": "a"}, PAIR, FaultKind.MISSING_COLUMN, "the column prompt is missing"),
        ({"txt": "a"}, TEXT, FaultKind.MISSING_COLUMN, "the column text is missing"),
        ({"text": ["a"]}, TEXT, FaultKind.WRONG_TYPE, "text must be text and is a list"),
        ({"text": "  "}, TEXT, FaultKind.EMPTY_TEXT, "the text is empty"),
        ({"text": "\ud800"}, TEXT, FaultKind.NOT_UTF8, "the row holds characters that are not UTF-8"),
        ({"prompt": "q"}, MESSAGES, FaultKind.MISSING_COLUMN, "the column messages is missing"),
        ({"messages": "hello"}, MESSAGES, FaultKind.WRONG_TYPE, "messages must be a list and is text"),
        (
            {"messages": ["hello"]},
            MESSAGES,
            FaultKind.WRONG_TYPE,
            "message 1 must be an object with role and content and is text",
        ),
        ({"messages": []}, MESSAGES, FaultKind.NO_ANSWER, "the row has no answer (its last message is not by assistant)"),
        (turns("user"), MESSAGES, FaultKind.NO_ANSWER, "the row has no answer (its last message is not by assistant)"),
        (turns("system"), MESSAGES, FaultKind.NO_ANSWER, "the row has no answer (its last message is not by assistant)"),
        (turns("user", "assistant", assistant=" "), MESSAGES, FaultKind.NO_ANSWER, "message 2 is an empty answer"),
        (
            turns("assistant", "user"),
            MESSAGES,
            FaultKind.ROLES_OUT_OF_ORDER,
            "message 1 is by assistant where one by user must come",
        ),
        (
            turns("system", "user", "user", "assistant"),
            MESSAGES,
            FaultKind.ROLES_OUT_OF_ORDER,
            "message 3 is by user where one by assistant must come",
        ),
        (
            turns("user", "system", "assistant"),
            MESSAGES,
            FaultKind.ROLES_OUT_OF_ORDER,
            "message 2 is by system where one by assistant must come",
        ),
        (
            turns("human", "assistant"),
            MESSAGES,
            FaultKind.UNKNOWN_ROLE,
            "message 1 has the role 'human'; there are system, user and assistant",
        ),
        (
            turns("user", "assistant", user=[{"type": "text", "text": "q"}]),
            MESSAGES,
            FaultKind.WRONG_TYPE,
            "the content of message 1 must be text and is a list",
        ),
        (
            turns("user", "tool"),
            MESSAGES,
            FaultKind.NOT_BUILT,
            "message 2 calls a tool or answers for one, which is not built yet",
        ),
        (
            {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]},
            MESSAGES,
            FaultKind.NOT_BUILT,
            "message 1 calls a tool or answers for one, which is not built yet",
        ),
    ],
)
def test_a_row_that_cannot_be_learned_from_says_why(
    values: dict[str, Any], form: DataFormat, kind: FaultKind, message: str
) -> None:
    with pytest.raises(RowFault) as fault:
        example(values, form)
    assert (fault.value.kind, fault.value.message) == (kind, message)


def test_equal_rows_are_equal_in_every_format() -> None:
    pair = example({"prompt": "q", "completion": "a", "id": 3}, PAIR)
    messages = example(
        {"messages": [{"role": "user", "content": "q"}, {"content": "a", "role": "assistant", "name": "x"}]}, MESSAGES
    )
    assert pair == messages
    assert pair.hash != example({"prompt": "q", "completion": "b"}, PAIR).hash


def test_a_question_is_the_conversation_without_its_last_answer() -> None:
    question = json.loads(example(turns("system", "user", "assistant"), MESSAGES).question)
    assert question == {
        "messages": [{"role": "system", "content": "by system"}, {"role": "user", "content": "by user"}],
        "expected": "by assistant",
    }


def test_about_the_asked_share_is_held_back() -> None:
    hashes = [example({"text": f"row {n}"}, TEXT).hash for n in range(4000)]
    assert 150 < sum(is_held_back(number, 0.05) for number in hashes) < 250
    assert not any(is_held_back(number, 0) for number in hashes)


def test_pretraining_learns_texts_and_fine_tuning_answers() -> None:
    assert [fits(form, Objective.PRETRAIN) for form in (MESSAGES, PAIR, TEXT)] == [False, False, True]
    assert [fits(form, Objective.SFT) for form in (MESSAGES, PAIR, TEXT)] == [True, True, False]


def faults(number: int, kind: FaultKind = FaultKind.NO_ANSWER) -> Faults:
    found = Faults()
    for line in range(1, number + 1):
        found.add(Fault(f"a.jsonl:{line}", kind, "the row has no answer"))
    return found


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (1, "a.jsonl:1: the row has no answer. Correct the row or take it out, then start again."),
        (
            2,
            (
                "2 of 1,000 rows cannot be learned from. a.jsonl:1: the row has no answer. a.jsonl:2: the row has no answer. "
                "Correct them or take them out, then start again."
            ),
        ),
        (
            500,
            (
                "500 of 1,000 rows cannot be learned from. a.jsonl:1: the row has no answer. a.jsonl:2: the row has no answer. "
                "a.jsonl:3: the row has no answer. And 497 more (500 NoAnswer in all). "
                "Correct them or take them out, then start again."
            ),
        ),
    ],
)
def test_the_first_faults_are_named_and_all_are_counted(number: int, sentence: str) -> None:
    refusal = faults(number).refusal(1000)
    assert (refusal.reason, refusal.message, refusal.retryable) == ("DataRefused", sentence, False)


def test_faults_of_the_template_alone_are_the_templates() -> None:
    assert faults(2, FaultKind.TEMPLATE).refusal(2).reason == "TemplateRefused"
