"""The addresses that an object names, and those of the fine-tunes that it goes on from or serves."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from raysmith.api import LLMFineTune, LLMService
from raysmith.api.common import SecretReference
from raysmith.api.finetune import Dataset

FineTunes = Mapping[str, LLMFineTune]
"""The LLMFineTunes that references name, by name, as far as they are known."""
NO_FINETUNES: Final[FineTunes] = MappingProxyType({})


class Address(NamedTuple):
    """One address and what the pods do with it."""

    field: str
    """Path of the field that names it."""
    uri: str
    secret: SecretReference | None = None
    """Where its credentials come from."""
    written: bool = False
    """Whether pods write there."""

    @property
    def scheme(self) -> str:
        """The part before `://`."""
        return self.uri.partition("://")[0]

    @property
    def secret_field(self) -> str:
        """Path of the field beside it for its credentials."""
        return self.field.rpartition(".")[0] + ".secretRef"

    @property
    def claim(self) -> str | None:
        """The claim of a `pvc://` address, None for the other schemes."""
        return self.uri.removeprefix("pvc://").strip("/").partition("/")[0] if self.scheme == "pvc" else None


def addresses(obj: LLMFineTune | LLMService) -> list[Address]:
    """Every address that stands in the object's spec."""
    return list(_of_finetune(obj) if isinstance(obj, LLMFineTune) else _of_service(obj))


def references(obj: LLMFineTune | LLMService) -> dict[str, str]:
    """The names of the LLMFineTunes that the object refers to, by the path of the field that does."""
    model = obj.spec.model.fine_tune
    named = {"spec.model.fineTune": model.name} if model and model.name else {}
    adapters = obj.spec.adapters if isinstance(obj, LLMService) else []
    return named | {f"spec.adapters[{i}].fineTune": a.fine_tune.name for i, a in enumerate(adapters) if a.fine_tune}


def resolved_addresses(obj: LLMFineTune | LLMService) -> list[Address]:
    """Where the object's references were found to lead, as its status says."""
    model = obj.status.model if obj.status else None
    found = [Address("status.model", model.uri)] if model else []
    adapters = (obj.status.adapters if isinstance(obj, LLMService) and obj.status else None) or []
    return found + [Address(f"status.adapters[{i}]", a.artifact.uri) for i, a in enumerate(adapters) if a.artifact]


def reached_addresses(obj: LLMFineTune | LLMService, finetunes: FineTunes) -> list[Address]:
    """What the object's pods read because of its references: the results of the runs, and the models below their adapters.

    An adapter is loaded on the model that its run started from, which may itself be the result of a run. A full model
    stands alone, and a claim that nobody reads is not mounted: it may be gone.
    """
    reached: list[Address] = []
    waiting, seen = list(references(obj).values()), set[str]()
    while waiting:
        name = waiting.pop(0)
        if name in seen or name not in finetunes:
            continue
        seen.add(name)
        run = finetunes[name]
        reached.append(Address(f"LLMFineTune {name}: spec.output.storage", run.spec.output.storage))
        if run.spec.method.full is None:
            reached.extend(a._replace(field=f"LLMFineTune {name}: {a.field}") for a in _starting_model(run))
            waiting.extend(references(run).values())
    return reached


def _of_finetune(obj: LLMFineTune) -> Iterator[Address]:
    spec = obj.spec
    yield from _starting_model(obj)
    yield from _of_datasets("spec.data.train", spec.data.train)
    yield from _of_datasets("spec.data.validation.datasets", (spec.data.validation and spec.data.validation.datasets) or [])
    yield Address("spec.output.storage", spec.output.storage, spec.output.secret_ref, written=True)


def _of_service(obj: LLMService) -> Iterator[Address]:
    yield from _starting_model(obj)
    for i, adapter in enumerate(obj.spec.adapters):
        if adapter.source:
            yield Address(f"spec.adapters[{i}].source", adapter.source, adapter.secret_ref)


def _starting_model(obj: LLMFineTune | LLMService) -> list[Address]:
    model = obj.spec.model
    return [Address("spec.model.source", model.source, model.secret_ref)] if model.source else []


def _of_datasets(path: str, datasets: list[Dataset]) -> Iterator[Address]:
    for i, dataset in enumerate(datasets):
        yield Address(f"{path}[{i}].source", dataset.source, dataset.secret_ref)
