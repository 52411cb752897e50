"""Addresses that name nothing, and what comes with Raysmith used as it cannot be: said before any pod looks for it."""

from collections.abc import Iterator

from raysmith.api import LLMFineTune, LLMService, hub
from raysmith.api.builtin import SCHEME, TINY, data_set_problem, tiny_positions
from raysmith.api.finetune import Data
from raysmith.render.addresses import Address, FineTunes, addresses, references

Problem = tuple[str, str]
"""Path of a field, and a sentence about it that names it."""


def source_problems(obj: LLMFineTune | LLMService, finetunes: FineTunes) -> Iterator[Problem]:
    """Everything that can be known about the sources of `obj` without looking. `finetunes` are the known runs it may name."""
    for address in addresses(obj):
        if problem := _problem(obj, address):
            yield address.field, f"{address.field}: {problem}"
    if isinstance(obj, LLMFineTune):
        yield from _adapter_problem(obj)
        yield from _length_problem(obj, finetunes)


def _problem(obj: LLMFineTune | LLMService, address: Address) -> str | None:
    is_rows = address.field.startswith("spec.data.")
    if address.scheme == "hf":
        form, sentence = (hub.DATA_SET, hub.not_a_data_set) if is_rows else (hub.MODEL, hub.not_a_model)
        return None if form.fullmatch(address.uri) else sentence(address.uri)
    if address.scheme == "builtin":
        return data_set_problem(address.uri) if is_rows else _builtin_model_problem(obj, address)
    return None


def _builtin_model_problem(obj: LLMFineTune | LLMService, address: Address) -> str | None:
    if isinstance(obj, LLMFineTune):
        return None if address.uri == TINY else f"{address.uri} is no model that comes with Raysmith; there is {TINY}."
    if address.field == "spec.model.source":
        return (
            f"nothing at {SCHEME} can be served, for {TINY} is only a shape with random weights; "
            "train it with an LLMFineTune and name that in fineTune."
        )
    return "no adapter comes with Raysmith; train one with an LLMFineTune that has method.lora, and name that in fineTune."


def _adapter_problem(obj: LLMFineTune) -> Iterator[Problem]:
    if obj.spec.model.source == TINY and obj.spec.method.lora is not None:
        why = f"{TINY} starts from random weights, and an adapter on them teaches nothing; use full: {{}}."
        yield "spec.method.lora", f"spec.method.lora: {why}"


def _length_problem(obj: LLMFineTune, finetunes: FineTunes) -> Iterator[Problem]:
    """What goes on from TINY can look at as many tokens as the run that made it: a run reads no longer sequences later."""
    made = _maker(obj, finetunes)
    if made is None:
        return
    positions, wanted = tiny_positions(made.spec.data.max_length), obj.spec.data.max_length
    if wanted > positions:
        field, is_default = "spec.data.maxLength", wanted == Data.model_fields["max_length"].default
        why = (
            f"{field} is {wanted}{', the default' if is_default else ''}, but the model of LLMFineTune {made.metadata.name} is "
            f"made for {positions} tokens; set maxLength to {positions} or less here, or to {wanted} there."
        )
        yield field, why


def _maker(obj: LLMFineTune, finetunes: FineTunes) -> LLMFineTune | None:
    """The run that makes the TINY that `obj` goes back to; None if that is another model, or is not known."""
    run, seen = obj, set[str]()
    while named := next(iter(references(run).values()), None):
        if named in seen or named not in finetunes:
            return None
        seen.add(named)
        run = finetunes[named]
    return run if run.spec.model.source == TINY else None
