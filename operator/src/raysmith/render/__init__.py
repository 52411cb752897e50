"""From an object to the Kubernetes manifests that make it true. Pure: no cluster, no clock, no random names.

object + settings + the LLMFineTunes that it refers to
    -> refusals.py        what no pod can do, or no pod may (template_rules.py, source_rules.py)
    -> finetune.py        ConfigMap, batch/v1 Job (preparation), RayJob (training); Jobs that clear up
       identity.py        ServiceAccount, Role, RoleBinding of the run
       service.py         ConfigMap, RayService, Service
    -> kuberay_rules.py   what KubeRay would refuse after admission
"""

from typing import Final

from raysmith.api import LLMFineTune, LLMService
from raysmith.api.unbuilt import unbuilt_fields
from raysmith.config import Settings
from raysmith.render.addresses import NO_FINETUNES, FineTunes, references, resolved_addresses
from raysmith.render.finetune import deletion_manifests, finetune_manifests, recovery_job
from raysmith.render.kuberay_rules import kuberay_findings
from raysmith.render.objects import OBJECT_FILE, Manifest
from raysmith.render.refusals import Refusal, RenderError, cluster_refusals, refusals
from raysmith.render.service import service_manifests
from raysmith.render.text import to_yaml

__all__ = [
    "Manifest",
    "Refusal",
    "RenderError",
    "Settings",
    "deletion_manifests",
    "recovery_job",
    "refusals",
    "render",
    "render_notes",
    "rendered",
    "to_yaml",
]

CONFIG_MAP_LIMIT: Final = 1_000_000
"""Bytes of an object that fit into a ConfigMap (1 MiB) with its metadata."""


def render(obj: LLMFineTune | LLMService, settings: Settings, finetunes: FineTunes = NO_FINETUNES) -> list[Manifest]:
    """The manifests for `obj`, in the order in which they are to be applied; none for a suspended run.

    What its references resolved to stands in `obj.status`, as does the number of the attempt (1 if there is none).
    `finetunes` are the objects that the references name, where they are known: their volumes are mounted too. Raises
    RenderError with everything that cannot work in a cluster.
    """
    if found := [*refusals(obj, settings, finetunes), *cluster_refusals(obj, finetunes)]:
        raise RenderError(found)
    manifests = _manifests(obj, settings, finetunes)
    if hidden := [refusal for manifest in manifests for refusal in _hidden_rules(manifest)]:
        raise RenderError(hidden)
    return manifests


def rendered(
    obj: LLMFineTune | LLMService, settings: Settings, finetunes: FineTunes = NO_FINETUNES
) -> tuple[list[Manifest], list[str]]:
    """The manifests for `obj`, or the sentences about why there are none: what is not built, else what cannot work."""
    if unbuilt := [field.sentence for field in unbuilt_fields(obj)]:
        return [], unbuilt
    try:
        return render(obj, settings, finetunes), []
    except RenderError as error:
        return [], [refusal.message for refusal in error.refusals]


def render_notes(obj: LLMFineTune | LLMService, finetunes: FineTunes = NO_FINETUNES) -> list[str]:
    """What a reader of the manifests must know: sentences about what only a cluster can fill in, and why nothing runs."""
    notes = []
    if not obj.metadata.uid:
        missing = "ownerReferences and the uid in object.json are missing here"
        notes.append(f"{obj.kind} {obj.metadata.name} gets its uid when it is created; {missing}.")
    if not resolved_addresses(obj):
        notes += [_unresolved_note(field, name, finetunes) for field, name in references(obj).items()]
    if isinstance(obj, LLMFineTune) and obj.spec.suspend:
        notes.append("spec.suspend is true, so nothing runs.")
    if isinstance(obj, LLMService) and obj.spec.replicas == 0:
        notes.append("spec.replicas is 0, so there are no pods; the Service keeps the address.")
    return notes


def _manifests(obj: LLMFineTune | LLMService, settings: Settings, finetunes: FineTunes) -> list[Manifest]:
    if isinstance(obj, LLMService):
        return service_manifests(obj, settings, finetunes)
    return [] if obj.spec.suspend else finetune_manifests(obj, settings, finetunes)


def _hidden_rules(manifest: Manifest) -> list[Refusal]:
    """What only shows in the manifests: the size of the object, and KubeRay's own rules."""
    if manifest["kind"] == "ConfigMap":
        size = len(manifest["data"][OBJECT_FILE].encode())
        message = f"spec takes {size:,} bytes, and a ConfigMap holds {CONFIG_MAP_LIMIT:,}; shorten its longest texts."
        return [Refusal("spec", message)] if size > CONFIG_MAP_LIMIT else []
    name = f"{manifest['kind']} {manifest['metadata']['name']}"
    # Nothing else that users write gets as far as KubeRay.
    return [
        Refusal("spec.podTemplate", f"spec.podTemplate makes a {name} that KubeRay refuses: {field} {reason}.")
        for field, reason in kuberay_findings(manifest)
    ]


def _unresolved_note(field: str, name: str, finetunes: FineTunes) -> str:
    note = f"{field} is the result of LLMFineTune {name}, which the operator writes into status when the run is promoted."
    return note if name in finetunes else f"{note} The run is not known here, so its volumes are not mounted."
