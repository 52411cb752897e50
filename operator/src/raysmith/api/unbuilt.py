"""Fields that the API has and this version does not do yet. They are refused by name; nothing is ever ignored.

Each entry goes away with the change that builds its feature.
"""

from collections.abc import Iterator
from typing import NamedTuple

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


UNBUILT_FORMATS = (DataFormat.ALPACA, DataFormat.SHARE_GPT, DataFormat.PREFERENCE)
BUILT_SCHEMES = ("hf", "pvc", "file", "builtin")


def unbuilt_fields(obj: LLMFineTune | LLMService) -> list[Unbuilt]:
    """Every set field whose feature this version does not have."""
    found = _finetune_fields(obj) if isinstance(obj, LLMFineTune) else _service_fields(obj)
    return list(found)


def _finetune_fields(obj: LLMFineTune) -> Iterator[Unbuilt]:
    spec = obj.spec
    rules: list[tuple[bool, str, str]] = [
        (spec.objective is Objective.DPO, "spec.objective", "DPO is not built yet; use SFT or Pretrain"),
        (spec.method.qlora is not None, "spec.method.qlora", "QLoRA is not built yet; use lora"),
        (spec.search is not None, "spec.search", "searches are not built yet; run the objects one by one"),
        (spec.workers.elastic is not None, "spec.workers.elastic", "elastic workers are not built yet; set replicas"),
        *_scheme_rules("spec.output.storage", spec.output.storage),
        *_scheme_rules("spec.model.source", spec.model.source),
    ]
    yield from _set(rules)
    for path, dataset in _datasets(obj):
        yield from _set(_dataset_rules(path, dataset))


def _service_fields(obj: LLMService) -> Iterator[Unbuilt]:
    spec = obj.spec
    followed = spec.model.fine_tune
    yield from _set(
        [
            (
                spec.access.api_keys is not None,
                "spec.access.apiKeys",
                "API keys are not built yet; use anonymous: {} on a private network",
            ),
            (spec.autoscaling is not None, "spec.autoscaling", "scaling by load is not built yet; set replicas"),
            (
                followed is not None and followed.selector is not None,
                "spec.model.fineTune.selector",
                "following by labels is not built yet; give a name",
            ),
            (
                followed is not None and followed.policy is not FollowPolicy.LATEST,
                "spec.model.fineTune.policy",
                "choosing the best run is not built yet; leave it at Latest",
            ),
            (
                spec.upgrade.strategy is not UpgradeStrategy.AUTO,
                "spec.upgrade.strategy",
                "the choice is not built yet; leave it at Auto",
            ),
            (
                spec.replicas_per_accelerator > 1,
                "spec.replicasPerAccelerator",
                "sharing an accelerator is not built yet; leave it at 1",
            ),
            *_scheme_rules("spec.model.source", spec.model.source),
            *(rule for i, a in enumerate(spec.adapters) for rule in _scheme_rules(f"spec.adapters[{i}].source", a.source)),
        ]
    )


def _datasets(obj: LLMFineTune) -> Iterator[tuple[str, Dataset]]:
    for i, dataset in enumerate(obj.spec.data.train):
        yield f"spec.data.train[{i}]", dataset
    validation = obj.spec.data.validation
    for i, dataset in enumerate((validation.datasets if validation else None) or []):
        yield f"spec.data.validation.datasets[{i}]", dataset


def _dataset_rules(path: str, dataset: Dataset) -> list[tuple[bool, str, str]]:
    return [
        (
            dataset.format in UNBUILT_FORMATS,
            f"{path}.format",
            f"{dataset.format} is not built yet; use Messages, PromptCompletion or Text",
        ),
        (dataset.columns is not None, f"{path}.columns", "renaming columns is not built yet; rename them in the file"),
        (dataset.weight != 1, f"{path}.weight", "mixing by weight is not built yet; leave it at 1"),
        *_scheme_rules(f"{path}.source", dataset.source),
    ]


def _scheme_rules(path: str, uri: str | None) -> list[tuple[bool, str, str]]:
    scheme = (uri or "file").partition("://")[0]
    return [(scheme not in BUILT_SCHEMES, path, f"{scheme}:// is not built yet; use hf://, pvc:// or file://")]


def _set(rules: list[tuple[bool, str, str]]) -> Iterator[Unbuilt]:
    yield from (Unbuilt(path, message) for is_set, path, message in rules if is_set)
