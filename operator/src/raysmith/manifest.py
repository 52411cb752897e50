"""Object files, read exactly as kubectl reads them, with the line of every field."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from raysmith.errors import RaysmithError
from raysmith.fieldpath import above
from raysmith.kubeyaml import KubeYamlError, Tree, as_json, parse

SUFFIXES: Final = (".yaml", ".yml", ".json")
LONGEST_NUMBER: Final = 40
"""Characters of a number that a sentence shows."""

# As kubectl, which looks for the line before it looks at the YAML.
_SEPARATOR: Final = re.compile(r"^---(.*)$", re.MULTILINE)


class ManifestError(RaysmithError):
    """A file cannot be read as kubectl would read it. The text is a sentence that starts with `FILE:` or `FILE:LINE:`."""


@dataclass(frozen=True)
class Document:
    """One object of one file: JSON data, and where each field stands."""

    path: Path
    """The file, as the user named it; within a folder, the folder joined with the file's name."""
    data: dict[str, Any]
    """The object as JSON data: dict, list, str, int, float, bool, None."""
    lines: Mapping[str, int]
    """Line, from 1, of each field by its path, such as `spec.data.train[0].source`; `""` is the object itself."""

    def line(self, field: str) -> int:
        """Line of `field`, or of the nearest field around it that the file has."""
        while field not in self.lines:
            field = above(field)
        return self.lines[field]

    def place(self, field: str) -> str:
        """`FILE:LINE` of `field`, to put before a message."""
        return f"{self.path}:{self.line(field)}"


def read(paths: Sequence[Path]) -> list[Document]:
    """Every object in the files and folders `paths`, in order; a folder's files are its *.yaml, *.yml and *.json, by name.

    Raises ManifestError, with one sentence, for what is missing, unreadable, empty or no YAML.
    """
    return [document for path in paths for file in _files(path) for document in _documents(file)]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
    except OSError as error:
        raise ManifestError(f"{path}: The folder cannot be read: {error.strerror}.") from error
    if not files:
        raise ManifestError(f"{path}: The folder holds no .yaml, .yml or .json file; name the file itself.")
    return files


def _documents(path: Path) -> list[Document]:
    found = [document for line, text in _parts(path, _text(path)) for document in _part(path, line, text)]
    if not found:
        raise ManifestError(f"{path}: The file holds no object; write an LLMFineTune or an LLMService into it.")
    return found


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ManifestError(f"{path}: There is no such file or folder; check the path.") from error
    except OSError as error:
        raise ManifestError(f"{path}: The file cannot be read: {error.strerror}.") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise ManifestError(f"{path}:{line}: The byte 0x{byte:02x} is not UTF-8; save the file as UTF-8.") from error


def _parts(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """The documents between the `---` lines, each with the number of its first line, from 0."""
    start = 0
    for match in _SEPARATOR.finditer(text):
        line = text.count("\n", 0, match.start())
        rest = match.group(1).strip()
        if rest and not rest.startswith("#"):
            raise ManifestError(f"{path}:{line + 1}: '---' must stand on a line of its own, not before {rest!r}.")
        yield text.count("\n", 0, start), text[start : match.start()]
        start = match.end()
    yield text.count("\n", 0, start), text[start:]


def _part(path: Path, first_line: int, text: str) -> Iterator[Document]:
    is_json = text.lstrip().startswith("{")
    try:
        trees = list(_json_objects(text)) if is_json else [parse(text)]
    except KubeYamlError as error:
        form = "JSON" if is_json else "YAML"
        place = f"{path}:{first_line + error.line}"
        raise ManifestError(f"{place}: This is not {form} as kubectl reads it: {error.message}.") from error
    for tree in trees:
        if tree.data is None:
            continue
        lines = {field: first_line + line for field, line in tree.lines.items()}
        if not isinstance(tree.data, dict):
            raise ManifestError(f"{path}:{lines['']}: An object must have fields (apiVersion, kind, metadata, spec).")
        yield Document(path, tree.data, lines)


def _json_objects(text: str) -> Iterator[Tree]:
    """The objects of a JSON stream. Their lines are YAML's, of which JSON is a part; only its tabs are not."""
    decoder = json.JSONDecoder(parse_int=_json_number, parse_float=_json_number, parse_constant=_no_number)
    end = 0
    while rest := text[end:].lstrip():
        start = len(text) - len(rest)
        try:
            data, end = decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            said = re.sub("( starting)? at$", "", error.msg)  # Python goes on with a place of its own
            raise KubeYamlError(error.lineno, said[:1].lower() + said[1:]) from error
        except (ValueError, RecursionError) as error:
            why = "its values are nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise KubeYamlError(text.count("\n", 0, start) + 1, why) from error
        before = text.count("\n", 0, start)
        lines = parse(text[start:end].replace("\t", " ")).lines
        yield Tree(data, {field: before + line for field, line in lines.items()})


def _json_number(text: str) -> int | float:
    number = float(text)
    if math.isinf(number):
        _no_number(text)
    return as_json(int(text) if re.fullmatch("-?[0-9]+", text) else number)


def _no_number(text: str) -> NoReturn:
    shown = text if len(text) <= LONGEST_NUMBER else f"{text[:LONGEST_NUMBER]}..."
    raise ValueError(f"{shown} is not a number that an object can hold")
