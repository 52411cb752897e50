"""Manifests as text, and the user's pod template over them."""

from copy import deepcopy
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from manifests import SETTINGS, finetune_run
from raysmith import kubeyaml
from raysmith.render import render, to_yaml
from raysmith.render.merge import merge
from rendering import Case, cases, rendered


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_kubectl_reads_the_text_as_what_was_rendered(case: Case) -> None:
    parts = rendered(case).split("---\n")[1:]
    assert [kubeyaml.parse(part).data for part in parts] == list(yaml.safe_load_all(rendered(case)))


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12) | st.from_regex(
    r"[-+.0-9eE_xobyYnN:~]{1,10}", fullmatch=True
)


@given(TEXTS)
def test_any_text_stays_that_text(text: str) -> None:
    assert kubeyaml.parse(to_yaml([{"text": text, text: [text]}])).data == {"text": text, text: [text]}


def test_the_same_object_is_rendered_to_the_same_text() -> None:
    assert to_yaml(render(finetune_run(), SETTINGS)) == to_yaml(render(finetune_run(), SETTINGS))


MERGES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "maps are merged": ({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
    "plain lists are replaced": ({"tolerations": [1]}, {"tolerations": [2]}, {"tolerations": [2]}),
    "containers are merged by name, new ones come last": (
        {"containers": [{"name": "ray", "image": "a", "x": 1}]},
        {"containers": [{"name": "side", "image": "b"}, {"name": "ray", "image": "c"}]},
        {"containers": [{"name": "ray", "image": "c", "x": 1}, {"name": "side", "image": "b"}]},
    ),
    "a variable is replaced whole": (
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {}}}, {"name": "B", "value": "1"}]},
        {"env": [{"name": "A", "value": "2"}]},
        {"env": [{"name": "A", "value": "2"}, {"name": "B", "value": "1"}]},
    ),
    "a mount is replaced whole": (
        {"volumeMounts": [{"mountPath": "/a", "name": "x", "readOnly": True}]},
        {"volumeMounts": [{"mountPath": "/a", "name": "y"}]},
        {"volumeMounts": [{"mountPath": "/a", "name": "y"}]},
    ),
    "a selector may be called like a list": ({}, {"nodeSelector": {"env": "prod"}}, {"nodeSelector": {"env": "prod"}}),
}


@pytest.mark.parametrize("name", MERGES)
def test_in_a_merge(name: str) -> None:
    base, patch, expected = MERGES[name]
    kept = deepcopy(base)
    assert merge(base, patch) == expected
    assert base == kept
