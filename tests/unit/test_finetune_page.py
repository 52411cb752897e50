"""`report.html`: everything about a run on one page, which loads nothing, runs nothing, and never costs the run anything."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from hatchling.builders.wheel import WheelBuilder
from typing_extensions import override

from raysmith.api import layout
from raysmith.api.record import RunRecord
from raysmith_workloads.finetune.page import page, write_page
from run_records import NOW, run_record

ROOT = Path(__file__).parents[2]
POINTS = [{"step": step, "loss": 3 / step, "learningRate": 1e-3 / step} for step in range(1, 51)]
SCRIPT = "<script>alert('x')</script>"
WITHOUT_END = frozenset(["meta", "br"])


def verdict(metric: str, *, passed: bool, message: str) -> dict[str, Any]:
    return {"gate": {"metric": metric, "min": 0.9}, "value": 0.985, "baseValue": 0.0, "passed": passed, "message": message}


def whole_record(text: str, **changes: Any) -> RunRecord:
    """A record in which every text that rows, models and users choose says `text`, too."""
    split = {"rows": 15680, "sequences": 4021, "tokens": 1041822, "supervisedTokens": 311204, "truncatedRows": 2}
    failure = {"reason": "OutOfMemory", "message": f"The worker was killed. {text}", "time": NOW.isoformat()}
    fields = {
        "name": "dates",
        "spec": {"model": {"source": f"file://{text}"}, "training": {"learningRate": 2e-4}, "engine": {"flag": "2e-4"}},
        "base": {"source": f"hf://acme/base{text}", "digest": "sha256:" + "b" * 64},
        "data": {
            "digest": "d",
            "dataDigest": "d",
            "train": split,
            "validation": {},
            "maxLength": 256,
            "notes": [f"Cut. {text}"],
        },
        "baseMetrics": {"validationLoss": 6.9134, "exactMatch": 0.0},
        "tunedMetrics": {"validationLoss": 0.0312, "exactMatch": 0.985},
        "gate": [verdict("ExactMatch", passed=True, message=f"The exact match is 0.985. {text}")],
        "message": f"The gate is passed. {text}",
        "samples": [
            {"prompt": f"2026-03-14 {text}", "expected": f"fourteen {text}", "base": f"the {text}", "tuned": f"fourteen {text}"}
        ],
        "attempts": [
            {"number": 1, "startTime": NOW.isoformat(), "failure": failure},
            {"number": 2, "startTime": NOW.isoformat(), "resumedFromStep": 1450},
        ],
        "versions": {"ray": "2.60.0"},
    }
    return run_record(**(fields | changes))


class Read(HTMLParser):
    """A page as a browser takes it: its elements, its attributes, the text of each element."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == [], "every element is closed"

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in WITHOUT_END:
            self._open.append(tag)

    @override
    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    @override
    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    @override
    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style" and data.strip():
            self.texts.append(" ".join(data.split()))

    def shows(self, words: str) -> bool:
        return words in " ".join(self.texts)


@pytest.fixture(scope="module")
def source() -> str:
    """The page of a run that has everything to tell."""
    return page(whole_record(""), POINTS)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("dates", id="the name"),
        pytest.param("Gate passed The gate is passed.", id="the gate's verdict"),
        pytest.param("✓ held The exact match is 0.985.", id="the verdict on a metric"),
        pytest.param("Validation loss base 6.913 tuned 0.031", id="a loss of both models side by side"),
        pytest.param("Exact match base 0.0 % 0.0 % tuned 98.5 % 98.5 %", id="a share, with its bar"),
        pytest.param(
            "2026-03-14 expected fourteen base ✗ wrong the tuned ✓ right fourteen", id="question, expected and both answers"
        ),
        pytest.param("training loss, smoothed", id="the curve, its text as text"),
        pytest.param("training validation rows 15,680 0 sequences 4,021 0 tokens 1,041,822 0", id="the data's counts"),
        pytest.param("Cut.", id="the data's notes"),
        pytest.param("OutOfMemory : The worker was killed.", id="why an attempt ended"),
        pytest.param("on from the checkpoint after step 1,450 ended with the result", id="where the next one went on"),
        pytest.param("ray 2.60.0", id="versions"),
        pytest.param("hf://acme/base", id="what it started from"),
    ],
)
def test_the_page_shows(source: str, words: str) -> None:
    assert Read(source).shows(words)


def test_the_spec_can_be_taken_from_the_page_and_applied_again(source: str) -> None:
    (shown,) = re.findall(r"<pre>(.*?)</pre>", source, re.DOTALL)
    document = yaml.safe_load(shown.replace("&#34;", '"'))
    assert (document["kind"], document["metadata"]["name"]) == ("LLMFineTune", "dates")
    assert document["spec"]["training"] == {"learningRate": 2e-4}
    assert "flag: &#34;2e-4&#34;" in shown, "kubectl would read a number"


def test_what_rows_and_models_say_is_text_and_nothing_else() -> None:
    found = Read(page(whole_record(SCRIPT), POINTS))
    assert "script" not in found.tags
    assert sum(text.count(SCRIPT) for text in found.texts) == 10, "every one of them is shown as it is"


def test_the_page_needs_no_network_and_allows_no_script(source: str) -> None:
    found = Read(source)
    names = {name for name, _ in found.attributes}
    assert not names & {"src", "srcset", "action", "onload", "onerror"}
    assert all(value and value.startswith("#") for name, value in found.attributes if name in ("href", "xlink:href"))
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in found.attributes


def test_colours_follow_the_readers_choice_of_light_or_dark_in_the_curve_too(source: str) -> None:
    style, curve = source.partition("</style>")[0], source.partition("<svg")[2].partition("</svg>")[0]
    assert "prefers-color-scheme: dark" in style
    assert re.findall("#[0-9a-f]{6}", curve) == []
    assert {f"--{name}:" for name in re.findall(r"var\(--(\w+)\)", curve)} <= set(re.findall(r"--\w+:", style))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gate": [], "message": "No gate was asked for."}, "No gate No gate was asked for."),
        ({"promoted": False, "message": "The gate is not passed."}, "Gate missed The gate is not passed."),
        ({"baseMetrics": {}, "tunedMetrics": {}, "gate": []}, "Nothing was measured: the run has no validation rows."),
        ({"samples": [{"prompt": "?", "base": " ", "tuned": "!"}]}, "base (nothing) tuned !"),
    ],
    ids=["without a gate", "a missed gate", "without validation", "an empty answer, with nothing to hold it against"],
)
def test_a_run_that_has_less_to_tell_tells_that(changes: dict[str, Any], words: str) -> None:
    assert Read(page(whole_record("", **changes), POINTS)).shows(words)


def test_it_lies_beside_the_record(tmp_path: Path) -> None:
    write_page(tmp_path, whole_record(""), POINTS)
    assert [path.name for path in tmp_path.iterdir()] == [layout.REPORT]


@pytest.mark.parametrize(
    ("taken", "points"),
    [(True, POINTS), (False, []), (False, [{"step": 1}])],
    ids=["where it cannot be written", "where there is no curve", "where the curve is damaged"],
)
def test_a_report_that_cannot_be_made_is_said_and_does_no_harm(
    taken: bool, points: list[dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if taken:
        (tmp_path / layout.REPORT).mkdir()
    before = list(tmp_path.iterdir())
    write_page(tmp_path, whole_record(""), points)
    assert list(tmp_path.iterdir()) == before, "nothing half is left"
    assert "report.html cannot be written" in caplog.text
    assert "the run is complete without it" in caplog.text


def test_the_template_comes_along_in_the_package() -> None:
    included = {file.distribution_path for file in WheelBuilder(str(ROOT / "workloads")).recurse_included_files()}
    assert "raysmith_workloads/finetune/page.html.jinja" in included
