"""What is rendered is what was reviewed. `pytest --update-golden` writes the files anew; read the difference."""

import pytest

from rendering import GOLDEN, Case, cases, rendered


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_an_object_is_rendered_to_the_reviewed_manifests(case: Case, update_golden: bool) -> None:
    if update_golden:
        case.expected.parent.mkdir(parents=True, exist_ok=True)
        case.expected.write_text(rendered(case))
    assert case.expected.exists(), f"{case.name} has no golden file yet; run pytest --update-golden and review it"
    assert rendered(case) == case.expected.read_text()


def test_every_golden_file_belongs_to_a_case() -> None:
    assert {path for path in GOLDEN.rglob("*.yaml") if path.name != "input.yaml"} == {case.expected for case in cases()}
