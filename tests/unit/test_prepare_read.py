"""Every kind of file gives its rows with their line numbers, and every broken line is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from raysmith_workloads.errors import Refused
from raysmith_workloads.prepare import plan
from raysmith_workloads.prepare.faults import Fault
from raysmith_workloads.prepare.plan import data_digest, plan_files
from raysmith_workloads.prepare.read import Row, read_chunk
from raysmith_workloads.prepare.sources import KINDS, SourceFile

ROWS = [{"prompt": f"question {n}", "completion": f"answer {n}"} for n in range(5)]


def source(path: Path) -> SourceFile:
    return SourceFile(str(path), path.name, KINDS[path.suffix])


def read(path: Path) -> list[Row | Fault]:
    return [row for chunk in plan_files([source(path)])[0].chunks for row in read_chunk(chunk)]


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def jsonl(rows: list[dict[str, str]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def parquet(folder: Path, rows: list[dict[str, Any]], row_group_size: int = 2) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet", row_group_size=row_group_size)
    return folder / "rows.parquet"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.jsonl", jsonl(ROWS)),
        ("rows.ndjson", jsonl(ROWS)),
        ("rows.json", json.dumps(ROWS)),
        ("rows.json", json.dumps(ROWS, indent=2)),
        ("rows.csv", "prompt,completion\n" + "".join(f"{r['prompt']},{r['completion']}\n" for r in ROWS)),
        ("rows.jsonl", "\ufeff" + jsonl(ROWS)),
        ("rows.json", "\ufeff" + json.dumps(ROWS)),
        ("rows.csv", "\ufeffprompt,completion\r\n" + "".join(f"{r['prompt']},{r['completion']}\r\n" for r in ROWS)),
        ("rows.jsonl", jsonl(ROWS).rstrip("\n")),
    ],
)
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, name: str, content: str) -> None:
    rows = read(written(tmp_path, name, content))
    assert [row.values for row in rows if isinstance(row, Row)] == ROWS


def test_parquet_rows_are_numbered_across_row_groups(tmp_path: Path) -> None:
    assert read(parquet(tmp_path, ROWS)) == [Row(n, row) for n, row in enumerate(ROWS, 1)]


def test_text_files_give_paragraphs_with_the_line_they_begin_on(tmp_path: Path) -> None:
    assert read(written(tmp_path, "rows.txt", "\none\ntwo\n\n\nthree\n")) == [
        Row(2, {"text": "one\ntwo"}),
        Row(6, {"text": "three"}),
    ]


@pytest.mark.parametrize("chunk_bytes", [1, 7, 64, 1000, 10**6])
def test_lines_keep_their_numbers_wherever_the_file_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    path = written(tmp_path, "rows.jsonl", "\n" + "".join(f'{{"text": "{"x" * (n * 13 % 90)}"}}\n\n' for n in range(40)))
    expected = read(path)
    monkeypatch.setattr(plan, "CHUNK_BYTES", chunk_bytes)
    assert read(path) == expected
    assert [row.line for row in expected if isinstance(row, Row)] == list(range(2, 82, 2))


def test_digests_follow_the_contents_and_not_the_cutting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "rows.jsonl", jsonl(ROWS))
    whole = plan_files([source(path)])[0]
    monkeypatch.setattr(plan, "CHUNK_BYTES", 16)
    cut = plan_files([source(path)])[0]
    assert len(cut.chunks) > len(whole.chunks)
    assert cut.digest == whole.digest
    assert data_digest(["a", "b"]) != data_digest(["b", "a"])


@pytest.mark.parametrize(
    ("name", "content", "place", "message"),
    [
        (
            "a.jsonl",
            '{"text": "x"}\n{"text": }\n',
            "a.jsonl:2",
            "the line is not valid JSON (Expecting value, at character 10)",
        ),
        (
            "a.jsonl",
            '"text"\n',
            "a.jsonl:1",
            'a row must be an object in braces, for example {"text": "..."}, and not \'text\'',
        ),
        ("a.jsonl", b'{"text": "x"}\n{"text": "\xe9"}\n', "a.jsonl:2", "byte 11 of the line is not UTF-8 (0xe9)"),
        ("a.jsonl", "[" * 100_000 + "\n", "a.jsonl:1", "the line is nested too deeply"),
        (
            "a.json",
            '[{"text": "x"},\n {"text": "y"\n]',
            "a.json:3",
            "the file is not valid JSON (Expecting ',' delimiter, at character 1)",
        ),
        (
            "a.json",
            '[{"text": "x"},\n\n 7]',
            "a.json:3",
            'a row must be an object in braces, for example {"text": "..."}, and not 7',
        ),
        ("a.json", '[{"text": "x"}] [', "a.json:1", "the file is not valid JSON (Extra data, at character 17)"),
        ("a.json", "[]", "a.json:1", "the list has no rows"),
        ("a.json", b'[{"text":\n "\xff"}]', "a.json:2", "the line is not UTF-8 (0xff)"),
        (
            "a.json",
            '{"text": "x"}\n{"text": "y"}\n',
            "a.json:1",
            "a .json file must be one list of rows in brackets; if it has one row per line, name it .jsonl",
        ),
        ("a.csv", 'text,more\n"a\nb",c\nd\n', "a.csv:4", "the row has 1 cells and the first line names 2 columns"),
        ("a.csv", "text\n", "a.csv:1", "there are no rows below the line with the columns' names"),
        ("a.csv", 'text\na\n"b\n', "a.csv:3", "the row is not valid CSV (unexpected end of data); nothing below was read"),
        ("a.txt", b"one\n\n\xff\n", "a.txt:3", "byte 1 of the line is not UTF-8 (0xff)"),
    ],
)
def test_a_line_that_is_no_row_is_named(tmp_path: Path, name: str, content: str | bytes, place: str, message: str) -> None:
    faults = [row for row in read(written(tmp_path, name, content)) if isinstance(row, Fault)]
    assert [(fault.place, fault.message) for fault in faults] == [(place, message)]


def test_rows_after_a_broken_line_are_read(tmp_path: Path) -> None:
    rows = read(written(tmp_path, "a.jsonl", '{"text": "x"}\n{\n{"text": "y"}\n'))
    assert [type(row) for row in rows] == [Row, Fault, Row]


def test_a_parquet_row_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    raw = pa.array([b"one", b"\xff\xfe", b"three"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    pq.write_table(pa.table({"text": text}), tmp_path / "rows.parquet")
    rows = read(tmp_path / "rows.parquet")
    assert [row.values["text"] if isinstance(row, Row) else row.place for row in rows] == ["one", "rows.parquet:2", "three"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.jsonl", "", "a.jsonl is empty; put rows into it or take it out of the data."),
        ("a.jsonl", "\n \n", "a.jsonl holds only blank lines; put rows into it or take it out of the data."),
        ("a.csv", "", "a.csv is empty; put rows into it or take it out of the data."),
    ],
)
def test_an_empty_file_is_refused(tmp_path: Path, name: str, content: str, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        plan_files([source(written(tmp_path, name, content))])
    assert (refused.value.reason, refused.value.message) == ("DataRefused", sentence)


def test_a_parquet_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"^a\.parquet is no readable Parquet file \(.+\); write it again\.$"):
        plan_files([source(written(tmp_path, "a.parquet", "no parquet"))])


def test_a_json_file_too_large_to_be_read_whole_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "a.json", "[")
    with path.open("r+b") as file:
        file.truncate(2**31)
    with pytest.raises(
        Refused, match=r"^a\.json has 2\.0 GiB, and a \.json file must be read whole; write one row per line, as \.jsonl\.$"
    ):
        plan_files([source(path)])
