"""Which object is run when, and what is said about references that lead nowhere."""

from pathlib import Path
from typing import Any

import pytest

from raysmith.api import KINDS
from raysmith.cli.load import Loaded
from raysmith.cli.order import in_order, reference_problems
from raysmith.manifest import Document


def finetune(name: str, base: str | None = None, namespace: str = "default") -> Loaded:
    model: dict[str, Any] = {"fineTune": {"name": base}} if base else {"source": "builtin://tiny"}
    data = {"train": [{"name": "text", "source": "builtin://python-docs"}]}
    return loaded("LLMFineTune", name, {"model": model, "data": data, "method": {"full": {}}}, namespace)


def service(name: str, base: str, adapters: dict[str, str] | None = None) -> Loaded:
    named = [{"name": adapter, "fineTune": {"name": run}} for adapter, run in (adapters or {}).items()]
    return loaded("LLMService", name, {"model": {"fineTune": {"name": base}}, "adapters": named, "access": {"anonymous": {}}})


def loaded(kind: str, name: str, spec: dict[str, Any], namespace: str = "default") -> Loaded:
    data = {
        "apiVersion": "raysmith.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
    lines = {"": 1, "metadata.name": 4, "spec.model.fineTune.name": 6, "spec.adapters[0].fineTune.name": 9}
    return Loaded(Document(Path(f"{name}.yaml"), data, lines), KINDS[kind].model_validate(data))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param([finetune("a"), finetune("b")], ["a", "b"], id="runs without references stay in the order of the files"),
        pytest.param([finetune("b", "a"), finetune("a")], ["a", "b"], id="a run comes after the one that it goes on from"),
        pytest.param(
            [finetune("c", "b"), finetune("b", "a"), finetune("a")], ["a", "b", "c"], id="a chain runs from its start"
        ),
        pytest.param(
            [finetune("b", "elsewhere"), finetune("a")], ["b", "a"], id="a reference to an earlier run orders nothing"
        ),
    ],
)
def test_runs_are_ordered_by_reference(given: list[Loaded], expected: list[str]) -> None:
    assert [loaded.obj.metadata.name for loaded in in_order(given)] == expected


def test_services_are_not_among_the_runs() -> None:
    assert [loaded.obj.metadata.name for loaded in in_order([service("s", "a"), finetune("a")])] == ["a"]


@pytest.mark.parametrize(
    ("given", "place", "words"),
    [
        pytest.param(
            [finetune("b", "a")], "b.yaml:6: spec.model.fineTune.name", "LLMFineTune a is not among", id="an unknown run"
        ),
        pytest.param([service("s", "a")], "s.yaml:6: spec.model.fineTune.name", "add its file", id="an unknown served run"),
        pytest.param(
            [finetune("a"), service("s", "a", {"x": "gone"})],
            "s.yaml:9: spec.adapters[0].fineTune.name",
            "LLMFineTune gone is not among",
            id="an unknown adapter",
        ),
        pytest.param(
            [finetune("a", "b"), finetune("b", "a")], "yaml:6: spec.model.fineTune.name", "in a circle", id="a circle of two"
        ),
        pytest.param([finetune("a", "a")], "a.yaml:6: spec.model.fineTune.name", "(a -> a)", id="a run on itself"),
        pytest.param(
            [finetune("a", namespace="other"), finetune("b", "a")],
            "b.yaml:6: spec.model.fineTune.name",
            "not among",
            id="a run in another namespace",
        ),
    ],
)
def test_a_reference_that_leads_nowhere_is_a_sentence_with_its_place(given: list[Loaded], place: str, words: str) -> None:
    (sentence,) = reference_problems(given, set())
    assert place in sentence
    assert words in sentence


def test_a_finished_run_may_be_referred_to_without_its_file() -> None:
    assert reference_problems([service("s", "a")], {("default", "a")}) == []
