"""Files to chunks that can be read side by side, each with the number of its first line, and a digest of all contents.

One pass over the bytes does both. JSONL is cut at line ends, Parquet at its row groups; CSV, JSON and text files are one
chunk, because only reading them from the start tells where a row begins.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from raysmith_workloads.errors import Refused
from raysmith_workloads.prepare.builtin import BUILTIN
from raysmith_workloads.prepare.sources import SourceFile

CHUNK_BYTES: Final = 4 * 2**20
"""JSONL is cut at the last line end before every so many bytes."""

BUILTIN_ROWS: Final = 4000
"""Rows in a chunk of a data set that comes with Raysmith."""

JSON_LIMIT: Final = 2**30
"""Bytes of the largest .json file: it must be held in memory whole."""


class Chunk(NamedTuple):
    """A part of a file that one task reads."""

    path: str
    label: str
    kind: str
    first_line: int
    """Line number of the first row in the file, from 1; in Parquet the row number."""
    start: int
    """First byte; in Parquet the number of the row group; in a built-in data set the first row, from 0."""
    length: int
    """Bytes; in Parquet and built-in data sets rows."""


class FilePlan(NamedTuple):
    """One file's chunks and the SHA-256 of its content."""

    chunks: list[Chunk]
    digest: str


def plan_files(files: list[SourceFile]) -> list[FilePlan]:
    """Chunks and digest of every file, in order. Raises Refused for a file that is empty or cannot be read."""
    with ThreadPoolExecutor() as threads:  # hashing and reading let other threads run
        return list(threads.map(_plan_file, files))


def data_digest(digests: Iterable[str]) -> str:
    """SHA-256 over the contents of all files, in order."""
    return f"sha256:{hashlib.sha256('/'.join(digests).encode()).hexdigest()}"


def _plan_file(file: SourceFile) -> FilePlan:
    if file.kind == "builtin":
        rows = [f"{json.dumps(row)}\n" for row in BUILTIN[file.path]()]
        chunks = [Chunk(*file, 1 + start, start, BUILTIN_ROWS) for start in range(0, len(rows), BUILTIN_ROWS)]
        return FilePlan(chunks, hashlib.sha256("".join(rows).encode()).hexdigest())
    try:
        return _plan_stored(file, Path(file.path).stat().st_size)
    except OSError as error:
        raise Refused(
            "DataNotFound", f"{file.label} cannot be read: {error.strerror}. Check the file's permissions."
        ) from error


def _plan_stored(file: SourceFile, size: int) -> FilePlan:
    if size == 0:
        raise Refused("DataRefused", f"{file.label} is empty; put rows into it or take it out of the data.")
    if file.kind == "json" and size > JSON_LIMIT:
        raise Refused(
            "DataRefused",
            f"{file.label} has {size / 2**30:.1f} GiB, and a .json file must be read whole; write one row per line, as .jsonl.",
        )
    if file.kind == "jsonl":
        return _plan_lines(file)
    chunks = list(_row_groups(file)) if file.kind == "parquet" else [Chunk(*file, 1, 0, size)]
    with Path(file.path).open("rb") as content:
        return FilePlan(chunks, hashlib.file_digest(content, "sha256").hexdigest())


def _plan_lines(file: SourceFile) -> FilePlan:
    digest, chunks = hashlib.sha256(), []
    start, line, position, blank = 0, 1, 0, True
    with Path(file.path).open("rb") as content:
        while block := content.read(CHUNK_BYTES):
            digest.update(block)
            blank = blank and block.isspace()
            if cut := block.rfind(b"\n") + 1:
                chunks.append(Chunk(*file, line, start, position + cut - start))
                start, line = position + cut, line + block.count(b"\n")
            position += len(block)
    if blank:
        raise Refused("DataRefused", f"{file.label} holds only blank lines; put rows into it or take it out of the data.")
    if start < position:
        chunks.append(Chunk(*file, line, start, position - start))
    return FilePlan(chunks, digest.hexdigest())


def _row_groups(file: SourceFile) -> Iterator[Chunk]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(file.path)
    except pa.ArrowException as error:
        raise Refused("DataRefused", f"{file.label} is no readable Parquet file ({error}); write it again.") from error
    if metadata.num_rows == 0:
        raise Refused("DataRefused", f"{file.label} has no rows; put rows into it or take it out of the data.")
    row = 1
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        yield Chunk(*file, row, group, rows)
        row += rows
