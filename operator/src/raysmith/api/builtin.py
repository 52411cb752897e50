"""What comes with Raysmith and is named `builtin://`: the shape of a small model, and data sets."""

from typing import Final

SCHEME: Final = "builtin://"
TINY: Final = "builtin://tiny"
"""A Llama shape of a few million parameters with random weights."""
DATA_SETS: Final = ("python-docs", "dates-in-words", "dates-us", "dates-german")
"""Names of the data sets."""


def tiny_positions(max_length: int) -> int:
    """How many tokens a new TINY can look at if the longest sequence of its run has `max_length`."""
    return max(1024, max_length)


def data_set_problem(uri: str) -> str | None:
    """Why no rows are at the `builtin://` address `uri`, as a sentence, or None if there are."""
    if uri.removeprefix(SCHEME) in DATA_SETS:
        return None
    known = ", ".join(f"{SCHEME}{name}" for name in DATA_SETS)
    return f"{uri} is no data set that comes with Raysmith; there are {known}."
