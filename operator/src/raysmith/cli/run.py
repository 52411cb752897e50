"""`raysmith run`: order the objects, train what is not trained yet, serve, compare base and tuned, say where it all lies."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from raysmith.api import LLMFineTune, LLMService
from raysmith.api.quantities import cpus
from raysmith.api.record import RunRecord
from raysmith.cli import records, tables
from raysmith.cli.data_dir import DataDir, write_json
from raysmith.cli.display import Display
from raysmith.cli.errors import RunFailed, say_error
from raysmith.cli.finetunes import LocalFineTunes
from raysmith.cli.load import Loaded, load
from raysmith.cli.local_ray import LocalRay
from raysmith.cli.local_uid import local_uid
from raysmith.cli.openai_client import ask
from raysmith.cli.order import in_order, reference_problems, references
from raysmith.cli.outcome import Key, Outcome
from raysmith.cli.processes import interrupt_on_signals, require_workloads
from raysmith.cli.services import LocalServices, require_free
from raysmith.cli.side_by_side import Finished, compare, pairs
from raysmith.cli.sources import SourceDigests, source_problems
from raysmith.errors import RaysmithError


def run(paths: Sequence[Path], *, data_dir: Path, port: int, wait: bool, console: Console) -> int:
    """Do what the objects in `paths` say.

    The exit code: 0 if all of it was done, 1 if a run failed or missed its gate, 2 if its data or model was refused.

    Raises RaysmithError for bad input before anything has started, RunFailed and Interrupted later.
    """
    data = DataDir(data_dir)
    objects = load(paths)
    earlier = earlier_runs(data)
    if sentences := [*reference_problems(objects, earlier), *source_problems(objects, data)]:
        raise RaysmithError("\n".join(sentences))
    serves = any(isinstance(loaded.obj, LLMService) for loaded in objects)
    if serves:
        require_free(port)
    require_workloads()
    interrupt_on_signals()
    outcome = Outcome(finished=_referenced(objects, earlier))
    with (
        outcome.written_to(data.last_run),
        LocalRay(log=data.root / "ray.log", volumes=data.volumes, num_cpus=logical_cpus(objects)) as ray,
    ):
        local = LocalRun(objects, data=data, ray=ray, display=Display(console), outcome=outcome)
        local.finetunes()
        if serves:
            local.services(port, wait=wait)
        else:
            local.show_stages()
    for failure in outcome.failures:
        say_error(failure)
    return outcome.exit_code


def earlier_runs(data: DataDir) -> dict[Key, Finished]:
    """The newest finished run of each name in the data folder."""
    return {
        (found.obj.metadata.namespace, found.obj.metadata.name): Finished(found.obj, found.record)
        for found in records.runs_of(data)
        if found.record is not None
    }


def logical_cpus(objects: Sequence[Loaded]) -> int:
    """How many CPUs Ray may hand out: those that there are, or as many as the services ask for, since they mostly wait.

    Trainers share what there is and take no more threads than cores.
    """
    services = [loaded.obj.spec for loaded in objects if isinstance(loaded.obj, LLMService)]
    return max(os.cpu_count() or 1, sum((spec.replicas or 1) * cpus(spec.resources) for spec in services))


class LocalRun:
    """The objects of one command, on one Ray."""

    def __init__(self, objects: Sequence[Loaded], *, data: DataDir, ray: LocalRay, display: Display, outcome: Outcome) -> None:
        self._objects = objects
        self._data = data
        self._ray = ray
        self._display = display
        self._outcome = outcome

    def finetunes(self) -> None:
        """Every LLMFineTune after what it needs. One that fails holds back only those that need it. Raises Interrupted."""
        local = LocalFineTunes(data=self._data, ray=self._ray, display=self._display, clock=self._outcome.clock)
        digests = SourceDigests(self._data)
        for loaded in in_order(self._objects):
            if isinstance(loaded.obj, LLMFineTune) and not self._is_held_back(loaded.obj):
                self._finetune(loaded.obj, local, digests)

    def services(self, port: int, *, wait: bool) -> None:
        """Every LLMService whose references have led to something, all at `port`; until Ctrl-C if `wait`."""
        services = [loaded.obj for loaded in self._objects if isinstance(loaded.obj, LLMService)]
        serving = [service for service in services if not self._is_held_back(service)]
        if not serving:
            self.show_stages()
            return
        local = LocalServices(data=self._data, ray=self._ray, display=self._display, port=port)
        self._display.title("LLMService", ", ".join(service.metadata.name for service in serving))
        with self._outcome.clock.stage("", "starting to serve"):
            child, self._outcome.endpoints = local.start(serving, self._outcome.artifacts())
        with child:
            write_json(self._data.last_run, self._outcome.summary())
            self._compare(serving)
            self.show_stages()
            self._show_addresses()
            if wait:
                self._display.line("The services answer until you press Ctrl-C.")
                local.keep(child)

    def show_stages(self) -> None:
        """Where the time went, if anything was done."""
        clock = self._outcome.clock
        if clock.stages:
            self._display.line()
            self._display.show(tables.stages_table(clock.stages, clock.total()))

    def _finetune(self, obj: LLMFineTune, local: LocalFineTunes, digests: SourceDigests) -> None:
        artifacts = self._outcome.artifacts()
        base = next((artifacts[reference[1:]] for reference in references(obj)), None)
        metadata = obj.metadata.model_copy(update={"uid": local_uid(obj, base, digests)})
        obj = obj.model_copy(update={"metadata": metadata})
        try:
            record = local.run(obj, base)
        except RunFailed as failed:
            self._outcome.fail(str(failed), failed.exit_code)
            return
        self._outcome.finished[obj.metadata.namespace, obj.metadata.name] = Finished(obj, record)
        self._show_result(obj, record)
        if not record.promoted:
            self._outcome.fail(f"{obj.metadata.name} did not pass its gate: {record.message}")

    def _is_held_back(self, obj: LLMFineTune | LLMService) -> bool:
        """Whether something that `obj` needs has failed, which is said."""
        artifacts = self._outcome.artifacts()
        missing = [reference.name for reference in references(obj) if reference[1:] not in artifacts]
        if missing:
            reason = f"not started, because {missing[0]} has no result that passed its gate"
            self._display.title(obj.kind, obj.metadata.name)
            self._display.failed(reason)
            self._outcome.fail(f"{obj.metadata.name} was {reason}.")
        return bool(missing)

    def _compare(self, serving: Sequence[LLMService]) -> None:
        found = pairs(serving, self._outcome.endpoints, self._outcome.finished)
        if not found:
            return
        asking = self._display.activity("asking base and tuned model the same questions")
        with self._outcome.clock.stage("", "asking both models"), asking:
            self._outcome.comparisons = [compare(pair, ask) for pair in found]
        for comparison in self._outcome.comparisons:
            self._display.show(tables.comparison_table(comparison))

    def _show_result(self, obj: LLMFineTune, record: RunRecord) -> None:
        folder = self._data.run_folder(obj)
        self._display.say(tables.training_line(record))
        self._display.show(tables.metrics_table(record))
        self._display.say(f"artefact    {records.short(folder / record.artifact_kind)}")
        for line in records.pages(folder):
            self._display.say(line)
        if not record.promoted:
            self._display.failed(f"{obj.metadata.name} did not pass its gate: {record.message}")

    def _show_addresses(self) -> None:
        endpoints = list(self._outcome.endpoints.values())
        asked = [row.prompt for comparison in self._outcome.comparisons for row in comparison.rows]
        self._display.line()
        for at in endpoints:
            self._display.line(f"{at.model} answers at {at.url}")
        self._display.line()
        for command in tables.how_to_ask(endpoints[-1], asked[0] if asked else "Hello"):
            self._display.line(f"  {command}")
        self._display.line()


def _referenced(objects: Sequence[Loaded], earlier: Mapping[Key, Finished]) -> dict[Key, Finished]:
    """The earlier runs that stand in for references to what is not in the files."""
    here = {loaded.key[1:] for loaded in objects if isinstance(loaded.obj, LLMFineTune)}
    wanted = {reference[1:] for loaded in objects for reference in references(loaded.obj)} - here
    return {key: earlier[key] for key in wanted}
