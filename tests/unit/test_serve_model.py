"""Which folders a service loads, from its object and the records of the runs it names."""

from typing import Any

import pytest

from objects import service
from raysmith.api import LLMService
from raysmith.api.record import RunRecord
from raysmith_workloads.errors import Refused
from raysmith_workloads.serve.model import Served, absolute, resolve
from run_records import run_record

DIGESTS = {
    name: "sha256:" + letter * 64 for name, letter in (("model", "1"), ("adapter", "2"), ("further", "3"), ("failed", "4"))
}
WEIGHTS = "sha256:" + "b" * 64
"""Digest of the weights of hf://acme/base, as the records have it."""


def _record(name: str, **changes: Any) -> RunRecord:
    return run_record(f"pvc://store/{name}", digest=DIGESTS[name], name=name, **changes)


RECORDS = {
    record.artifact.uri: record
    for record in (
        _record("model"),
        _record("adapter", artifactKind="adapter"),
        _record(
            "further",
            artifactKind="adapter",
            base={"artifact": {"uri": "pvc://store/adapter", "digest": DIGESTS["adapter"]}, "digest": WEIGHTS},
        ),
        _record("failed", promoted=False, message="ExactMatch is 0.2 and not at least 0.9."),
    )
}


def _artifact(name: str) -> dict[str, str]:
    return {"uri": f"pvc://store/{name}", "digest": DIGESTS[name]}


def _service(*, model: str | None = None, adapters: tuple[str, ...] = (), **spec: Any) -> LLMService:
    """A service of the run `model` with the runs `adapters` as adapters of the same names, all of them resolved."""
    document = service(adapters=[{"name": name, "fineTune": {"name": name}} for name in adapters], **spec)
    document["status"] = {"adapters": [{"name": name, "artifact": _artifact(name)} for name in adapters]}
    if model:
        document["spec"]["model"] = {"fineTune": {"name": model}}
        document["status"]["model"] = _artifact(model)
    return LLMService.model_validate(document)


def _resolve(obj: LLMService) -> Served:
    return resolve(obj, RECORDS.__getitem__)


def test_a_source_is_served_under_the_name_of_the_service() -> None:
    assert _resolve(_service()) == Served("chat", "chat", "hf://owner/name")


def test_a_run_that_trained_all_weights_is_served_from_its_model_folder() -> None:
    assert _resolve(_service(model="model")) == Served("chat", "chat", "pvc://store/model/model")


@pytest.mark.parametrize("run", ["adapter", "further"])
def test_a_run_that_trained_an_adapter_is_served_on_the_weights_below_all_adapters(run: str) -> None:
    assert _resolve(_service(model=run)) == Served(
        name="chat",
        engine_model="chat:base",
        base="hf://acme/base",
        adapters={"chat": f"pvc://store/{run}/adapter"},
        base_digests={"chat": WEIGHTS},
    )


def test_adapters_are_served_beside_the_base_and_must_have_been_trained_on_it() -> None:
    served = _resolve(_service(adapters=("adapter", "further")))
    assert served.adapters == {
        "chat:adapter": "pvc://store/adapter/adapter",
        "chat:further": "pvc://store/further/adapter",
    }
    assert served.base_digests == {"chat:adapter": WEIGHTS, "chat:further": WEIGHTS}


def test_an_adapter_from_a_folder_has_no_record_to_check() -> None:
    obj = LLMService.model_validate(service(adapters=[{"name": "a", "source": "file:///adapters/a"}]))
    assert _resolve(obj) == Served("chat", "chat", "hf://owner/name", {"chat:a": "file:///adapters/a"})


def test_relative_addresses_become_absolute(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    served = absolute(Served("chat", "chat", "file://model", {"chat:a": "pvc://store/a"}))
    assert (served.base, served.adapters) == (f"file://{tmp_path}/model", {"chat:a": "pvc://store/a"})


@pytest.mark.parametrize(
    ("obj", "sentence"),
    [
        pytest.param(
            LLMService.model_validate(service(model={"source": "builtin://tiny"})),
            "LLMService chat: spec.model.source: builtin://tiny is only a shape with random weights, so there is nothing to "
            "serve; train it with an LLMFineTune and name that in fineTune.",
            id="a built-in shape",
        ),
        pytest.param(
            LLMService.model_validate(service(model={"fineTune": {"name": "new"}})),
            "LLMService chat: spec.model.fineTune new: the run has no result yet; run it first, then serve it.",
            id="a run without a result",
        ),
        pytest.param(
            _service(model="failed"),
            "LLMService chat: spec.model.fineTune failed: the run did not pass its gate (ExactMatch is 0.2 and not at least "
            "0.9.), so it is not served; train it better, or change its evaluation.gate.",
            id="a run that failed its gate",
        ),
        pytest.param(
            LLMService.model_validate(
                service(model={"fineTune": {"name": "model"}}) | {"status": {"model": _artifact("model") | {"digest": WEIGHTS}}}
            ),
            f"LLMService chat: spec.model.fineTune model: pvc://store/model holds another result ({DIGESTS['model']}) than the "
            f"service was made for ({WEIGHTS}); apply the service again.",
            id="another result than the one that was resolved",
        ),
        pytest.param(
            _service(adapters=("model",)),
            "LLMService chat: spec.adapters model: its run trained all weights, so its result is a model and no adapter; serve "
            "it as spec.model of a service of its own, or train it with method.lora.",
            id="a whole model as an adapter",
        ),
        pytest.param(
            LLMService.model_validate(
                service(model={"fineTune": {"name": "adapter"}}, adapters=[{"name": "base", "source": "file:///a"}])
                | {"status": {"model": _artifact("adapter")}}
            ),
            "LLMService chat: an adapter cannot be called base here, because chat:base is the model that the service's own "
            "adapter was trained on; give it another name.",
            id="an adapter with the name of the base",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_in_a_sentence(obj: LLMService, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        _resolve(obj)
    assert refused.value.message == sentence
