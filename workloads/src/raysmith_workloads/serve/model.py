"""What a service serves: its object and the records of the runs it names, resolved to folders. Reads records, no weights."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from raysmith.api import LLMService, layout
from raysmith.api.common import Artifact
from raysmith.api.record import RunRecord
from raysmith.api.service import Adapter
from raysmith_workloads.errors import Refused

ReadRecord = Callable[[str], RunRecord]
"""The record of the run whose folder has this address. Raises Refused if there is none."""

BASE = "base"
"""Where the service's own model is an adapter, `<service>:base` is what it was trained on."""


@dataclass(frozen=True)
class Served:
    """Addresses of everything that one engine loads."""

    name: str
    """The service; what requests call its model."""
    engine_model: str
    """What requests call the weights that the engine loads first: the service, or `<service>:base`."""
    base: str
    """Address of the model folder."""
    adapters: dict[str, str] = field(default_factory=dict)
    """Address of each adapter folder, by what requests call it."""
    base_digests: dict[str, str] = field(default_factory=dict)
    """SHA-256 over the base's weights that an adapter was trained on, by what requests call the adapter."""


@dataclass(frozen=True)
class _Result:
    """One run's artefact: the weights it goes with, and itself if it is an adapter."""

    base: str
    base_digest: str | None = None
    adapter: str | None = None


def resolve(service: LLMService, read_record: ReadRecord) -> Served:
    """What `service` serves.

    Raises Refused: `NothingToServe`, `ModelNotResolved`, `GateNotPassed`, `ModelChanged`, `AdapterRefused`.
    """
    name = service.metadata.name
    model = _model(service, read_record)
    served = Served(name, name, model.base)
    if model.adapter is not None:
        served = _with_adapter(replace(served, engine_model=f"{name}:{BASE}"), name, model)
    for adapter in service.spec.adapters:
        model_id = f"{name}:{adapter.name}"
        if model_id == served.engine_model:
            raise Refused(
                "AdapterRefused",
                f"LLMService {name}: an adapter cannot be called {BASE} here, because {model_id} is the model that the "
                "service's own adapter was trained on; give it another name.",
            )
        served = _with_adapter(served, model_id, _adapter(service, adapter, read_record))
    return served


def absolute(served: Served) -> Served:
    """The same with `file://` addresses that do not depend on the current folder, for processes that have another one."""
    adapters = {model_id: _absolute(uri) for model_id, uri in served.adapters.items()}
    return replace(served, base=_absolute(served.base), adapters=adapters)


def _absolute(uri: str) -> str:
    return f"file://{Path(uri.removeprefix('file://')).absolute()}" if uri.startswith("file://") else uri


def _with_adapter(served: Served, model_id: str, result: _Result) -> Served:
    digests = {} if result.base_digest is None else {model_id: result.base_digest}
    return replace(
        served,
        adapters={**served.adapters, model_id: str(result.adapter)},
        base_digests={**served.base_digests, **digests},
    )


def _model(service: LLMService, read_record: ReadRecord) -> _Result:
    spec, where = service.spec.model, f"LLMService {service.metadata.name}: spec.model"
    if spec.source is not None:
        return _Result(_servable(spec.source, f"{where}.source"))
    run = spec.fine_tune.name if spec.fine_tune else None
    return _result(service.status.model if service.status else None, f"{where}.fineTune {run}", read_record)


def _adapter(service: LLMService, adapter: Adapter, read_record: ReadRecord) -> _Result:
    where = f"LLMService {service.metadata.name}: spec.adapters {adapter.name}"
    if adapter.source is not None:
        return _Result("", adapter=_servable(adapter.source, where))
    artifacts = {status.name: status.artifact for status in (service.status and service.status.adapters) or []}
    result = _result(artifacts.get(adapter.name), where, read_record)
    if result.adapter is None:
        raise Refused(
            "AdapterRefused",
            f"{where}: its run trained all weights, so its result is a model and no adapter; serve it as spec.model of "
            "a service of its own, or train it with method.lora.",
        )
    return result


def _servable(uri: str, where: str) -> str:
    if uri.startswith("builtin://"):
        raise Refused(
            "NothingToServe",
            f"{where}: {uri} is only a shape with random weights, so there is nothing to serve; "
            "train it with an LLMFineTune and name that in fineTune.",
        )
    return uri


def _result(artifact: Artifact | None, where: str, read_record: ReadRecord) -> _Result:
    if artifact is None:
        raise Refused("ModelNotResolved", f"{where}: the run has no result yet; run it first, then serve it.")
    record = read_record(artifact.uri)
    if not record.promoted:
        raise Refused(
            "GateNotPassed",
            f"{where}: the run did not pass its gate ({record.message}), so it is not served; "
            "train it better, or change its evaluation.gate.",
        )
    if record.artifact.digest != artifact.digest:
        raise Refused(
            "ModelChanged",
            f"{where}: {artifact.uri} holds another result ({record.artifact.digest}) than the service was made for "
            f"({artifact.digest}); apply the service again.",
        )
    if record.artifact_kind == "model":
        return _Result(f"{artifact.uri}/{layout.MODEL}")
    base, digest = _root(record, where, read_record)
    return _Result(base, digest, adapter=f"{artifact.uri}/{layout.ADAPTER}")


def _root(record: RunRecord, where: str, read_record: ReadRecord) -> tuple[str, str]:
    """Address and digest of the weights below an adapter. A run that went on from an adapter trained that one further."""
    if record.base.artifact is None:
        return _servable(str(record.base.source), where), record.base.digest
    below = read_record(record.base.artifact.uri)
    if below.artifact_kind == "adapter":
        return _root(below, where, read_record)
    return f"{record.base.artifact.uri}/{layout.MODEL}", record.base.digest
