"""A chunk to rows, each with the number of its line; a line that is no row becomes a fault and the next one is read."""

import csv
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from raysmith_workloads.prepare.builtin import BUILTIN
from raysmith_workloads.prepare.faults import Fault, FaultKind, RowFault
from raysmith_workloads.prepare.plan import Chunk

_BOM: Final = b"\xef\xbb\xbf"
_BLANK: Final = re.compile(r"[ \t\r\n]*")
_CSV_FIELD_LIMIT: Final = 64 * 2**20


class Row(NamedTuple):
    """One row as it was read."""

    line: int
    """Line number in the file, from 1; in Parquet the row number."""
    values: dict[str, Any]


def read_chunk(chunk: Chunk) -> Iterator[Row | Fault]:
    """The rows of `chunk` in order, and a Fault for each line that is none. Raises OSError if the file is gone."""
    if chunk.kind == "builtin":
        rows = islice(BUILTIN[chunk.path](), chunk.start, chunk.start + chunk.length)
        yield from (Row(line, row) for line, row in enumerate(rows, chunk.first_line))
        return
    if chunk.kind == "parquet":
        yield from _parquet_rows(chunk)
        return
    with Path(chunk.path).open("rb") as file:
        file.seek(chunk.start)
        yield from _READERS[chunk.kind](file, chunk)


def _fault(chunk: Chunk, line: int, fault: RowFault) -> Fault:
    return Fault(f"{chunk.label}:{line}", fault.kind, fault.message)


def _lines(file: BinaryIO, chunk: Chunk) -> Iterator[tuple[int, bytes]]:
    """The lines of the chunk with their numbers; the byte order mark that some editors write is no part of the first."""
    left = chunk.length
    for number, raw in enumerate(file, chunk.first_line):
        if left <= 0:
            return
        left -= len(raw)
        yield number, raw.removeprefix(_BOM) if number == 1 else raw


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise RowFault(
            FaultKind.NOT_UTF8, f"byte {error.start + 1} of the line is not UTF-8 (0x{raw[error.start]:02x})"
        ) from error


def _jsonl_rows(file: BinaryIO, chunk: Chunk) -> Iterator[Row | Fault]:
    for line, raw in _lines(file, chunk):
        if raw.isspace():
            continue
        try:
            yield Row(line, _object(json.loads(_decoded(raw).rstrip())))
        except json.JSONDecodeError as error:
            yield _fault(chunk, line, _invalid_json("line", error))
        except RecursionError:
            yield _fault(chunk, line, RowFault(FaultKind.INVALID_JSON, "the line is nested too deeply"))
        except RowFault as fault:
            yield _fault(chunk, line, fault)


def _invalid_json(what: str, error: json.JSONDecodeError) -> RowFault:
    return RowFault(FaultKind.INVALID_JSON, f"the {what} is not valid JSON ({error.msg}, at character {error.colno})")


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RowFault(
            FaultKind.WRONG_TYPE, f'a row must be an object in braces, for example {{"text": "..."}}, and not {value!r:.40}'
        )
    return value


def _json_rows(file: BinaryIO, chunk: Chunk) -> Iterator[Row | Fault]:
    """The rows of a JSON list. Decoded one by one, so that each has its line."""
    content = file.read().removeprefix(_BOM)
    try:
        text, line, counted = content.decode(), 1, 0
        for start, value in _list_items(text):
            line, counted = line + text.count("\n", counted, start), start
            yield _row_or_fault(chunk, line, value)
        if counted == 0:
            yield _fault(chunk, 1, RowFault(FaultKind.INVALID_JSON, "the list has no rows"))
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        yield _fault(chunk, line, RowFault(FaultKind.NOT_UTF8, f"the line is not UTF-8 (0x{content[error.start]:02x})"))
    except json.JSONDecodeError as error:
        yield _fault(chunk, error.lineno, _invalid_json("file", error))
    except RecursionError:
        yield _fault(chunk, line, RowFault(FaultKind.INVALID_JSON, "the row after this one is nested too deeply"))
    except RowFault as fault:
        yield _fault(chunk, 1, fault)


def _list_items(text: str) -> Iterator[tuple[int, Any]]:
    """Start and value of each item of the list that `text` is. Raises RowFault if it is none, JSONDecodeError if broken."""
    decoder = json.JSONDecoder()
    position = _after_blank(text, 0)
    if text[position : position + 1] != "[":
        message = "a .json file must be one list of rows in brackets; if it has one row per line, name it .jsonl"
        raise RowFault(FaultKind.INVALID_JSON, message)
    position = _after_blank(text, position + 1)
    closed = text[position : position + 1] == "]"
    while not closed:
        value, end = decoder.raw_decode(text, position)
        yield position, value
        end = _after_blank(text, end)
        closed = text[end : end + 1] == "]"
        if not closed and text[end : end + 1] != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, end)
        position = end if closed else _after_blank(text, end + 1)
    rest = _after_blank(text, position + 1)
    if rest < len(text):
        raise json.JSONDecodeError("Extra data", text, rest)


def _after_blank(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position


def _row_or_fault(chunk: Chunk, line: int, value: Any) -> Row | Fault:
    try:
        return Row(line, _object(value))
    except RowFault as fault:
        return _fault(chunk, line, fault)


def _csv_rows(file: BinaryIO, chunk: Chunk) -> Iterator[Row | Fault]:
    """The first line names the columns. Bytes that are not UTF-8 stay visible as surrogates, which `rows.py` refuses."""
    csv.field_size_limit(_CSV_FIELD_LIMIT)
    reader = csv.reader((raw.decode(errors="surrogateescape") for _, raw in _lines(file, chunk)), strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            if header is None:
                header = cells
            elif cells:
                yield _csv_row(chunk, line, header, cells)
            line = reader.line_num + 1
        if line == 2:
            yield _fault(chunk, 1, RowFault(FaultKind.INVALID_CSV, "there are no rows below the line with the columns' names"))
    except csv.Error as error:  # where the next row begins is not known any more
        yield _fault(
            chunk, line, RowFault(FaultKind.INVALID_CSV, f"the row is not valid CSV ({error}); nothing below was read")
        )


def _csv_row(chunk: Chunk, line: int, header: list[str], cells: list[str]) -> Row | Fault:
    if len(cells) != len(header):
        message = f"the row has {len(cells)} cells and the first line names {len(header)} columns"
        return _fault(chunk, line, RowFault(FaultKind.INVALID_CSV, message))
    return Row(line, dict(zip(header, cells, strict=True)))


def _text_rows(file: BinaryIO, chunk: Chunk) -> Iterator[Row | Fault]:
    """A row is a paragraph: lines up to the next blank one."""
    first, paragraph = 0, list[str]()
    for line, raw in _lines(file, chunk):
        try:
            text = _decoded(raw)
        except RowFault as fault:
            yield _fault(chunk, line, fault)
            continue
        if text.isspace():
            yield from _paragraph(first, paragraph)
            paragraph = []
        else:
            first = first if paragraph else line
            paragraph.append(text)
    yield from _paragraph(first, paragraph)


def _paragraph(first: int, lines: list[str]) -> Iterator[Row]:
    if lines:
        yield Row(first, {"text": "".join(lines).rstrip("\r\n")})


def _parquet_rows(chunk: Chunk) -> Iterator[Row | Fault]:
    """The rows of one row group; `line` is the row's number in the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    line = chunk.first_line
    try:
        for batch in pq.ParquetFile(chunk.path).iter_batches(batch_size=1000, row_groups=[chunk.start]):
            yield from _batch_rows(chunk, line, batch)
            line += batch.num_rows
    except pa.ArrowException as error:
        yield _fault(chunk, line, RowFault(FaultKind.INVALID_PARQUET, f"the file cannot be read from here on ({error})"))


def _batch_rows(chunk: Chunk, first: int, batch: Any) -> Iterator[Row | Fault]:
    for offset in range(batch.num_rows):
        try:
            yield Row(first + offset, batch.slice(offset, 1).to_pylist()[0])
        except UnicodeDecodeError:
            yield _fault(chunk, first + offset, RowFault(FaultKind.NOT_UTF8, "the row holds bytes that are not UTF-8"))


_READERS: Final = {"jsonl": _jsonl_rows, "json": _json_rows, "csv": _csv_rows, "txt": _text_rows}
