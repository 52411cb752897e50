"""What the API has and this version does not do yet: each entry of raysmith.api.unbuilt is refused by name, everywhere."""

from typing import Any

import pytest

from objects import finetune, service
from raysmith.admission import problems
from raysmith.api import KINDS
from raysmith.api.unbuilt import TABLES
from raysmith.config import Settings
from raysmith.render import rendered

ROWS = {"name": "rows", "source": "file://rows.jsonl"}
SPACE = {"training.seed": {"choice": [1, 2]}}
MODELS = "use hf://owner/name, pvc://claim/path or builtin://tiny, or file:// for runs on one machine."
DATA = "use hf://datasets/owner/name, pvc://claim/path or a builtin:// data set, or file:// for runs on one machine."
SERVED = "use hf://owner/name or pvc://claim/path, or file:// for services on one machine."
STORAGE = "use pvc://claim/path, or file:// for runs on one machine."


def rows(**changes: Any) -> dict[str, Any]:
    return finetune(data={"train": [ROWS, ROWS | {"name": "more"} | changes]})


def held_back(**changes: Any) -> dict[str, Any]:
    return finetune(data={"train": [ROWS], "validation": {"datasets": [ROWS | changes]}})


def following(**changes: Any) -> dict[str, Any]:
    return service(model={"fineTune": changes})


UNBUILT = {
    "DPO": (finetune(objective="DPO"), "spec.objective: DPO is not built yet; use SFT or Pretrain."),
    "QLoRA": (finetune(method={"qlora": {}}), "spec.method.qlora: QLoRA is not built yet; use lora."),
    "a search": (
        finetune(search={"trials": 2, "space": SPACE}),
        "spec.search: searches are not built yet; run the objects one by one.",
    ),
    "elastic workers": (
        finetune(workers={"elastic": {"minReplicas": 1, "maxReplicas": 2}}),
        "spec.workers.elastic: elastic workers are not built yet; set replicas.",
    ),
    "a result at S3": (
        finetune(output={"storage": "s3://bucket/key"}),
        f"spec.output.storage: s3:// is not built yet; {STORAGE}",
    ),
    "a result at Google": (
        finetune(output={"storage": "gs://bucket/key"}),
        f"spec.output.storage: gs:// is not built yet; {STORAGE}",
    ),
    "a model at S3": (
        finetune(model={"source": "s3://bucket/key"}),
        f"spec.model.source: s3:// is not built yet; {MODELS}",
    ),
    "a model at Google": (
        finetune(model={"source": "gs://bucket/key"}),
        f"spec.model.source: gs:// is not built yet; {MODELS}",
    ),
    "rows at S3": (rows(source="s3://bucket/key"), f"spec.data.train[1].source: s3:// is not built yet; {DATA}"),
    "rows at Google": (rows(source="gs://bucket/key"), f"spec.data.train[1].source: gs:// is not built yet; {DATA}"),
    "validation rows at S3": (
        held_back(source="s3://bucket/key"),
        f"spec.data.validation.datasets[0].source: s3:// is not built yet; {DATA}",
    ),
    "rows as Alpaca has them": (
        rows(format="Alpaca"),
        "spec.data.train[1].format: Alpaca is not built yet; use Messages, PromptCompletion or Text.",
    ),
    "rows as ShareGPT has them": (
        held_back(format="ShareGPT"),
        "spec.data.validation.datasets[0].format: ShareGPT is not built yet; use Messages, PromptCompletion or Text.",
    ),
    "preferences": (
        rows(format="Preference"),
        "spec.data.train[1].format: Preference is not built yet; use Messages, PromptCompletion or Text.",
    ),
    "other names of columns": (
        rows(columns={"prompt": "question"}),
        "spec.data.train[1].columns: renaming columns is not built yet; rename them in the file.",
    ),
    "a weight": (rows(weight=2), "spec.data.train[1].weight: mixing by weight is not built yet; leave it at 1."),
    "a weight below one": (
        held_back(weight=0.5),
        "spec.data.validation.datasets[0].weight: mixing by weight is not built yet; leave it at 1.",
    ),
    "API keys": (
        service(access={"apiKeys": {"secretRef": {"name": "keys"}}}),
        "spec.access.apiKeys: API keys are not built yet; use anonymous: {} on a private network.",
    ),
    "scaling": (
        service(autoscaling={"maxReplicas": 2}),
        "spec.autoscaling: scaling by load is not built yet; set replicas.",
    ),
    "a selector": (
        following(selector={"matchLabels": {"a": "b"}}),
        "spec.model.fineTune.selector: following by labels is not built yet; give a name.",
    ),
    "the best run": (
        following(name="run", policy="Best", metric="ExactMatch"),
        "spec.model.fineTune.policy: choosing the best run is not built yet; leave it at Latest.",
    ),
    **{
        f"the upgrade {strategy}": (
            service(upgrade={"strategy": strategy}),
            "spec.upgrade.strategy: the choice is not built yet; leave it at Auto.",
        )
        for strategy in ("BlueGreen", "InPlace", "Recreate")
    },
    "shared accelerators": (
        service(replicasPerAccelerator=2),
        "spec.replicasPerAccelerator: sharing an accelerator is not built yet; leave it at 1.",
    ),
    "a served model at S3": (
        service(model={"source": "s3://bucket/key"}),
        f"spec.model.source: s3:// is not built yet; {SERVED}",
    ),
    "a served model at Google": (
        service(model={"source": "gs://bucket/key"}),
        f"spec.model.source: gs:// is not built yet; {SERVED}",
    ),
    "an adapter at S3": (
        service(adapters=[{"name": "a", "source": "s3://bucket/key"}]),
        f"spec.adapters[0].source: s3:// is not built yet; {SERVED}",
    ),
    "an adapter at Google": (
        service(adapters=[{"name": "a", "source": "gs://bucket/key"}]),
        f"spec.adapters[0].source: gs:// is not built yet; {SERVED}",
    ),
}


@pytest.mark.parametrize("case", UNBUILT)
def test_what_is_not_built_is_refused_by_name(case: str) -> None:
    document, sentence = UNBUILT[case]
    found = problems(document)
    assert [problem.message for problem in found] == [sentence]
    assert sentence.startswith(f"{found[0].field}: "), "the field is the one whose line is shown"


@pytest.mark.parametrize("case", UNBUILT)
def test_the_operator_says_the_same_of_an_object_that_the_api_server_let_through(case: str) -> None:
    document, sentence = UNBUILT[case]
    assert rendered(KINDS[document["kind"]].model_validate(document), Settings()) == ([], [sentence])


@pytest.mark.parametrize("document", [finetune(), service(), rows(weight=1), following(name="run", policy="Latest")])
def test_what_is_built_is_let_through(document: dict[str, Any]) -> None:
    assert problems(document) == []


def test_no_entry_is_without_a_case_above() -> None:
    said = [sentence for _, sentence in UNBUILT.values()]
    entries = [f"{entry.field}: {entry.message}." for table in TABLES for entry in table]
    assert [entry for entry in entries if not any(sentence.endswith(f".{entry}") for sentence in said)] == []
