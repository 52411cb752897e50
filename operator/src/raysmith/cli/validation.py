"""`raysmith validate`: everything that would go wrong later, said now, all of it at once."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from raysmith import manifest
from raysmith.api import LLMFineTune, to_wire
from raysmith.api.finetune import LLMFineTuneStatus, StartingModel
from raysmith.cli.data_dir import DataDir, write_json
from raysmith.cli.display import Display
from raysmith.cli.errors import Interrupted
from raysmith.cli.load import Loaded, look_at
from raysmith.cli.local_ray import LocalRay
from raysmith.cli.order import reference_problems, references
from raysmith.cli.outcome import Key
from raysmith.cli.processes import Child, interrupt_on_signals, last_words, require_workloads
from raysmith.cli.records import artifact_of
from raysmith.cli.rendering import rendering_problems
from raysmith.cli.run import earlier_runs, logical_cpus
from raysmith.cli.side_by_side import Finished
from raysmith.cli.sources import source_problems
from raysmith.errors import RaysmithError
from raysmith.render.refusals import cluster_refusals

POLL_SECONDS = 0.25


def validate(paths: Sequence[Path], *, data_dir: Path, with_data: bool, display: Display) -> None:
    """Say `ok` for every object, or raise RaysmithError with every problem, one a line, each with its place."""
    data = DataDir(data_dir)
    earlier = earlier_runs(data)
    objects, sentences = look_at(manifest.read(paths))
    sentences += reference_problems(objects, earlier)
    for loaded in objects:
        # What names a path of this machine is meant for `raysmith run`; no cluster will ever see it.
        if not cluster_refusals(loaded.obj):
            sentences += [line for line in rendering_problems(loaded, objects) if line not in sentences]
    if with_data:
        sentences += source_problems(objects, data)
    if sentences:
        raise RaysmithError("\n".join(sentences))
    if with_data and (sentences := _data_problems(objects, data, earlier, display)):
        raise RaysmithError("\n".join(sentences))
    for loaded in objects:
        place = " (on this machine only: it names file:// addresses)" if cluster_refusals(loaded.obj) else ""
        display.line(f"ok  {loaded.document.place('')}: {loaded.obj.kind} {loaded.obj.metadata.name}{place}")


def _data_problems(objects: Sequence[Loaded], data: DataDir, earlier: dict[Key, Finished], display: Display) -> list[str]:
    require_workloads()
    interrupt_on_signals()
    finetunes = [loaded for loaded in objects if isinstance(loaded.obj, LLMFineTune)]
    sentences = []
    with (
        tempfile.TemporaryDirectory(prefix="raysmith-validate-") as folder,
        LocalRay(log=Path(folder) / "ray.log", volumes=data.volumes, num_cpus=logical_cpus(objects)) as ray,
    ):
        for loaded in finetunes:
            file = Path(folder) / f"{loaded.obj.metadata.name}.json"
            write_json(file, to_wire(_checkable(loaded, earlier, display)))
            with display.activity(f"checking the data of {loaded.obj.metadata.name}"):
                problem = _problem(file, ray)
            sentences += [loaded.sentence("spec.data", problem)] if problem else []
    return sentences


def _problem(file: Path, ray: LocalRay) -> str | None:
    """What `prepare --check` has against the data of the object in `file`."""
    arguments, log = ["--check", "--object", str(file)], file.with_suffix(".log")
    with Child("raysmith_workloads.prepare", arguments, log=log, environment=ray.environment()) as child:
        try:
            while (code := child.exit_code(POLL_SECONDS)) is None:
                pass
        except KeyboardInterrupt:
            raise Interrupted("interrupted while the data was being checked.") from None
    return last_words(log) if code else None


def _checkable(loaded: Loaded, earlier: dict[Key, Finished], display: Display) -> LLMFineTune:
    """The object with what it goes on from. Before that has run its rows are checked with a tokenizer of their own."""
    assert isinstance(loaded.obj, LLMFineTune)  # noqa: S101 - filtered by the caller
    for reference in references(loaded.obj):
        if done := earlier.get(reference[1:]):
            status = LLMFineTuneStatus(attempt=1, model=artifact_of(done.obj, done.record))
            return loaded.obj.model_copy(update={"status": status})
        display.say(
            f"{loaded.obj.metadata.name}: the rows are checked, its chat template not, for {reference.name} has not run"
        )
        model = StartingModel(source="builtin://tiny")
        return loaded.obj.model_copy(update={"spec": loaded.obj.spec.model_copy(update={"model": model})})
    return loaded.obj
