"""Sources that name nothing, or nothing that can be used: refused by every command and by the operator, in the same words."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from objects import finetune, service
from raysmith.api import KINDS, LLMFineTune
from raysmith.api.builtin import DATA_SETS
from raysmith.cli.main import app
from raysmith.config import Settings
from raysmith.render import rendered
from raysmith_workloads.prepare.builtin import BUILTIN

DOCS = {"name": "docs", "source": "builtin://python-docs"}
DATES = {"name": "dates", "source": "builtin://dates-us"}
KNOWN = "there are builtin://python-docs, builtin://dates-in-words, builtin://dates-us, builtin://dates-german."


def run(**spec: Any) -> dict[str, Any]:
    return finetune(**({"data": {"train": [DOCS]}} | spec))


REFUSED = {
    "another model": (
        run(model={"source": "builtin://other"}),
        "spec.model.source: builtin://other is no model that comes with Raysmith; there is builtin://tiny.",
    ),
    "a data set for a model": (
        run(model={"source": "builtin://python-docs"}),
        "spec.model.source: builtin://python-docs is no model that comes with Raysmith; there is builtin://tiny.",
    ),
    "other rows": (
        run(data={"train": [DOCS, DATES | {"source": "builtin://nonsense"}]}),
        f"spec.data.train[1].source: builtin://nonsense is no data set that comes with Raysmith; {KNOWN}",
    ),
    "a model for rows": (
        run(data={"train": [DOCS], "validation": {"datasets": [DATES | {"source": "builtin://tiny"}]}}),
        f"spec.data.validation.datasets[0].source: builtin://tiny is no data set that comes with Raysmith; {KNOWN}",
    ),
    "a model on the hub without an owner": (
        run(model={"source": "hf://gpt2"}),
        "spec.model.source: hf://gpt2 is not the address of a model; write hf://owner/name[@revision].",
    ),
    "a data set for a model on the hub": (
        service(model={"source": "hf://datasets/owner/name"}),
        "spec.model.source: hf://datasets/owner/name is not the address of a model; write hf://owner/name[@revision].",
    ),
    "an adapter on the hub without an owner": (
        service(adapters=[{"name": "a", "source": "hf://adapter"}]),
        "spec.adapters[0].source: hf://adapter is not the address of a model; write hf://owner/name[@revision].",
    ),
    "a model for rows on the hub": (
        run(data={"train": [DOCS | {"source": "hf://owner/name"}]}),
        (
            "spec.data.train[0].source: hf://owner/name is not the address of a data set; write "
            "hf://datasets/owner/name[/path][@revision]."
        ),
    ),
    "an adapter on random weights": (
        run(method={"lora": {}}),
        ("spec.method.lora: builtin://tiny starts from random weights, and an adapter on them teaches nothing; use full: {}."),
    ),
    "a served shape": (
        service(model={"source": "builtin://tiny"}),
        (
            "spec.model.source: nothing at builtin:// can be served, for builtin://tiny is only a shape with random weights; "
            "train it with an LLMFineTune and name that in fineTune."
        ),
    ),
    "an adapter that comes with Raysmith": (
        service(adapters=[{"name": "a", "source": "builtin://tiny"}]),
        (
            "spec.adapters[0].source: no adapter comes with Raysmith; train one with an LLMFineTune that has method.lora, "
            "and name that in fineTune."
        ),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_operator_refuses(case: str) -> None:
    document, sentence = REFUSED[case]
    assert rendered(KINDS[document["kind"]].model_validate(document), Settings()) == ([], [sentence])


@pytest.mark.parametrize("command", ["validate", "render", "run"])
@pytest.mark.parametrize("case", REFUSED)
def test_the_command_line_refuses(case: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document, sentence = REFUSED[case]
    monkeypatch.chdir(tmp_path)
    Path("all.json").write_text(json.dumps(document))
    done = CliRunner().invoke(app, [command, "all.json"], catch_exceptions=False)
    assert (done.exit_code, done.stderr) == (2, f"error: all.json:1: {sentence}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["all.json"], "nothing is written"


def test_the_names_in_the_api_are_those_of_the_data_sets() -> None:
    assert list(DATA_SETS) == list(BUILTIN)


def chain(*lengths: int | None, model: dict[str, Any] | None = None) -> list[LLMFineTune]:
    """Runs that go on from one another, each with its maxLength, or without one; the first from `model` or the small shape."""
    made = []
    for number, length in enumerate(lengths):
        data = {"train": [DOCS]} | ({"maxLength": length} if length else {})
        start = {"fineTune": {"name": f"run{number - 1}"}} if number else model or {"source": "builtin://tiny"}
        made.append(LLMFineTune.model_validate(finetune(name=f"run{number}", data=data, model=start)))
    return made


@pytest.mark.parametrize(
    ("lengths", "sentence"),
    [
        pytest.param(
            (512, None),
            (
                "spec.data.maxLength is 2048, the default, but the model of LLMFineTune run0 is made for 1024 tokens; "
                "set maxLength to 1024 or less here, or to 2048 there."
            ),
            id="left out, and the model is made for 1,024",
        ),
        pytest.param(
            (1500, 512, 1501),
            (
                "spec.data.maxLength is 1501, but the model of LLMFineTune run0 is made for 1500 tokens; "
                "set maxLength to 1500 or less here, or to 1501 there."
            ),
            id="one more than what was made two runs before",
        ),
        pytest.param((None,), None, id="the small shape is made as long as asked for"),
        pytest.param((512, 1024), None, id="as much as any small shape can read"),
        pytest.param((None, None), None, id="left out in both"),
        pytest.param((4096, 4096), None, id="as long as the run before"),
    ],
)
def test_what_goes_on_from_the_small_shape_reads_no_longer_sequences(lengths: tuple[int, ...], sentence: str | None) -> None:
    *earlier, last = chain(*lengths)
    refused = rendered(last, Settings(), {run.metadata.name: run for run in earlier})[1]
    assert refused == ([sentence] if sentence else [])


def test_a_run_that_goes_on_from_another_model_or_an_unknown_one_or_itself_is_not_judged() -> None:
    elsewhere = chain(512, 4096, model={"source": "pvc://models/base"})
    unknown = chain(512, 4096)
    circle = chain(512, 4096, model={"fineTune": {"name": "run1"}})
    for runs, known in ((elsewhere, elsewhere), (unknown, []), (circle, circle)):
        assert rendered(runs[-1], Settings(), {run.metadata.name: run for run in known})[1] == []
