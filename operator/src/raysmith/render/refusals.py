"""What the API's schema and rules cannot see: settings that would break out of the pods, or that no pod can satisfy.

Each refusal is a field and a sentence. `raysmith validate` prints them, rendering raises them.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from raysmith.api import LLMFineTune, LLMService
from raysmith.api.common import PodTemplate, Resources, SecretReference
from raysmith.api.engine import refusal as argument_refusal
from raysmith.api.patterns import SECRET_NAME, SENTENCES
from raysmith.api.quantities import accelerators
from raysmith.config import Settings
from raysmith.errors import RaysmithError
from raysmith.fieldpath import below
from raysmith.render.addresses import NO_FINETUNES, Address, FineTunes, addresses, reached_addresses
from raysmith.render.source_rules import source_problems
from raysmith.render.template_rules import template_problems


class Refusal(NamedTuple):
    """A field and why it cannot stay as it is, in a whole sentence that names it."""

    field: str
    message: str


class RenderError(RaysmithError):
    """The object is allowed, and no pods can be made from it. `str()` gives all sentences, one a line."""

    def __init__(self, refusals: list[Refusal]) -> None:
        super().__init__("\n".join(refusal.message for refusal in refusals))
        self.refusals = tuple(refusals)


def refusals(obj: LLMFineTune | LLMService, settings: Settings, finetunes: FineTunes = NO_FINETUNES) -> list[Refusal]:
    """Everything that cannot work, wherever the object runs. `finetunes` are the runs that it names, where they are known."""
    found = [Refusal(*problem) for problem in source_problems(obj, finetunes)]
    found += [*_secret_refusals(obj), *_template_refusals(obj.spec.pod_template)]
    if isinstance(obj, LLMFineTune):
        found += _worker_refusals(obj)
    else:
        found += [*_argument_refusals(obj, settings), *_replica_refusals(obj)]
    return found


def cluster_refusals(obj: LLMFineTune | LLMService, finetunes: FineTunes = NO_FINETUNES) -> list[Refusal]:
    """What no pod can reach, though this machine may."""
    named = addresses(obj)
    unreachable = [refusal for address in named for refusal in _address_refusals(address)]
    return unreachable + list(_hub_refusals([*named, *reached_addresses(obj, finetunes)]))


def _address_refusals(address: Address) -> Iterator[Refusal]:
    if address.scheme == "file":
        message = f"{address.field} is {address.uri}, a path of one machine; in a cluster, name a volume: pvc://claim/path."
        yield Refusal(address.field, message)
    if address.claim is not None and not re.fullmatch(SECRET_NAME, address.claim):
        message = f"{address.field} names the claim {address.claim!r}, and a claim's name {SENTENCES[SECRET_NAME]}."
        yield Refusal(address.field, message)


def _hub_refusals(named: list[Address]) -> Iterator[Refusal]:
    secrets = [(address.secret_field, address.secret.name) for address in named if address.secret and address.scheme == "hf"]
    for field, name in secrets[1:]:
        if name != secrets[0][1]:
            message = f"{field} is {name}, but a pod has one HF_TOKEN; use Secret {secrets[0][1]} for all hf:// addresses."
            yield Refusal(field, message)


def _secret_refusals(obj: LLMFineTune | LLMService) -> Iterator[Refusal]:
    for address in addresses(obj):
        if address.secret and address.scheme != "hf":
            field = address.secret_field
            yield Refusal(field, f"{field} is of no use: nothing at {address.scheme}:// asks for credentials; leave it out.")
    for field, secret in _secrets_of_references(obj):
        if secret:
            message = f"{field} is of no use beside fineTune: the credentials come from that LLMFineTune; leave it out."
            yield Refusal(field, message)


def _secrets_of_references(obj: LLMFineTune | LLMService) -> Iterator[tuple[str, SecretReference | None]]:
    if obj.spec.model.fine_tune:
        yield "spec.model.secretRef", obj.spec.model.secret_ref
    for i, adapter in enumerate(obj.spec.adapters if isinstance(obj, LLMService) else []):
        if adapter.fine_tune:
            yield f"spec.adapters[{i}].secretRef", adapter.secret_ref


def _template_refusals(template: PodTemplate | None) -> Iterator[Refusal]:
    for group, piece in (("head", template and template.head), ("workers", template and template.workers)):
        for field, reason in template_problems(piece or {}, f"spec.podTemplate.{group}"):
            yield Refusal(field, f"{field} {reason}.")


def _argument_refusals(obj: LLMService, settings: Settings) -> Iterator[Refusal]:
    for argument in obj.spec.engine.args:
        if reason := argument_refusal(argument, settings.engine_arguments):
            field = below("spec.engine.args", argument)
            yield Refusal(field, f"{field} is refused: {reason}.")


def _worker_refusals(obj: LLMFineTune) -> Iterator[Refusal]:
    workers = obj.spec.workers
    yield from _accelerator_refusals("spec.workers", workers.resources, workers.accelerator)
    field = "spec.workers.resources.limits"
    if sum(accelerators(workers.resources).values()) > 1:
        yield Refusal(field, f"{field}: a worker trains on one accelerator; ask for 1 and raise spec.workers.replicas.")


def _replica_refusals(obj: LLMService) -> Iterator[Refusal]:
    yield from _accelerator_refusals("spec", obj.spec.resources, obj.spec.accelerator)
    count, wanted = sum(accelerators(obj.spec.resources).values()), obj.spec.engine.tensor_parallel
    if count not in (0, wanted):
        field = "spec.engine.tensorParallel"
        yield Refusal(
            field, f"{field} is {wanted}, and spec.resources.limits asks for {count:f} accelerators; make them equal."
        )


def _accelerator_refusals(path: str, resources: Resources | None, accelerator: str | None) -> Iterator[Refusal]:
    counts, field = accelerators(resources), f"{path}.resources.limits"
    if len(counts) > 1:
        yield Refusal(field, f"{field} names {' and '.join(counts)}; a pod has one kind of accelerator.")
    for name, count in counts.items():
        if count != count.to_integral_value():
            yield Refusal(field, f"{field}: {name} is {count:f}; accelerators come whole.")
    if accelerator and not counts:
        message = f'{path}.accelerator is {accelerator}, and {field} asks for none; add for example nvidia.com/gpu: "1".'
        yield Refusal(f"{path}.accelerator", message)
