"""Fields that the API has and this version does not do yet. They are refused by name; nothing is ever ignored.

Each entry goes away with the change that builds its feature.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

from raysmith.api.finetune import DataFormat, Dataset, LLMFineTune, Objective
from raysmith.api.service import FollowPolicy, LLMService, UpgradeStrategy


class Unbuilt(NamedTuple):
    """A field that is set, and what to do instead."""

    path: str
    message: str

    @property
    def sentence(self) -> str:
        """Both, to a person."""
        return f"{self.path}: {self.message}."


class Entry(NamedTuple):
    """Something that is not built."""

    field: str
    """Its path below the part of the object that the table is about."""
    is_set: Callable[[Any], bool]
    """Whether that part asks for it."""
    message: str
    """That it is not built, and what to do instead; a sentence without its end."""


def unbuilt_fields(obj: LLMFineTune | LLMService) -> list[Unbuilt]:
    """Every set field whose feature this version does not have."""
    return list(_of_finetune(obj) if isinstance(obj, LLMFineTune) else _of_service(obj))


def _of_finetune(obj: LLMFineTune) -> Iterator[Unbuilt]:
    yield from _set(FINETUNE, "spec", obj.spec)
    yield from _in_list(DATASET, "spec.data.train", obj.spec.data.train)
    validation = obj.spec.data.validation
    yield from _in_list(DATASET, "spec.data.validation.datasets", (validation and validation.datasets) or [])


def _of_service(obj: LLMService) -> Iterator[Unbuilt]:
    yield from _set(SERVICE, "spec", obj.spec)
    yield from _in_list(ADAPTER, "spec.adapters", obj.spec.adapters)


def _in_list(table: Iterable[Entry], path: str, parts: Iterable[Any]) -> Iterator[Unbuilt]:
    for i, part in enumerate(parts):
        yield from _set(table, f"{path}[{i}]", part)


def _set(table: Iterable[Entry], path: str, part: Any) -> Iterator[Unbuilt]:
    yield from (Unbuilt(f"{path}.{entry.field}", entry.message) for entry in table if entry.is_set(part))


def _schemes(field: str, address: Callable[[Any], str | None], instead: str) -> tuple[Entry, ...]:
    """An entry for each kind of address that cannot be read or written yet."""

    def entry(scheme: str) -> Entry:
        return Entry(field, lambda part: (address(part) or "").startswith(scheme), f"{scheme} is not built yet; {instead}")

    return tuple(entry(scheme) for scheme in ("s3://", "gs://"))


def _has_format(form: DataFormat, dataset: Dataset) -> bool:
    return dataset.format is form


FINETUNE: Final[tuple[Entry, ...]] = (
    Entry("objective", lambda spec: spec.objective is Objective.DPO, "DPO is not built yet; use SFT or Pretrain"),
    Entry("method.qlora", lambda spec: spec.method.qlora is not None, "QLoRA is not built yet; use lora"),
    Entry("search", lambda spec: spec.search is not None, "searches are not built yet; run the objects one by one"),
    Entry(
        "workers.elastic",
        lambda spec: spec.workers.elastic is not None,
        "elastic workers are not built yet; set replicas",
    ),
    *_schemes(
        "output.storage",
        lambda spec: spec.output.storage,
        "use pvc://claim/path, or file:// for runs on one machine",
    ),
    *_schemes(
        "model.source",
        lambda spec: spec.model.source,
        "use hf://owner/name, pvc://claim/path or builtin://tiny, or file:// for runs on one machine",
    ),
)
"""What an LLMFineTune's spec can ask for in vain."""

DATASET: Final[tuple[Entry, ...]] = (
    *(
        Entry(
            "format",
            partial(_has_format, form),
            f"{form} is not built yet; use Messages, PromptCompletion or Text",
        )
        for form in (DataFormat.ALPACA, DataFormat.SHARE_GPT, DataFormat.PREFERENCE)
    ),
    Entry(
        "columns",
        lambda dataset: dataset.columns is not None,
        "renaming columns is not built yet; rename them in the file",
    ),
    Entry("weight", lambda dataset: dataset.weight != 1, "mixing by weight is not built yet; leave it at 1"),
    *_schemes(
        "source",
        lambda dataset: dataset.source,
        "use hf://datasets/owner/name, pvc://claim/path or a builtin:// data set, or file:// for runs on one machine",
    ),
)
"""What one source of rows can ask for in vain."""

SERVICE: Final[tuple[Entry, ...]] = (
    Entry(
        "access.apiKeys",
        lambda spec: spec.access.api_keys is not None,
        "API keys are not built yet; use anonymous: {} on a private network",
    ),
    Entry("autoscaling", lambda spec: spec.autoscaling is not None, "scaling by load is not built yet; set replicas"),
    Entry(
        "model.fineTune.selector",
        lambda spec: spec.model.fine_tune is not None and spec.model.fine_tune.selector is not None,
        "following by labels is not built yet; give a name",
    ),
    Entry(
        "model.fineTune.policy",
        lambda spec: spec.model.fine_tune is not None and spec.model.fine_tune.policy is not FollowPolicy.LATEST,
        "choosing the best run is not built yet; leave it at Latest",
    ),
    Entry(
        "upgrade.strategy",
        lambda spec: spec.upgrade.strategy is not UpgradeStrategy.AUTO,
        "the choice is not built yet; leave it at Auto",
    ),
    Entry(
        "replicasPerAccelerator",
        lambda spec: spec.replicas_per_accelerator > 1,
        "sharing an accelerator is not built yet; leave it at 1",
    ),
    *_schemes(
        "model.source",
        lambda spec: spec.model.source,
        "use hf://owner/name or pvc://claim/path, or file:// for services on one machine",
    ),
)
"""What an LLMService's spec can ask for in vain."""

ADAPTER: Final[tuple[Entry, ...]] = (
    *_schemes(
        "source",
        lambda adapter: adapter.source,
        "use hf://owner/name or pvc://claim/path, or file:// for services on one machine",
    ),
)
"""What one adapter of an LLMService can ask for in vain."""

TABLES: Final[tuple[tuple[Entry, ...], ...]] = (FINETUNE, DATASET, SERVICE, ADAPTER)
"""Everything that is not built."""
