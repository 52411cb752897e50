"""`raysmith validate`: everything that would go wrong later, said now, all of it at once."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raysmith import manifest
from raysmith.api import LLMFineTune, to_wire
from raysmith.api.finetune import LLMFineTuneStatus
from raysmith.cli.data_dir import DataDir, write_json
from raysmith.cli.display import Display
from raysmith.cli.errors import BAD_INPUT, Interrupted, RunFailed
from raysmith.cli.load import Loaded, look_at
from raysmith.cli.local_ray import LocalRay
from raysmith.cli.order import reference_problems, references
from raysmith.cli.outcome import Key
from raysmith.cli.processes import Child, interrupt_on_signals, last_words, require_workloads, signal_name
from raysmith.cli.records import artifact_of
from raysmith.cli.rendering import rendering_problems
from raysmith.cli.run import earlier_runs, logical_cpus
from raysmith.cli.side_by_side import Finished
from raysmith.cli.sources import source_problems
from raysmith.errors import RaysmithError
from raysmith.render.addresses import addresses

POLL_SECONDS = 0.25


def validate(paths: Sequence[Path], *, data_dir: Path, with_data: bool, display: Display) -> None:
    """Say `ok` for every object, or raise RaysmithError with every problem, one a line, each with its place."""
    data = DataDir(data_dir)
    earlier = earlier_runs(data)
    objects, sentences = look_at(manifest.read(paths))
    sentences += reference_problems(objects, earlier)
    for loaded in objects:
        if not _is_local(loaded):
            sentences += [line for line in rendering_problems(loaded, objects) if line not in sentences]
    if with_data:
        sentences += source_problems(objects, data)
    if sentences:
        raise RaysmithError("\n".join(sentences))
    if with_data and (sentences := _data_problems(objects, data, earlier, display)):
        raise RaysmithError("\n".join(sentences))
    for loaded in objects:
        place = " (on this machine only: it names file:// addresses)" if _is_local(loaded) else ""
        display.line(f"ok  {loaded.document.place('')}: {loaded.obj.kind} {loaded.obj.metadata.name}{place}")


def _is_local(loaded: Loaded) -> bool:
    """Whether the object names a path of this machine: it is meant for `raysmith run`, and no cluster will ever see it."""
    return any(address.scheme == "file" for address in addresses(loaded.obj))


def _data_problems(objects: Sequence[Loaded], data: DataDir, earlier: dict[Key, Finished], display: Display) -> list[str]:
    require_workloads()
    interrupt_on_signals()
    sentences = []
    with (
        tempfile.TemporaryDirectory(prefix="raysmith-validate-") as folder,
        LocalRay(log=Path(folder) / "ray.log", volumes=data.volumes, num_cpus=logical_cpus(objects)) as ray,
    ):
        for loaded in objects:
            if not isinstance(loaded.obj, LLMFineTune):
                continue
            file = Path(folder) / f"{loaded.obj.metadata.namespace}.{loaded.obj.metadata.name}.json"
            write_json(file, to_wire(_resolved(loaded.obj, earlier)))
            with display.activity(f"checking the data of {loaded.obj.metadata.name}"):
                report = _report(file, ray)
            for note in report["notes"]:
                display.say(f"{loaded.obj.metadata.name}: {note}")
            sentences += [loaded.sentence(problem["field"], problem["message"]) for problem in report["problems"]]
    return sentences


def _report(file: Path, ray: LocalRay) -> dict[str, Any]:
    """What `prepare --check` says about the object in `file`: its notes, and the problems with their fields."""
    log, report = file.with_suffix(".log"), file.with_suffix(".report")
    arguments, environment = ["--check", "--object", str(file)], ray.environment()
    with Child("raysmith_workloads.prepare", arguments, log=log, environment=environment, report=report) as child:
        try:
            while (code := child.exit_code(POLL_SECONDS)) is None:
                pass
        except KeyboardInterrupt:
            raise Interrupted("interrupted while the data was being checked.") from None
    if code not in (0, BAD_INPUT):
        why = last_words(log) if code > 0 else f"the process was ended by {signal_name(code)}"
        raise RunFailed(f"the data of {file.stem} could not be checked: {why}")
    if report.stat().st_size:
        return dict(json.loads(report.read_bytes()))
    return {"notes": [], "problems": [{"field": "spec.data", "message": last_words(log)}]}


def _resolved(obj: LLMFineTune, earlier: dict[Key, Finished]) -> LLMFineTune:
    """The object with what it goes on from, where that is finished."""
    for reference in references(obj):
        if done := earlier.get(reference[1:]):
            status = LLMFineTuneStatus(attempt=1, model=artifact_of(done.obj, done.record))
            return obj.model_copy(update={"status": status})
    return obj
