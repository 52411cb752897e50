"""`raysmith validate` and the API server say the same: every rule and bound, with objects that keep and that break it.

The API server speaks through its own code (tests/tools/apiserver-check), fed with the committed CRDs.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from admission_cases import ACCEPTED, HELD_BACK, MORE, REFUSED, ROWS
from objects import finetune, service
from raysmith.admission import admit, problems
from raysmith.api import KINDS, to_wire
from raysmith.crdgen.crd import root_schema
from raysmith.kubeyaml import as_json
from support import go_tool

REPOSITORY = Path(__file__).parents[2]
CRDS = sorted((REPOSITORY / "crds").glob("*.yaml"))
# Fields that the API has and this version does not do yet: there, only Raysmith says no.
NOT_BUILT = "not built yet"

IMMUTABLE: dict[str, Any] = {
    "model": {"fineTune": {"name": "other"}},
    "data": HELD_BACK,
    "method": {"lora": {}},
    "objective": "Pretrain",
    "training": {"seed": 1},
    "workers": {"replicas": 2},
    "checkpoints": {"keep": 3},
    "faultTolerance": {"attempts": 4},
    "evaluation": {"samples": 1},
    "output": {"storage": "pvc://other/models"},
    "activeDeadlineSeconds": 60,
    "search": {"trials": 1, "space": {"training.seed": {"choice": [1]}}},
}
LIMITS = {"resources": {"limits": {"cpu": 1}}}

Change = tuple[dict[str, Any], dict[str, Any]]
REFUSED_CHANGES: dict[str, Change] = {
    **{f"{field} is changed": (finetune(), finetune(**{field: value})) for field, value in IMMUTABLE.items()},
    "a deadline is taken away": (finetune(activeDeadlineSeconds=60), finetune()),
    "an amount becomes text": (finetune(workers=LIMITS), finetune(workers={"resources": {"limits": {"cpu": "1"}}})),
}
ACCEPTED_CHANGES: dict[str, Change] = {
    "nothing": (finetune(), finetune()),
    "a run is suspended": (finetune(), finetune(suspend=True)),
    "its time to live is set": (finetune(), finetune(ttlSecondsAfterFinished=60)),
    "a default is written out": (finetune(), finetune(training={"seed": 0}, checkpoints={"keep": 2}, workers={})),
    "a number is written with a point": (finetune(training={"epochs": 1}), finetune(training={"epochs": 1.0})),
    "sources change their order": (finetune(data={"train": [ROWS, MORE]}), finetune(data={"train": [MORE, ROWS]})),
    "a service is changed": (service(), service(model={"source": "hf://other/name"}, replicas=2)),
}


def judged(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The API server's answer to all items at once."""
    command = [str(go_tool("apiserver-check")), *map(str, CRDS)]
    done = subprocess.run(command, input=json.dumps(items), capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def verdicts() -> dict[str, dict[str, Any]]:
    """What the API server says to every case, by its name."""
    cases = {name: {"object": document} for name, document in (ACCEPTED | REFUSED).items()}
    changes = {name: {"old": old, "object": new} for name, (old, new) in (ACCEPTED_CHANGES | REFUSED_CHANGES).items()}
    items = cases | changes
    answer = judged(list(items.values()))
    return dict(zip(items, answer["items"], strict=True))


def refused_by_raysmith(document: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    """What Raysmith says of what the API server checks."""
    found = [problem.message for problem in problems(document, old)]
    return [message for message in found if NOT_BUILT not in message]


def test_the_api_server_accepts_both_definitions_with_the_cost_of_their_rules() -> None:
    assert judged([])["definitions"] == {"llmfinetunes.raysmith.io": [], "llmservices.raysmith.io": []}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_right_is_accepted_by_both(name: str, verdicts: dict[str, dict[str, Any]]) -> None:
    assert verdicts[name]["errors"] == []
    assert refused_by_raysmith(ACCEPTED[name]) == []


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_refused_by_both(name: str, verdicts: dict[str, dict[str, Any]]) -> None:
    assert verdicts[name]["errors"] != []
    assert refused_by_raysmith(REFUSED[name]) != []


@pytest.mark.parametrize("name", ACCEPTED_CHANGES)
def test_a_change_that_is_right_is_accepted_by_both(name: str, verdicts: dict[str, dict[str, Any]]) -> None:
    old, new = ACCEPTED_CHANGES[name]
    assert verdicts[name]["errors"] == []
    assert refused_by_raysmith(new, old) == []


@pytest.mark.parametrize("name", REFUSED_CHANGES)
def test_a_change_that_is_wrong_is_refused_by_both_in_the_same_words(name: str, verdicts: dict[str, dict[str, Any]]) -> None:
    old, new = REFUSED_CHANGES[name]
    (field,) = {problem.field for problem in problems(new, old)}
    (sentence,) = refused_by_raysmith(new, old)
    assert verdicts[name]["errors"] == [f"{field}: Invalid value: {sentence.removeprefix(f'{field}: ')}"]


@pytest.mark.parametrize("name", [name for name, document in ACCEPTED.items() if not refused_by_raysmith(document)])
def test_defaults_of_the_api_server_are_the_models_defaults(name: str, verdicts: dict[str, dict[str, Any]]) -> None:
    stored = verdicts[name]["object"]
    model = KINDS[stored["kind"]].model_validate(stored)
    own = KINDS[stored["kind"]].model_validate(_pruned(ACCEPTED[name]))
    assert to_wire(model)["spec"] == stored["spec"] == to_wire(own)["spec"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_rule_is_broken_by_one_case_and_kept_by_another(kind: str, verdicts: dict[str, dict[str, Any]]) -> None:
    schema = root_schema(KINDS[kind])
    rules = {(path, rule["message"]) for path, rule in _rules(schema)}
    broken = {
        (path, message)
        for name, verdict in verdicts.items()
        if verdict["object"] and verdict["object"]["kind"] == kind
        for path, message in rules
        if any(message in error and _at(error.split(":")[0], path, message) for error in verdict["errors"])
    }
    kept = {
        (path, rule["message"])
        for name in ACCEPTED | ACCEPTED_CHANGES
        if verdicts[name]["object"]["kind"] == kind
        for path, rule in _rules(schema, verdicts[name]["object"])
    }
    assert broken == rules
    assert kept == rules


_words = st.sampled_from(["", "a", "A", "a-b", "a.b", "é", "file://x", "hf://a/b c", "Auto", "SFT", "1", "64Gi", "a\n"])
_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-2, 70), st.floats(-1, 3).map(lambda number: as_json(round(number, 2))), _words
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(_words, inner, max_size=2)),
    max_leaves=4,
)


def _fields(schema: dict[str, Any], path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    for name, child in schema.get("properties", {}).items():
        yield (*path, name)
        yield from _fields(child, (*path, name))
    if "items" in schema:
        yield from _fields(schema["items"], (*path, 0))


_PLACES = {kind: [("spec", *path) for path in _fields(root_schema(KINDS[kind])["properties"]["spec"])] for kind in KINDS}


@st.composite
def _mutated(draw: Any) -> dict[str, Any]:
    """An accepted object with one or two of its fields replaced by anything."""
    document = json.loads(json.dumps(draw(st.sampled_from(list(ACCEPTED.values())))))
    for place in draw(st.lists(st.sampled_from(_PLACES[document["kind"]]), min_size=1, max_size=2)):
        _put(document, place, draw(_values))
    return dict(document)


# Not shrunk: the message names the one object of the sixty.
@settings(max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(_mutated(), min_size=60, max_size=60))
def test_both_say_the_same_of_objects_with_anything_in_any_field(documents: list[dict[str, Any]]) -> None:
    answers = judged([{"object": document} for document in documents])["items"]
    for document, answer in zip(documents, answers, strict=True):
        said = refused_by_raysmith(document)
        assert bool(said) == bool(answer["errors"]), (document, said, answer["errors"])
        if not answer["errors"] and not problems(document):
            assert to_wire(admit(document))["spec"] == answer["object"]["spec"]


def _put(inner: Any, place: tuple[str | int, ...], value: Any) -> None:
    """Set a field, making what is missing above it; where something else stands there, leave it."""
    *parents, last = place
    for part, after in zip(parents, place[1:], strict=True):
        if isinstance(part, int):
            if not inner:
                inner.append({})
            inner = inner[0]
        else:
            inner = inner.setdefault(part, [] if isinstance(after, int) else {}) if isinstance(inner, dict) else None
        if not isinstance(inner, list if isinstance(after, int) else dict):
            return
    inner[last] = value


def _pruned(value: Any) -> Any:
    """Without nulls, which the API server drops and pydantic refuses where no null may be."""
    if isinstance(value, dict):
        return {name: _pruned(child) for name, child in value.items() if child is not None}
    return [_pruned(item) for item in value] if isinstance(value, list) else value


_ABSENT: Any = object()


def _rules(schema: dict[str, Any], value: Any = _ABSENT, path: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    """Every rule with the path of its object, items as `[]`; only those that have something to judge if a value is given."""
    yield from ((path, rule) for rule in schema.get("x-kubernetes-validations", ()))
    for name, child in schema.get("properties", {}).items():
        if value is _ABSENT or name in value:
            yield from _rules(child, _ABSENT if value is _ABSENT else value[name], f"{path}.{name}".lstrip("."))
    for inner, values in ((schema.get("items"), value), (schema.get("additionalProperties"), value)):
        if inner:
            found = [_ABSENT] if value is _ABSENT else list(values.values() if isinstance(values, dict) else values)
            for item in found:
                yield from _rules(inner, item, f"{path}[]")


def _at(place: str, path: str, message: str) -> bool:
    """Whether an error at `place` comes from the object at `path`: there, or in the field that the rule points to."""
    plain = re.sub(r"\[[^\]]*\]", "[]", "" if place == "<nil>" else place)
    return plain == path or plain.startswith(f"{path}.")
