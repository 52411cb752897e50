"""A row to what is learned from it: a conversation, or a text. Whatever cannot be learned from is said, never repaired."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from raysmith.api.finetune import DataFormat, Objective
from raysmith_workloads.prepare.faults import FaultKind, RowFault

Message = dict[str, str]
"""`role` (system, user, assistant) and `content`."""

COLUMNS: Final = {
    DataFormat.MESSAGES: ("messages",),
    DataFormat.PROMPT_COMPLETION: ("prompt", "completion"),
    DataFormat.TEXT: ("text",),
}

_ROLES: Final = ("system", "user", "assistant")


class Example(NamedTuple):
    """What is learned from one row: a conversation (`messages`) or a text."""

    messages: list[Message]
    text: str
    hash: int
    """64 bits over the content. Equal rows have equal hashes, in whatever format they were written."""

    @property
    def question(self) -> str:
        """As a line of questions.jsonl: the conversation up to its last answer, and that answer."""
        return json.dumps({"messages": self.messages[:-1], "expected": self.messages[-1]["content"]}, ensure_ascii=False)


def detect_format(columns: Iterable[str]) -> DataFormat | None:
    """The format that has these columns, other columns aside."""
    names = set(columns)
    return next((form for form, wanted in COLUMNS.items() if names.issuperset(wanted)), None)


def fits(form: DataFormat, objective: Objective) -> bool:
    """Whether `objective` learns from rows of this format: Pretrain from texts, SFT from answers."""
    return (form is DataFormat.TEXT) == (objective is Objective.PRETRAIN)


def example(values: dict[str, Any], form: DataFormat) -> Example:
    """What is learned from the row. Raises RowFault."""
    if form is DataFormat.TEXT:
        return _example([], _text(values))
    if form is DataFormat.PROMPT_COMPLETION:
        return _example(_question_and_answer(values), "")
    return _example(_conversation(values), "")


def is_held_back(content_hash: int, fraction: float) -> bool:
    """Whether a row belongs to validation. By its content, so that equal rows stay on one side, in whatever order."""
    return content_hash < fraction * 2**64


def _example(messages: list[Message], text: str) -> Example:
    try:
        content = json.dumps(messages or text, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:  # a lone surrogate: escaped in JSON, or a byte that the CSV reader let through
        raise RowFault(FaultKind.NOT_UTF8, "the row holds characters that are not UTF-8") from error
    return Example(messages, text, int.from_bytes(hashlib.blake2b(content, digest_size=8).digest()))


def _text(values: dict[str, Any]) -> str:
    text = _string(values, "text")
    if not text.strip():
        raise RowFault(FaultKind.EMPTY_TEXT, "the text is empty")
    return text


def _question_and_answer(values: dict[str, Any]) -> list[Message]:
    if values.get("completion") is None:
        raise RowFault(FaultKind.NO_ANSWER, "the row has no answer (column completion)")
    prompt, completion = _string(values, "prompt"), _string(values, "completion")
    if not completion.strip():
        raise RowFault(FaultKind.NO_ANSWER, "the answer is empty (column completion)")
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]


def _string(values: dict[str, Any], column: str) -> str:
    value = values.get(column)
    if value is None:
        raise RowFault(FaultKind.MISSING_COLUMN, f"the column {column} is missing")
    if not isinstance(value, str):
        raise RowFault(FaultKind.WRONG_TYPE, f"{column} must be text and is {_type(value)}")
    return value


def _conversation(values: dict[str, Any]) -> list[Message]:
    turns = values.get("messages")
    if turns is None:
        raise RowFault(FaultKind.MISSING_COLUMN, "the column messages is missing")
    if not isinstance(turns, list):
        raise RowFault(FaultKind.WRONG_TYPE, f"messages must be a list and is {_type(turns)}")
    messages = [_message(number, turn) for number, turn in enumerate(turns, 1)]
    _check_order([message["role"] for message in messages])
    return messages


def _message(number: int, turn: Any) -> Message:
    if not isinstance(turn, dict):
        raise RowFault(FaultKind.WRONG_TYPE, f"message {number} must be an object with role and content and is {_type(turn)}")
    role, content = turn.get("role"), turn.get("content")
    if role == "tool" or turn.get("tool_calls") or turn.get("function_call"):
        raise RowFault(FaultKind.NOT_BUILT, f"message {number} calls a tool or answers for one, which is not built yet")
    if role not in _ROLES:
        raise RowFault(FaultKind.UNKNOWN_ROLE, f"message {number} has the role {role!r}; there are system, user and assistant")
    if role == "assistant" and (content is None or (isinstance(content, str) and not content.strip())):
        raise RowFault(FaultKind.NO_ANSWER, f"message {number} is an empty answer")
    if not isinstance(content, str):
        raise RowFault(FaultKind.WRONG_TYPE, f"the content of message {number} must be text and is {_type(content)}")
    return {"role": role, "content": content}


def _check_order(roles: list[str]) -> None:
    """An optional system message, then user and assistant in turns, with an answer at the end."""
    turns = roles[1:] if roles[:1] == ["system"] else roles
    offset = 1 + len(roles) - len(turns)
    for place, role in enumerate(turns):
        expected = ("user", "assistant")[place % 2]
        if role != expected:
            raise RowFault(
                FaultKind.ROLES_OUT_OF_ORDER, f"message {place + offset} is by {role} where one by {expected} must come"
            )
    if len(turns) % 2 or not turns:
        raise RowFault(FaultKind.NO_ANSWER, "the row has no answer (its last message is not by assistant)")


def _type(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)
