"""Data sets that come with Raysmith: prose to start from, and three skills whose answers can be scored exactly.

The prose is Python's own documentation, as the interpreter ships it. The skills rewrite dates: every date occurs once, so
no question and no answer that is scored occurs in training, and no constant or frequent answer is right more than once.
"""

import random
import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Final

DATES: Final = 16_000
"""Rows of each date skill."""

_FIRST_DAY: Final = date(1600, 1, 1)
_LAST_DAY: Final = date(2199, 12, 31)

PASSAGE: Final = 1500
"""Most characters of a passage of documentation: below 1,024 tokens of the small tokenizer."""

# Words in a line read better than a column of them.
_ONES: Final = (  # noqa: SIM905
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS: Final = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905
_ORDINALS: Final = (  # noqa: SIM905
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
).split()
_MONTHS: Final = "January February March April May June July August September October November December".split()  # noqa: SIM905
_GERMAN: Final = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split()  # noqa: SIM905

# Lines that only draw: underlines of headings, borders of tables.
_DRAWING: Final = re.compile(r"[-=*~^#\"+|\s]+")


def number_in_words(number: int) -> str:
    """0 to 99 in words."""
    if number < 20:
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens] if ones == 0 else f"{_TENS[tens]}-{_ONES[ones]}"


def year_in_words(year: int) -> str:
    """A year from 1100 to 9999 as it is spoken: nineteen eighty-seven, nineteen oh five, two thousand five."""
    century, rest = divmod(year, 100)
    if rest >= 10:
        return f"{number_in_words(century)} {number_in_words(rest)}"
    if century % 10 == 0:
        thousand = f"{_ONES[century // 10]} thousand"
        return thousand if rest == 0 else f"{thousand} {_ONES[rest]}"
    return f"{number_in_words(century)} hundred" if rest == 0 else f"{number_in_words(century)} oh {_ONES[rest]}"


def date_in_words(day: date) -> str:
    """The fourteenth of March nineteen eighty-seven."""
    ordinal = _ORDINALS[day.day] if day.day <= 20 else _ordinal_above_twenty(day.day)
    return f"the {ordinal} of {_MONTHS[day.month - 1]} {year_in_words(day.year)}"


def date_in_american(day: date) -> str:
    """March 14, 1987."""
    return f"{_MONTHS[day.month - 1]} {day.day}, {day.year}"


def date_in_german(day: date) -> str:
    """14. März 1987."""
    return f"{day.day}. {_GERMAN[day.month - 1]} {day.year}"


def _ordinal_above_twenty(number: int) -> str:
    tens, ones = divmod(number, 10)
    return "thirtieth" if (tens, ones) == (3, 0) else f"{_TENS[tens]}-{_ORDINALS[ones]}"


def _dates(seed: int, question: str, answer: Callable[[date], str]) -> Iterator[dict[str, str]]:
    days = (_LAST_DAY - _FIRST_DAY).days + 1
    for offset in random.Random(seed).sample(range(days), DATES):  # noqa: S311 - the same dates everywhere, no secret
        day = _FIRST_DAY + timedelta(days=offset)
        yield {"prompt": question.format(day.isoformat()), "completion": answer(day)}


def _documentation() -> Iterator[dict[str, str]]:
    from pydoc_data.topics import topics

    seen = set()
    for _, topic in sorted(topics.items()):
        for passage in passages(topic):
            if passage not in seen:  # topics quote one another at length
                seen.add(passage)
                yield {"text": passage}


def passages(text: str) -> Iterator[str]:
    """Consecutive paragraphs of `text`, at most PASSAGE characters at once, without lines that only draw."""
    lines = (line.rstrip() for line in text.split("\n") if not line.strip() or not _DRAWING.fullmatch(line))
    passage = ""
    for paragraph in re.split(r"\n{2,}", "\n".join(lines).strip("\n")):
        for piece in _pieces(paragraph):
            if passage and len(passage) + 2 + len(piece) > PASSAGE:
                yield passage
                passage = ""
            passage = f"{passage}\n\n{piece}" if passage else piece
    if passage:
        yield passage


def _pieces(paragraph: str) -> Iterator[str]:
    """A paragraph, cut at line ends where it is longer than PASSAGE."""
    piece = ""
    for line in paragraph.split("\n"):
        if piece and len(piece) + 1 + len(line) > PASSAGE:
            yield piece
            piece = ""
        piece = f"{piece}\n{line}" if piece else line
    if piece.strip():
        yield piece


BUILTIN: Final[dict[str, Callable[[], Iterator[dict[str, str]]]]] = {
    "python-docs": _documentation,
    "dates-in-words": lambda: _dates(1, "Write {} in words.", date_in_words),
    "dates-us": lambda: _dates(2, "Write {} the American way.", date_in_american),
    "dates-german": lambda: _dates(3, "Write {} the German way.", date_in_german),
}
"""The rows of each data set, the same in every run."""
