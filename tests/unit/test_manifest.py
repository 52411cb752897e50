"""Object files mean to Raysmith what they mean to kubectl, and a file that cannot be read gets one sentence."""

import json
import os
import re
import subprocess
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from raysmith import kubeyaml
from raysmith.kubeyaml import scalar
from raysmith.manifest import Document, ManifestError, read
from support import require

# Text that people write without quotes, and that YAML 1.1, YAML 1.2, Go and Python read in different ways.
TRICKY = [
    *(
        "2e-4",
        "1e3",
        "1.0",
        "-0.0",
        ".5",
        "-.5",
        "+.5",
        "5.",
        "1e",
        "1e+",
        ".e1",
        "1e400",
        "1e-400",
        "6.02E+23",
        "1.e2",
        "0.1e1",
    ),
    *(
        "012",
        "08",
        "0o14",
        "0O14",
        "0b11",
        "0B11",
        "0x1F",
        "0XfF",
        "-0x1f",
        "+12",
        "-0",
        "00",
        "0b",
        "0x",
        "0o8",
        "0b2",
        "-0b1",
    ),
    *("1_000", "1_0.5", "1_", "_1", "1__0", "0x_1", "._5", "1,000", "0_8"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551616"),
    *("0xFFFFFFFFFFFFFFFF", "0x10000000000000000", "+18446744073709551615", "0777777777777777777777777"),
    *("1e20", "1e21", "1152921504606847000.0", "1e18", "123456789012345678.5", "0.30000000000000004"),
    *(
        "yes",
        "Yes",
        "YES",
        "yEs",
        "no",
        "No",
        "on",
        "On",
        "off",
        "OFF",
        "y",
        "Y",
        "n",
        "N",
        "true",
        "True",
        "TRUE",
        "tRue",
        "false",
    ),
    *("~", "null", "Null", "NULL", "nULL", "none", "None", "nil"),
    *("12:30", "190:20:30", "1:1.5", "2026-01-01", "2026-01-01T10:00:00Z", "2026-1-1 10:00:00", "2001-12-14 21:59:43.10 -5"),
    *(
        "=",
        "<<",
        "a b",
        "é",
        "file://x",
        "a#b",
        "a:b",
        "1.2.3",
        "v1",
        "1a",
        "\u0661",
        "+",
        "-a",
        ".",
        "..",
        "...a",
        "inf",
        "nan",
        "Infinity",
    ),
]


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def _write(content: str | bytes, name: str = "a.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _write


def data(path: Path) -> Any:
    (document,) = read([path])
    return document.data


def complaint(*paths: Path) -> str:
    with pytest.raises(ManifestError) as error:
        read(paths)
    return str(error.value)


# What kubectl says


def kubectl_reads(path: Path) -> list[dict[str, Any]] | None:
    """The objects of the file as kubectl reads them, or None if it refuses the file."""
    command = [require("kubectl"), "label", "--local", "-f", str(path), "raysmith-test=1", "-o", "json"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(path.parent), "KUBECONFIG": str(path.parent / "none")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        return None
    decoder, rest, objects = json.JSONDecoder(), done.stdout.strip(), []
    while rest:
        found, end = decoder.raw_decode(rest)
        del found["metadata"]["labels"]
        objects.append(found)
        rest = rest[end:].strip()
    return objects


# Too long for names of fields.
LONG = ["9" * 5000, "0x" + "f" * 5000, "0" * 5000 + "7", "-" + "1" * 4400, "1" * 300, "0." + "3" * 5000]


def raysmith_reads(path: Path) -> list[dict[str, Any]]:
    return [document.data for document in read([path])]


def same(ours: Any, theirs: Any) -> bool:
    """Equal with types, but for whole numbers beyond 64 bits, of which kubectl's output does not show that they are doubles."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, float) and isinstance(theirs, int) and abs(ours) >= 2**63:
        theirs = float(theirs)
    return type(ours) is type(theirs) and bool(ours == theirs)


JSON_HEAD = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}'
HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def test_kubectl_reads_every_tricky_scalar_the_same(write: Any) -> None:
    texts = [*TRICKY, *LONG]
    path = write(HEAD + "data:\n" + "".join(f"- {text}\n" for text in texts))
    (theirs,) = kubectl_reads(path) or [{}]
    ours = data(path)
    assert {text: a for text, a, b in zip(texts, ours["data"], theirs["data"], strict=True) if not same(a, b)} == {}


def test_kubectl_reads_every_tricky_name_of_a_field_the_same(write: Any) -> None:
    names: dict[str, str] = {}
    for text in TRICKY:
        meaning = scalar(text)
        if isinstance(meaning, str | bool) or (isinstance(meaning, int) and not re.search("[.eE]|^0_?[89]", text)):
            names.setdefault(str(meaning), text)
    path = write(HEAD + "data:\n" + "".join(f"  {text}: 1\n" for text in names.values() if text != "<<"))
    assert same(raysmith_reads(path), kubectl_reads(path))


@pytest.mark.parametrize(
    "text",
    [
        "data: {a: 'it''s', b: \"\\u00e9\\x41\\n\\t\", c: ''}",
        "data: |\n  two\n  lines\n",
        "data: >-\n  one\n  line\n\n  two\n",
        "data: |+2\n    kept\n\n",
        "data:\n  x: &x {a: 1, b: [1, 2]}\n  z: *x\n",
        "data:\n  x: &x {a: 1, b: 2}\n  z: {<<: *x, a: 3}\n  q: {a: 3, <<: *x}\n",
        "data:\n  x: &x {a: 1}\n  w: &w {a: 2, b: 3}\n  z: {<<: [*x, *w]}\n  q: {'<<': 1}\n",
        "data: {1: a, true: b, 0x1F: c, 'no': d, no: e}",
        'data: {a: !!str 1, b: !!int "3", c: !!float 3, d: !!bool yes, e: ! 12}',
        "data: [a:b, {a: 1}, {a:1}, \"a\":1, 'a': 1, [], {}]",
        "data: {? a : 1, b}",
        "data:\n- - a\n  - b\n- {}\n-\n- # nothing\n",
        "data: a # comment\n# another",
        "data: a\n---\n# nothing\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n",
        "data: a\n--- # the next\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n...\n",
        "data: a\r\nmore: |\r\n  b\r\n  c\r\n",
        'data: "folded\n  here"\n',
        "data: plain\n  over two lines\n",
        'data: "\\\n  joined"\n',
    ],
)
def test_kubectl_reads_the_same_structure(write: Any, text: str) -> None:
    path = write(HEAD + text)
    theirs = kubectl_reads(path)
    if theirs is None or "!!" in text or "! " in text:
        assert "tag" in complaint(path)
    else:
        assert same(raysmith_reads(path), theirs)


@pytest.mark.parametrize(
    "text",
    [
        JSON_HEAD + ',\n\t"data": [1.0, 1e3, 12, 1e21, "\\ud83d\\ude00", null]}',
        JSON_HEAD + "}\n" + JSON_HEAD + "}",
        JSON_HEAD + ', "data": [12345678901234567890, -0, -0.0, 0.5]}',
    ],
)
def test_kubectl_reads_the_same_json(write: Any, text: str) -> None:
    path = write(text, "a.json")
    assert same(raysmith_reads(path), kubectl_reads(path))


@pytest.mark.parametrize(
    "text",
    [
        "data: .inf",
        "data: -.Inf",
        "data: .nan",
        "data: {~: 1}",
        "data: {[a]: 1}",
        "data: &a [*a]",
        "data: {a: b",
        "data: a: b",
        'data: "open',
        "data: *nowhere",
        "data:\n\t- a",
        "data: @a",
        "data: `a`",
        "data: %a",
        "data:\n  a: 1\n b: 2",
        "--- a: b",
        'data: "\\q"',
        "data: {<<: 1}",
        "data: \x01",
    ],
)
def test_what_kubectl_refuses_is_refused(write: Any, text: str) -> None:
    path = write(HEAD + text)
    assert kubectl_reads(path) is None
    assert complaint(path).startswith(f"{path}:")


# Only what stands where a plain scalar can stand; what a scalar means is the question here, not where it ends.
_plain = st.one_of(
    st.from_regex(r"\A[-+]?[0-9_]{1,6}(\.[0-9_]{0,3})?([eE][-+]?[0-9]{0,3})?\Z"),
    st.from_regex(r"\A[-+]?0[xXoObB]?[0-9a-fA-F_]{0,20}\Z"),
    st.from_regex(r"\A[-+]?\.[0-9_]{0,4}([eE][-+]?[0-9]{0,2})?\Z"),
    st.from_regex(r"\A[0-9]{1,4}[-:.][0-9]{1,2}[-:. T][0-9]{1,2}\Z"),
    st.sampled_from(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"]).flatmap(
        lambda word: st.sampled_from([word, word.title(), word.upper(), word + "s", word + "1"])
    ),
    st.integers(-(2**66), 2**66).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.text("ab01._-+eE~", min_size=1, max_size=6),
).filter(lambda text: text[0] not in "-?:" or len(text) > 1)
_safe = _plain.filter(lambda text: not text.startswith(("---", "...")) and text != "-")


@settings(max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(_safe, min_size=80, max_size=80))
def test_kubectl_reads_generated_scalars_the_same(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("scalars") / "a.yaml"
    path.write_text(HEAD + "data:\n" + "".join(f"- {text}\n" for text in texts))
    (theirs,) = kubectl_reads(path) or [{}]
    ours = data(path)
    assert {text: a for text, a, b in zip(texts, ours["data"], theirs["data"], strict=True) if not same(a, b)} == {}


# Not those like 1e5, which PyYAML writes without quotes and Raysmith refuses.
_names = st.text(max_size=8).filter(lambda text: text[:1] not in tuple("0123456789.+-"))
_json = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.text()
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_names, inner, max_size=4)),
    max_leaves=20,
)


@settings(max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(_json, min_size=10, max_size=10), st.booleans())
def test_kubectl_reads_generated_documents_the_same(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], flow: bool
) -> None:
    """Documents as PyYAML writes them: quoted, folded and escaped in its many ways."""
    path = tmp_path_factory.mktemp("documents") / "a.yaml"
    dumped = yaml.safe_dump(values, allow_unicode=True, default_flow_style=flow)
    path.write_text(f"{HEAD}data:\n{indent(dumped, '  ')}")
    assert same(raysmith_reads(path), kubectl_reads(path))


# Lines


def lines(document: Document, *fields: str) -> list[int]:
    return [document.line(field) for field in fields]


def test_every_field_has_its_line_and_a_missing_one_that_of_what_it_is_missing_in(write: Any) -> None:
    path = write(
        "apiVersion: raysmith.io/v1alpha1\nkind: LLMFineTune\nmetadata:\n  name: a\n  labels: {app.kubernetes.io/name: x}\n"
        "spec:\n  data:\n    train:\n    - name: a\n      source: file://a\n    -\n      name: b\n"
    )
    (document,) = read([path])
    fields = ["kind", "metadata.labels[app.kubernetes.io/name]", "spec.data.train[0].source", "spec.data.train[1].name"]
    assert lines(document, *fields) == [2, 5, 10, 12]
    assert lines(document, "spec.data.train[1].source", "spec.method", "status", "") == [12, 6, 1, 1]
    assert document.place("spec.data") == f"{path}:7"


def test_lines_count_from_the_top_of_the_file_in_every_document(write: Any) -> None:
    path = write("# one\na: 1\n---\n\nb: 2\n---\nc:\n  d: 4\n")
    first, second, third = read([path])
    assert (first.line("a"), second.line("b"), third.line("c.d")) == (2, 5, 8)


def test_fields_of_json_have_lines_too(write: Any) -> None:
    (first, second) = read([write('{"a": 1,\n\t"b": [1,\n\t2]}\n{"c":\n"d"}', "a.json")])
    assert lines(first, "a", "b", "b[1]") == [1, 2, 3]
    assert lines(second, "", "c") == [4, 4]


# Files


def test_files_come_in_the_order_given_and_a_folders_by_name(write: Any, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("b.yml", "a.json", "c.yaml", "d.txt"):
        write(json.dumps({"name": name}), f"folder/{name}")
    alone = write("name: z", "z.yaml")
    assert [document.data["name"] for document in read([alone, tmp_path / "folder"])] == ["z", "a.json", "b.yml", "c.yaml"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "{}: The file holds no object; write an LLMFineTune or an LLMService into it."),
        ("# only a comment\n---\n", "{}: The file holds no object; write an LLMFineTune or an LLMService into it."),
        (b"a: 1\nb: \xe9\n", "{}:2: The byte 0xe9 is not UTF-8; save the file as UTF-8."),
        ("a: 1\nb:\n\t- c\n", "{}:3: This is not YAML as kubectl reads it: there is a tab; YAML wants spaces."),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", "{}:4: This is not YAML as kubectl reads it: a.b is there twice; keep one of them."),
        ("1: a\n'1': b\n", "{}:2: This is not YAML as kubectl reads it: [1] is there twice; keep one of them."),
        (
            "a: b: c",
            (
                "{}:1: This is not YAML as kubectl reads it: a ':' is where no field can begin; check the indentation, and put "
                "text that has ': ' in it in quotes."
            ),
        ),
        ("a: 1\nb\nc: 2\n", "{}:2: This is not YAML as kubectl reads it: the name of a field has no ':' after it."),
        *(
            (
                text,
                (
                    "{}:2: This is not YAML as kubectl reads it: the line begins in another column than the fields or items "
                    "that it belongs to."
                ),
            )
            for text in ("a: {}\n  b: 1\n".format("{}"), "- 1\nb: 1\n")
        ),
        (
            'a: 1\nb: "one" two\n',
            "{}:2: This is not YAML as kubectl reads it: something follows where a value has ended; put all of it in quotes.",
        ),
        (
            'a: 1\nb: "C:\\qx"\n',
            (
                "{}:2: This is not YAML as kubectl reads it: a backslash in double quotes begins an escape; write two of them, "
                "or use single quotes."
            ),
        ),
        ("a: 1\nb: 'open\nc: 2\n", "{}:2: This is not YAML as kubectl reads it: a quote is opened and never closed."),
        ("a: 1\nb: {c: 1\n", "{}:2: This is not YAML as kubectl reads it: a bracket is opened and never closed."),
        ("1e5: a\n", "{}:1: This is not YAML as kubectl reads it: a field's name must be text; put it in quotes."),
        ("- a\n", "{}:1: An object must have fields (apiVersion, kind, metadata, spec)."),
        ("a: 1\n--- b: 2\n", "{}:2: '---' must stand on a line of its own, not before 'b: 2'."),
        ("a: .inf\n", "{}:1: This is not YAML as kubectl reads it: .inf is not a number that an object can hold."),
        (
            "a: !python/name:os.system x\n",
            "{}:1: This is not YAML as kubectl reads it: the tag !python/name:os.system is not part of an object.",
        ),
        *(
            (
                text,
                (
                    "{}:3: This is not YAML as kubectl reads it: the line does not belong to the object above it; "
                    "check its column, or put '---' before it."
                ),
            )
            for text in ("a: 1\n...\nb: 1\n", "a: 1\n...\nb\n", "\n  a: 1\nb: 1\n")
        ),
        ("a: \x00", "{}:1: This is not YAML as kubectl reads it: it holds the control character U+0000."),
        ('a: "\\ud83d"', "{}:1: This is not YAML as kubectl reads it: a \\u escape is half a surrogate pair."),
        ('{"a": 1,\n"b": 2,}', "{}:2: This is not JSON as kubectl reads it: {json}."),
        ('{"a": NaN}', "{}:1: This is not JSON as kubectl reads it: NaN is not a number that an object can hold."),
        ('{"a": 1e999}', "{}:1: This is not JSON as kubectl reads it: 1e999 is not a number that an object can hold."),
        (
            '{"a": ' + "9" * 5000 + "}",
            "{}:1: This is not JSON as kubectl reads it: " + "9" * 40 + "... is not a number that an object can hold.",
        ),
        ('{"a": 1,\n"a": 2}', "{}:2: This is not JSON as kubectl reads it: a is there twice; keep one of them."),
        ("a: " + "[" * 5000, "{}:1: This is not YAML as kubectl reads it: its values are nested too deeply."),
    ],
)
def test_a_file_that_cannot_be_read_gets_one_sentence_with_its_line(write: Any, content: str | bytes, message: str) -> None:
    path = write(content)
    said = complaint(path)
    if "{json}" in message:
        assert said.startswith(message.split("{json}", maxsplit=1)[0].format(path))
    else:
        assert said == message.format(path)


def test_aliases_that_explode_are_refused(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeyaml, "MOST_VALUES", 10_000)  # a million takes seconds
    levels = "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 8))
    path = write("a0: &a0 [x]\n" + levels)
    assert complaint(path).endswith("This is not YAML as kubectl reads it: its aliases expand to more than 10000 values.")


def test_a_missing_file_and_a_folder_without_yaml_are_named(tmp_path: Path) -> None:
    assert complaint(tmp_path / "none.yaml") == f"{tmp_path / 'none.yaml'}: There is no such file or folder; check the path."
    assert complaint(tmp_path) == f"{tmp_path}: The folder holds no .yaml, .yml or .json file; name the file itself."


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert complaint(tmp_path / "a.yaml") == f"{tmp_path / 'a.yaml'}: The file cannot be read: Permission denied."
