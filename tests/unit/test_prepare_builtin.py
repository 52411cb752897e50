"""The data sets that come with Raysmith: exact to score, and nothing to be had by guessing or by copying."""

import json
import re
from collections import Counter
from datetime import date
from functools import cache
from pathlib import Path

import pytest
import yaml

from raysmith.api.builtin import SCHEME
from raysmith.api.finetune import DataFormat, Objective
from raysmith_workloads.prepare.builtin import (
    BUILTIN,
    DATES,
    PASSAGE,
    date_in_american,
    date_in_german,
    date_in_words,
    passages,
    year_in_words,
)
from raysmith_workloads.prepare.rows import Example, example, is_held_back

EXAMPLES = Path(__file__).parents[2] / "examples"


def held_back_by_examples() -> dict[str, float]:
    """The built-in data sets that examples teach answers from, and what share of each they hold back."""
    runs = (run["spec"] for file in EXAMPLES.glob("*/finetune.yaml") for run in yaml.safe_load_all(file.read_text()))
    return {
        source["source"].removeprefix(SCHEME): spec["data"]["validation"]["fraction"]
        for spec in runs
        for source in spec["data"]["train"]
        if spec.get("objective") != Objective.PRETRAIN
    }


HELD_BACK = held_back_by_examples()
SKILLS = ["dates-in-words", "dates-us", "dates-german"]


def test_the_examples_teach_every_skill() -> None:
    assert sorted(HELD_BACK) == sorted(SKILLS)


@pytest.mark.parametrize(
    ("day", "words", "american", "german"),
    [
        (date(1987, 3, 14), "the fourteenth of March nineteen eighty-seven", "March 14, 1987", "14. März 1987"),
        (date(2000, 1, 1), "the first of January two thousand", "January 1, 2000", "1. Januar 2000"),
        (date(2005, 5, 22), "the twenty-second of May two thousand five", "May 22, 2005", "22. Mai 2005"),
        (date(1900, 12, 30), "the thirtieth of December nineteen hundred", "December 30, 1900", "30. Dezember 1900"),
        (date(1901, 7, 31), "the thirty-first of July nineteen oh one", "July 31, 1901", "31. Juli 1901"),
        (date(2110, 10, 20), "the twentieth of October twenty-one ten", "October 20, 2110", "20. Oktober 2110"),
        (date(1640, 2, 3), "the third of February sixteen forty", "February 3, 1640", "3. Februar 1640"),
    ],
)
def test_dates_are_written_as_people_say_them(day: date, words: str, american: str, german: str) -> None:
    assert (date_in_words(day), date_in_american(day), date_in_german(day)) == (words, american, german)


def test_no_two_years_sound_alike() -> None:
    assert len({year_in_words(year) for year in range(1600, 2200)}) == 600


@cache
def split(skill: str) -> tuple[list[Example], list[Example]]:
    """What is learned and what is asked, as in the example that teaches the skill."""
    rows = [example(row, DataFormat.PROMPT_COMPLETION) for row in BUILTIN[skill]()]
    held_back = [row for row in rows if is_held_back(row.hash, HELD_BACK[skill])]
    return [row for row in rows if not is_held_back(row.hash, HELD_BACK[skill])], held_back


def exact_match(answers: list[str], questions: list[Example]) -> float:
    return sum(answer == row.messages[-1]["content"] for answer, row in zip(answers, questions, strict=True)) / len(questions)


@pytest.mark.parametrize("skill", SKILLS)
def test_no_question_and_no_answer_that_is_scored_occurs_in_training(skill: str) -> None:
    training, questions = split(skill)
    assert len(training) + len(questions) == DATES
    assert len(questions) > 250
    for place in (0, 1):
        assert not {row.messages[place]["content"] for row in training} & {row.messages[place]["content"] for row in questions}


@pytest.mark.parametrize("skill", SKILLS)
def test_answers_without_the_skill_score_below_a_tenth(skill: str) -> None:
    training, questions = split(skill)
    asked = [row.messages[0]["content"] for row in questions]
    frequent = Counter(row.messages[-1]["content"] for row in training).most_common(1)[0][0]
    days = [re.findall(r"[0-9-]+", question)[0] for question in asked]
    nearest = {row.messages[0]["content"][:13]: row.messages[-1]["content"] for row in training}  # same year and month
    for name, answers in {
        "most frequent": [frequent] * len(asked),
        "the whole question": asked,
        "the date in the question": days,
        "of a similar question": [nearest.get(question[:13], "") for question in asked],
        "nothing": [""] * len(asked),
    }.items():
        assert exact_match(answers, questions) < 0.1, name


def test_the_skills_ask_in_different_words() -> None:
    shapes = [{re.sub(r"[0-9-]+", "DATE", row["prompt"]) for row in BUILTIN[skill]()} for skill in SKILLS]
    assert [len(shape) for shape in shapes] == [1, 1, 1]
    assert len(set.union(*shapes)) == 3


@pytest.mark.parametrize("name", list(BUILTIN))
def test_the_rows_are_the_same_every_time(name: str) -> None:
    assert json.dumps(list(BUILTIN[name]())) == json.dumps(list(BUILTIN[name]()))


def test_the_documentation_is_prose_in_passages_and_nothing_twice() -> None:
    texts = [row["text"] for row in BUILTIN["python-docs"]()]
    assert len(texts) == len(set(texts)) > 200
    assert sum(map(len, texts)) > 300_000
    assert max(map(len, texts)) <= PASSAGE
    assert not any(re.search(r"^[=*+|-]{4,}$", text, re.MULTILINE) for text in texts)


def test_passages_keep_every_word() -> None:
    text = "\n\n".join(f"Paragraph {n}\n" + "word " * (n * 7 % 400) for n in range(60))
    assert " ".join(passages(text)).split() == text.split()
