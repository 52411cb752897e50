"""Bad input on the command line: one sentence with place and remedy, exit code 2, no traceback, nothing written."""

import errno
import os
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from raysmith.admission import Rejected, admit
from raysmith.cli.errors import os_error_sentence
from raysmith.cli.main import app
from raysmith.fieldpath import above

TUNE = """\
apiVersion: raysmith.io/v1alpha1
kind: LLMFineTune
metadata:
  name: tune
spec:
  model: {source: "builtin://tiny"}
  data:
    train:
      - name: rows
        source: "file://rows.jsonl"
  method: {full: {}}
"""
SERVICE = """\
apiVersion: raysmith.io/v1alpha1
kind: LLMService
metadata:
  name: chat
spec:
  model: {source: "file://model"}
  access: {anonymous: {}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    (tmp_path / "rows.jsonl").write_text('{"prompt": "1", "completion": "one"}\n')
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "tune.yaml").write_text(TUNE)
    (tmp_path / "service.yaml").write_text(SERVICE)
    return tmp_path


def raysmith(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def refused(*arguments: str) -> list[str]:
    """The sentences that the command ends with."""
    done = raysmith(*arguments)
    assert done.exit_code == 2, done.output
    assert not Path("raysmith-data").exists(), "nothing is written"
    lines = done.stderr.splitlines()
    assert all(line.startswith("error: ") and line.endswith((".", ".)", "?")) for line in lines), lines
    return [line.removeprefix("error: ") for line in lines]


@pytest.mark.parametrize("command", ["run", "validate", "render"])
@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        pytest.param("  method:", "  methods: {}\n  method:", "tune.yaml:11: ", "methods", id="an unknown field"),
        pytest.param("name: tune", "name: " + "n" * 48, "tune.yaml:4: ", "47", id="a name of 48 characters"),
        pytest.param('{source: "builtin://tiny"}', "{source: 7}", "tune.yaml:6: ", "spec.model.source", id="a wrong type"),
        pytest.param(
            '{source: "builtin://tiny"}',
            '{source: "builtin://tiny", fineTune: {name: x}}',
            "tune.yaml:6: ",
            "exactly one of source and fineTune",
            id="two sources at once",
        ),
        pytest.param("{full: {}}", "{qlora: {}}", "tune.yaml:11: ", "QLoRA is not built yet", id="a field that is not built"),
        pytest.param("kind: LLMFineTune", "kind: LLMFinetune", "tune.yaml:2: ", "LLMFineTune", id="an unknown kind"),
    ],
)
def test_a_wrong_object_is_refused_with_file_and_line(
    folder: Path, command: str, old: str, new: str, place: str, words: str
) -> None:
    (folder / "tune.yaml").write_text(TUNE.replace(old, new))
    (sentence,) = refused(command, "tune.yaml")
    assert sentence.startswith(place)
    assert words in sentence


def test_all_problems_of_all_objects_are_told_at_once(folder: Path) -> None:
    (folder / "tune.yaml").write_text(TUNE.replace("{full: {}}", "{full: {}, lora: {}}").replace("name: tune", "name: Tune"))
    (folder / "service.yaml").write_text(SERVICE.replace("access:", "acces:"))
    places = [sentence.split(": ")[0] for sentence in refused("validate", ".")]
    assert set(places) == {"service.yaml:5", "service.yaml:7", "tune.yaml:4", "tune.yaml:11"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["run", "gone.yaml"], "gone.yaml", id="a missing object file"),
        pytest.param(["run", "model"], "model", id="a folder without objects"),
        pytest.param(["diff", "gone.yaml", "tune.yaml"], "gone.yaml", id="a missing old file"),
        pytest.param(["status"], "no run lies in", id="status without runs"),
        pytest.param(["status", "--data-dir", "rows.jsonl"], "is a file", id="a data folder that is a file"),
        pytest.param(["status", "--storage", "gone"], "is no folder", id="a storage that is not mounted"),
        pytest.param(["logs", "tune"], "no run of tune lies in", id="logs of an unknown run"),
        pytest.param(["chat", "hello"], "no service was started", id="chat without a service"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(folder: Path, arguments: list[str], words: str) -> None:
    (sentence,) = refused(*arguments)
    assert words in sentence


def test_a_missing_data_file_is_refused_before_anything_starts(folder: Path) -> None:
    (folder / "rows.jsonl").unlink()
    (sentence,) = refused("run", "tune.yaml")
    path = folder / "rows.jsonl"
    assert sentence == (
        f"tune.yaml:10: spec.data.train[0].source: file://{path} is {path} on this machine, which does not exist; "
        "correct the address or put it there."
    )


def test_a_missing_file_of_a_claim_is_refused_with_its_place_on_this_machine(folder: Path) -> None:
    (folder / "tune.yaml").write_text(TUNE.replace("file://rows.jsonl", "pvc://datasets/rows.jsonl"))
    (sentence,) = refused("run", "tune.yaml")
    assert f"is {folder}/raysmith-data/volumes/datasets/rows.jsonl on this machine" in sentence


@pytest.mark.parametrize("name", ["gone*.jsonl", "a**b.jsonl", "**", "[a-", "mo*/config.json"])
def test_a_pattern_that_matches_no_file_is_refused_as_a_file_that_is_not_there(folder: Path, name: str) -> None:
    (folder / "tune.yaml").write_text(TUNE.replace("file://rows.jsonl", f"file://{name}"))
    (sentence,) = refused("run", "tune.yaml")
    assert sentence.endswith(f"{name} on this machine, which does not exist; correct the address or put it there.")


def test_a_claim_of_a_name_that_no_claim_has_is_not_taken_for_a_path_of_this_machine(folder: Path) -> None:
    (folder / "tune.yaml").write_text(TUNE.replace("file://rows.jsonl", "pvc://My_Data/rows.jsonl"))
    (sentence,) = refused("validate", "tune.yaml")
    assert sentence.startswith("tune.yaml:10: spec.data.train[0].source names the claim 'My_Data', and a claim's name must")


def test_what_a_terminal_would_obey_is_shown_and_not_done(folder: Path) -> None:
    (folder / "tune.yaml").write_text(TUNE + '  "a\\e[31m\\nb": 1\n')
    (sentence,) = refused("validate", "tune.yaml")
    assert sentence.startswith(r"tune.yaml:12: spec[a\u001b[31m\nb] is an unknown field")


def test_an_object_that_stands_there_twice_is_refused_with_both_places(folder: Path) -> None:
    (folder / "again.yaml").write_text(TUNE)
    (sentence,) = refused("run", "again.yaml", "tune.yaml")
    assert sentence.startswith("tune.yaml:4: ")
    assert "again.yaml:4" in sentence


def test_a_secret_for_the_hub_comes_from_the_environment(folder: Path) -> None:
    model = '{source: "hf://owner/name", secretRef: {name: hub}}'
    (folder / "tune.yaml").write_text(TUNE.replace('{source: "builtin://tiny"}', model))
    (sentence,) = refused("run", "tune.yaml")
    assert sentence.startswith("tune.yaml:6: spec.model.secretRef: ")
    assert "set HF_TOKEN" in sentence


def test_an_output_outside_of_its_claim_is_refused(folder: Path) -> None:
    (folder / "tune.yaml").write_text(TUNE + '  output: {storage: "pvc://../../etc"}\n')
    (sentence,) = refused("run", "tune.yaml")
    assert sentence.startswith("tune.yaml:12: spec.output.storage")
    assert "'..'" in sentence


def test_a_port_in_use_is_refused_before_anything_starts(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (sentence,) = refused("run", "service.yaml", "--port", str(port))
    assert sentence == f"port {port} is in use; stop what listens there, or choose another one with --port."


def test_nothing_answers_is_a_sentence(folder: Path) -> None:
    done = raysmith("chat", "--url", "http://127.0.0.1:9/v1", "--model", "x", "hello")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: nothing answers at http://127.0.0.1:9/v1; ")


@pytest.mark.parametrize(
    ("data_dir", "words"),
    [
        pytest.param("rows.jsonl", "name another path", id="a file in its place"),
        pytest.param("/sys/raysmith", "no permission", id="no permission to make it"),
    ],
)
def test_a_data_folder_that_cannot_be_written_is_a_sentence(folder: Path, data_dir: str, words: str) -> None:
    done = raysmith("run", "tune.yaml", "--data-dir", data_dir)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert data_dir in line
    assert words in line


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EDQUOT, "the quota is used up"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "this user has no permission"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_what_the_system_refuses_is_a_sentence_with_its_path(number: int, words: str) -> None:
    sentence = os_error_sentence(OSError(number, os.strerror(number), "/data/run.json"))
    assert sentence.startswith(f"/data/run.json cannot be used: {words}")
    assert sentence.endswith(".")


def test_a_damaged_record_is_a_sentence_with_its_file(folder: Path) -> None:
    run = folder / "raysmith-data" / "volumes" / "store" / "default" / "tune-12345678"
    run.mkdir(parents=True)
    (run / "object.json").write_text("{")
    done = raysmith("status")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {run}/object.json is damaged")


def test_a_damaged_list_of_storages_is_a_sentence_with_its_file(folder: Path) -> None:
    (folder / "raysmith-data").mkdir()
    (folder / "raysmith-data" / "storages.json").write_text("7")
    done = raysmith("status")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {folder}/raysmith-data/storages.json is damaged; delete it")


def test_an_unforeseen_fault_is_one_line_and_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object) -> None:
        raise KeyError("unforeseen")

    monkeypatch.setattr("raysmith.cli.load.load", break_down)
    done = raysmith("render", "tune.yaml")
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: this is a fault of Raysmith itself (KeyError: 'unforeseen'); please report it with ")
    story = Path(line.removesuffix(".").rpartition(" ")[2])
    assert "Traceback" in story.read_text()
    story.unlink()


@pytest.mark.parametrize(
    "url", ["", "foo", "ftp://x/v1", "http://127.0.0.1:99999/v1", "http://[::1/v1", "http://no such/v1"], ids=repr
)
def test_chat_refuses_an_address_that_is_none(url: str) -> None:
    done = raysmith("chat", "hello", "--url", url)
    assert done.exit_code == 2
    assert f"--url must be an address such as http://127.0.0.1:8000/v1, not '{url}'." in done.stderr


@pytest.mark.parametrize(
    ("argument", "field"),
    [
        pytest.param('""', "spec.engine.args[]", id="none"),
        pytest.param("a.b", "spec.engine.args[a.b]", id="with a dot"),
        pytest.param('"a]b"', "spec.engine.args[a]b]", id="with a bracket"),
    ],
)
def test_an_argument_of_an_odd_name_is_refused_with_its_line(folder: Path, argument: str, field: str) -> None:
    (folder / "service.yaml").write_text(f"{SERVICE}  engine:\n    args:\n      {argument}: x\n")
    (sentence,) = refused("validate", "service.yaml")
    assert sentence.startswith(f"service.yaml:10: {field} is refused: ")


@pytest.mark.parametrize("path", ["a[]", "a[b]c]", "a.", "a]", "[", "."])
def test_what_a_field_stands_in_is_found_whatever_its_name_is(path: str) -> None:
    seen = [path]
    while seen[-1]:
        seen.append(above(seen[-1]))
        assert len(seen[-1]) < len(seen[-2])


def test_a_kind_that_is_a_list_is_refused_with_a_sentence() -> None:
    with pytest.raises(Rejected, match="kind must be LLMFineTune or LLMService"):
        admit({"apiVersion": "raysmith.io/v1alpha1", "kind": ["Pod"]})


def test_logs_takes_a_name_for_a_name_and_not_for_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "services" / "1").mkdir(parents=True)
    (tmp_path / "services" / "1" / "secret.json").write_text("{}")
    done = raysmith("logs", "**", "--data-dir", str(tmp_path))
    assert done.exit_code == 2
    assert "no run of ** lies in" in done.stderr
