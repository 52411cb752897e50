"""Parts that both kinds use: references, resources, pod settings, conditions, metrics."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import AwareDatetime, Field

from raysmith.api import patterns
from raysmith.api.schema import Model, OpenObject, Quantity, Rule, no_parent

# KubeRay refuses RayJobs and RayServices with longer names after admission; we refuse the object before.
NAME_LIMIT = 47

NAME_RULES = (
    Rule(
        f"self.metadata.name.size() <= {NAME_LIMIT}",
        f"The name may have at most {NAME_LIMIT} characters, because Ray's own objects are named after it.",
        "metadata.name",
    ),
    Rule(
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "The name must start with a lower-case letter and hold only lower-case letters, digits and '-'.",
        "metadata.name",
    ),
)

ObjectName = Annotated[str, Field(min_length=1, max_length=63, pattern=patterns.OBJECT_NAME)]
SecretName = Annotated[str, Field(min_length=1, max_length=253, pattern=patterns.SECRET_NAME)]

Uri = Annotated[str, Field(max_length=1024, pattern=patterns.URI)]
NO_PARENT_RULE = no_parent("source")


class SecretReference(Model):
    """A Secret in the object's own namespace."""

    name: SecretName
    """Name of the Secret."""


class MetricName(StrEnum):
    """What an evaluation measures."""

    VALIDATION_LOSS = "ValidationLoss"
    PERPLEXITY = "Perplexity"
    EXACT_MATCH = "ExactMatch"
    STOP_RATE = "StopRate"

    @property
    def higher_is_better(self) -> bool:
        """Which direction is an improvement."""
        return self in (MetricName.EXACT_MATCH, MetricName.STOP_RATE)


class Metrics(Model):
    """One evaluation of one model on the validation rows."""

    validation_loss: float | None = None
    """Mean negative log-likelihood of a supervised token, in nats."""
    perplexity: float | None = None
    """e to the power of the validation loss."""
    exact_match: float | None = None
    """Share of questions whose whole answer is right, 0 to 1. Only where the data has questions and answers."""
    stop_rate: float | None = None
    """Share of answers that end by themselves before the limit of new tokens, 0 to 1."""

    def value(self, metric: MetricName) -> float | None:
        """The value of `metric`, or None where it was not measured."""
        values = {
            MetricName.VALIDATION_LOSS: self.validation_loss,
            MetricName.PERPLEXITY: self.perplexity,
            MetricName.EXACT_MATCH: self.exact_match,
            MetricName.STOP_RATE: self.stop_rate,
        }
        return values[metric]


class Resources(Model):
    """What one pod asks for, as core/v1's ResourceRequirements."""

    requests: Annotated[dict[str, Quantity], Field(max_length=32)] | None = None
    """Amounts that the scheduler sets aside, for example `{cpu: "8", memory: 64Gi}`."""
    limits: Annotated[dict[str, Quantity], Field(max_length=32)] | None = None
    """Amounts that the pod may not exceed. Accelerators are named here, for example `{nvidia.com/gpu: "1"}`."""


class PodTemplate(Model):
    """Pod settings that no field covers. Merged last into the rendered pods, by name where lists have names.

    The container that works is called `ray`. What a template could use to break out of the pods, or to run another
    command, is refused.
    """

    rules: ClassVar[tuple[Rule, ...]] = ()

    head: OpenObject | None = None
    """A piece of a core/v1 PodTemplateSpec for the Ray head pod, and for the pod that prepares the data."""
    workers: OpenObject | None = None
    """A piece of a core/v1 PodTemplateSpec for the Ray worker pods."""


class ConditionStatus(StrEnum):
    """As metav1.ConditionStatus."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """As metav1.Condition."""

    type: Annotated[str, Field(max_length=316)]
    """What the condition is about, for example `Succeeded`."""
    status: ConditionStatus
    """`True`, `False` or `Unknown`."""
    reason: Annotated[str, Field(min_length=1, max_length=1024, pattern=patterns.REASON)]
    """A stable word in CamelCase for programs."""
    message: Annotated[str, Field(max_length=32768)]
    """A sentence to a person: what happened and what to do next."""
    last_transition_time: AwareDatetime
    """When the status last changed."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec that this speaks of."""


class Artifact(Model):
    """Which stored model a reference resolved to."""

    uri: Annotated[str, Field(max_length=1024)]
    """Where the artefact tree lies."""
    digest: Annotated[str, Field(max_length=80, pattern=patterns.DIGEST)]
    """SHA-256 over the artefact's files; two artefacts with the same digest are the same model."""


class ObjectMeta(Model):
    """The part of metav1.ObjectMeta that Raysmith reads. The API server owns the rest."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the object, unique in its namespace."""
    namespace: str = "default"
    """Namespace of the object."""
    uid: str | None = None
    """Given by the API server; locally, a digest of the spec and of the data it names."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the object."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Annotations of the object."""
    generation: int | None = None
    """Counts the changes of the spec."""


def to_wire(model: Model) -> dict[str, Any]:
    """The object as it is written in YAML: camelCase, nothing that is unset."""
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)
