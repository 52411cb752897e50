"""What the API server would say to an object, offline, and what this version of Raysmith would.

document -> defaults -> structure (the CRD's schema) -> rules (its CEL) -> raysmith.api.unbuilt -> pydantic model

The schema is made from the models in memory. The status is not looked at: the API server drops what users write there.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from raysmith.admission.defaults import with_defaults
from raysmith.admission.rules import broken_rules
from raysmith.admission.sentences import closest, listed, quoted
from raysmith.admission.structure import schema_of, structural_findings
from raysmith.api import API_VERSION, KINDS, LLMFineTune, LLMService
from raysmith.api.unbuilt import unbuilt_fields
from raysmith.errors import RaysmithError


class Problem(NamedTuple):
    """One thing that is wrong with an object."""

    field: str
    """Path of the field, such as `spec.data.train[0].source`; what `manifest.Document.line` takes."""
    message: str
    """A whole sentence that names the field and says what to do. It does not name file and line."""


class Rejected(RaysmithError):  # noqa: N818 - what happens to the object
    """The object is not what the API allows. `str()` gives all sentences, one a line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(problem.message for problem in problems))
        self.problems = tuple(problems)


def problems(document: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> list[Problem]:
    """Everything that is wrong with `document`, or with changing `old` into it; empty if it is accepted."""
    try:
        admit(document, old)
    except Rejected as rejected:
        return list(rejected.problems)
    return []


def admit(document: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> LLMFineTune | LLMService:
    """The object with its defaults. Raises Rejected with everything that is wrong with it.

    `old` is the object as it is now, of the same kind and accepted before; without it, rules about changes are left out.
    """
    _raise(_type_problems(document))
    schema = schema_of(document["kind"])
    value = with_defaults(_without_status(document), schema)
    findings = structural_findings(value, schema)
    found = [Problem(finding.field, finding.message) for finding in findings]
    if not any(finding.blocks_rules for finding in findings):
        before = None if old is None else with_defaults(_without_status(old), schema)
        found += [_rule_problem(*broken) for broken in broken_rules(value, before, schema)]
    _raise(found)
    model = KINDS[document["kind"]].model_validate(value)
    _raise([Problem(unbuilt.path, unbuilt.sentence) for unbuilt in unbuilt_fields(model)])
    return model


def _raise(found: Sequence[Problem]) -> None:
    if found:
        raise Rejected(found)


def _type_problems(document: Mapping[str, Any]) -> list[Problem]:
    """The schema is chosen by the kind, so these come first."""
    kind, version = document.get("kind"), document.get("apiVersion")
    kinds = listed(KINDS, "or")
    if kind is None:
        return [Problem("kind", f"kind is missing. Add kind: {kinds}.")]
    if not isinstance(kind, str) or kind not in KINDS:
        close = closest(str(kind), KINDS)
        return [Problem("kind", f"kind must be {kinds}, not {quoted(kind)}{f'; did you mean {close}?' if close else '.'}")]
    if version is None:
        return [Problem("apiVersion", f"apiVersion is missing. Add apiVersion: {API_VERSION}.")]
    if version != API_VERSION:
        return [Problem("apiVersion", f"apiVersion must be {API_VERSION}, not {quoted(version)}.")]
    return []


def _rule_problem(field: str, message: str) -> Problem:
    # A CRD cannot point into metadata; the rules of the whole object are about its name.
    place = field or "metadata.name"
    return Problem(place, f"{place}: {message}")


def _without_status(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: child for key, child in document.items() if key != "status"}
