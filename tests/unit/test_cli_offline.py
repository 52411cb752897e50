"""`raysmith render`, `validate` and `diff`: what a user reads about objects that nothing has run yet."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from raysmith.cli.difference import Change, changes
from raysmith.cli.main import app

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVICE = (EXAMPLES / "quickstart" / "service.yaml").read_text().split("---")[0]
FINETUNE = (EXAMPLES / "quickstart" / "finetune.yaml").read_text().split("---")[0]


def raysmith(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two folders, old and new, with the same run and service."""
    monkeypatch.chdir(tmp_path)
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "all.yaml").write_text(f"{FINETUNE}---\n{SERVICE}")
    return tmp_path / "old", tmp_path / "new"


def edit(folder: Path, old: str, new: str) -> None:
    file = folder / "all.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_rendering_gives_a_stream_of_manifests_with_their_origin(tmp_path: Path) -> None:
    done = raysmith("render", EXAMPLES / "quickstart")
    assert done.exit_code == 0
    kinds = [manifest["kind"] for manifest in yaml.safe_load_all(done.stdout)]
    assert kinds.count("RayJob") == 2
    assert kinds.count("RayService") == 2
    assert f"# LLMFineTune dates from {EXAMPLES}/quickstart/finetune.yaml:" in done.stdout


def test_a_path_of_this_machine_cannot_be_rendered_and_is_valid_for_local_runs(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(FINETUNE.replace("builtin://python-docs", "file:///data/rows.jsonl"))
    rendered, validated = raysmith("render", file), raysmith("validate", file)
    assert rendered.exit_code == 2
    assert rendered.stderr.startswith(f"error: {file}:")
    assert "pvc://claim/path" in rendered.stderr
    assert validated.exit_code == 0
    assert "on this machine only" in validated.stdout


def test_valid_objects_are_listed_with_their_place() -> None:
    done = raysmith("validate", EXAMPLES / "quickstart")
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["ok"] * 4


def test_what_kuberay_would_refuse_later_is_refused_now(pair: tuple[Path, Path]) -> None:
    containers = "[{name: ray, env: [{name: RAY_REDIS_ADDRESS, value: redis}]}]"
    edit(pair[0], "  access:", f"  podTemplate: {{head: {{spec: {{containers: {containers}}}}}}}\n  access:")
    done = raysmith("validate", pair[0])
    assert done.exit_code == 2
    assert "KubeRay" in done.stderr
    assert "RAY_REDIS_ADDRESS" in done.stderr


def test_equal_files_differ_in_nothing(pair: tuple[Path, Path]) -> None:
    done = raysmith("diff", *pair)
    assert (done.exit_code, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        pytest.param(
            "maxLength: 512",
            "maxLength: 1024",
            ["LLMFineTune default/python-docs: the change is refused", "spec.data.maxLength: 512 -> 1024"],
            id="a run is immutable",
        ),
        pytest.param(
            "  objective: Pretrain",
            "  suspend: true\n  objective: Pretrain",
            ["LLMFineTune default/python-docs: changes in place", "spec.suspend: False -> True", "-kind: RayJob"],
            id="but for being suspended",
        ),
        pytest.param(
            "  access:",
            "  replicas: 2\n  access:",
            ["LLMService default/base: a new revision is started beside the old one", "spec.replicas: not set -> 2"],
            id="another number of replicas",
        ),
        pytest.param(
            "  name: base",
            "  name: other",
            ["LLMService default/base: goes away", "LLMService default/other: is new"],
            id="another name",
        ),
    ],
)
def test_a_difference_tells_the_field_and_what_it_does(pair: tuple[Path, Path], old: str, new: str, lines: list[str]) -> None:
    edit(pair[1], old, new)
    done = raysmith("diff", *pair)
    assert done.exit_code == 1
    for line in lines:
        assert line in done.stdout


def test_changes_are_told_field_by_field_and_item_by_item() -> None:
    old = {"a": {"b": 1, "c": [1, 2]}, "d": True}
    new = {"a": {"b": 1, "c": [1, 3, 4]}, "e": {"f": 0}}
    assert list(changes(old, new)) == [
        Change("a.c[1]", 2, 3),
        Change("a.c[2]", None, 4),
        Change("d", True, None),
        Change("e", None, {"f": 0}),
    ]
