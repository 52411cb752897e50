"""LLMService: serve a model behind an OpenAI-compatible API, and follow its fine-tunes."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field

from raysmith.api.common import (
    NAME_RULES,
    NO_PARENT_RULE,
    Artifact,
    Condition,
    MetricName,
    ObjectMeta,
    ObjectName,
    PodTemplate,
    Resources,
    SecretReference,
    Uri,
)
from raysmith.api.finetune import FineTuneReference
from raysmith.api.schema import (
    API_VERSION,
    Column,
    Kind,
    Model,
    Names,
    Rule,
    Scale,
    at_most_one_of,
    exactly_one_of,
    map_list,
)


class FollowPolicy(StrEnum):
    """Which of several matching runs is served."""

    LATEST = "Latest"
    BEST = "Best"


class UpgradeStrategy(StrEnum):
    """How a new revision takes over."""

    AUTO = "Auto"
    BLUE_GREEN = "BlueGreen"
    IN_PLACE = "InPlace"
    RECREATE = "Recreate"


class LabelSelector(Model):
    """Labels that must all be there."""

    match_labels: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(min_length=1, max_length=16)]
    """Label names and their values."""


class FollowedFineTune(Model):
    """The runs whose result is served: one by name, or those with certain labels."""

    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of("name", "selector"),
        Rule("!has(self.metric) || self.policy == 'Best'", "metric goes with policy Best only."),
        Rule("self.policy != 'Best' || has(self.metric)", "policy Best needs a metric to be best at."),
    )

    name: ObjectName | None = None
    """Name of one LLMFineTune."""
    selector: LabelSelector | None = None
    """Labels of the LLMFineTunes to follow. Only those that passed their gate count."""
    policy: FollowPolicy = FollowPolicy.LATEST
    """`Latest` serves the newest, `Best` the one with the best `metric`."""
    metric: MetricName | None = None
    """What the best is best at."""


class ServedModel(Model):
    """The model to serve."""

    rules: ClassVar[tuple[Rule, ...]] = (exactly_one_of("source", "fineTune"), NO_PARENT_RULE)

    source: Uri | None = None
    """A model folder as transformers writes it: `hf://owner/name[@revision]`, `pvc://claim/path`, `file://path`."""
    fine_tune: FollowedFineTune | None = None
    """The result of an LLMFineTune. A result that is an adapter is served on the base it was trained on."""
    secret_ref: SecretReference | None = None
    """Where the credentials for `source` come from; the key for Hugging Face is `HF_TOKEN`."""


class Adapter(Model):
    """A LoRA adapter that is served beside the base, as the model `<service>:<name>`."""

    rules: ClassVar[tuple[Rule, ...]] = (exactly_one_of("source", "fineTune"), NO_PARENT_RULE)

    name: ObjectName
    """How requests call it: `<service>:<name>`."""
    source: Uri | None = None
    """An adapter folder as peft writes it."""
    fine_tune: FineTuneReference | None = None
    """The result of an LLMFineTune with `method.lora`, trained on the same base."""
    secret_ref: SecretReference | None = None
    """Where the credentials for `source` come from."""


EngineArgument = Annotated[str, Field(max_length=1024)]


class Engine(Model):
    """How the model is run."""

    max_model_length: Annotated[int, Field(ge=8, le=10485760)] | None = None
    """Most tokens of a question and its answer together. What the model was made for, if left out."""
    tensor_parallel: Annotated[int, Field(ge=1, le=64)] = 1
    """Accelerators that share one copy of the model."""
    args: Annotated[dict[str, EngineArgument], Field(max_length=32)] = Field(default={})
    """Further settings of vLLM by their command-line name without dashes, for example `{max-num-seqs: "64"}`. Only those
    that cannot load code or files are allowed."""


class Autoscaling(Model):
    """As many replicas as the requests need."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.minReplicas <= self.maxReplicas", "minReplicas must not be greater than maxReplicas."),
    )

    min_replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """Fewest replicas; with 0 the model is started by the first request."""
    max_replicas: Annotated[int, Field(ge=1, le=1000)]
    """Most replicas."""
    target_ongoing_requests: Annotated[int, Field(ge=1, le=10000)] = 16
    """Requests at once that one replica should have."""


class ApiKeys(Model):
    """Keys that clients must send as `Authorization: Bearer`."""

    secret_ref: SecretReference
    """The Secret that holds the keys."""


class Anonymous(Model):
    """No key is asked for."""


class Access(Model):
    """Who may ask. Exactly one."""

    rules: ClassVar[tuple[Rule, ...]] = (exactly_one_of("apiKeys", "anonymous"),)

    api_keys: ApiKeys | None = None
    """Only who holds a key."""
    anonymous: Anonymous | None = None
    """Everybody who can reach the address: `anonymous: {}`."""


class Upgrade(Model):
    """How a new revision takes over."""

    strategy: UpgradeStrategy = UpgradeStrategy.AUTO
    """`Auto` chooses by the room there is, and status says which and why."""
    deadline_seconds: Annotated[int, Field(ge=1)] = 1800
    """A revision that is not ready by then is removed; the old one goes on."""


class LLMServiceSpec(Model):
    """What to serve, how, and to whom."""

    rules: ClassVar[tuple[Rule, ...]] = (at_most_one_of("replicas", "autoscaling"),)

    model: ServedModel
    """The model to serve."""
    adapters: Annotated[list[Adapter], Field(max_length=256, json_schema_extra=map_list("name"))] = Field(default=[])
    """LoRA adapters on that model."""
    engine: Engine = Field(default=Engine())
    """How the model is run."""
    replicas: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Copies of the model. 1 if neither this nor `autoscaling` is set."""
    autoscaling: Autoscaling | None = None
    """As many replicas as the requests need."""
    resources: Resources | None = None
    """What one replica asks for."""
    accelerator: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Type of accelerator, as Ray names it: `H100`, `A100`, `L4`."""
    replicas_per_accelerator: Annotated[int, Field(ge=1, le=64)] = 1
    """Replicas that share one accelerator."""
    access: Access
    """Who may ask."""
    upgrade: Upgrade = Field(default=Upgrade())
    """How a new revision takes over."""
    pod_template: PodTemplate | None = None
    """Pod settings that no field covers."""


class AdapterStatus(Model):
    """Where one adapter is loaded."""

    name: ObjectName
    """Name of the adapter."""
    artifact: Artifact | None = None
    """What its reference resolved to."""
    loaded_replicas: Annotated[int, Field(ge=0)] = 0
    """Replicas that answer for it."""


class LLMServiceStatus(Model):
    """What was observed."""

    observed_generation: int | None = None
    """The generation of the spec that this speaks of."""
    phase: Annotated[str, Field(max_length=63)] | None = None
    """One word for people; programs read the conditions."""
    conditions: Annotated[list[Condition], Field(max_length=32, json_schema_extra=map_list("type"))] | None = None
    """`Accepted` and `Ready`, which is true only for a model that answers."""
    model: Artifact | None = None
    """What `spec.model` resolved to."""
    adapters: Annotated[list[AdapterStatus], Field(max_length=256, json_schema_extra=map_list("name"))] | None = None
    """Where each adapter is loaded."""
    revision: Annotated[str, Field(max_length=63)] | None = None
    """The revision that requests go to."""
    pending_revision: Annotated[str, Field(max_length=63)] | None = None
    """The revision that is being started and takes over when it answers."""
    pending_since: AwareDatetime | None = None
    """Since when it is being started."""
    failed_revision: Annotated[str, Field(max_length=63)] | None = None
    """The last revision that was not ready by its deadline; it is not tried again until something changes."""
    url: Annotated[str, Field(max_length=1024)] | None = None
    """Base address for OpenAI clients, ending in `/v1`."""
    replicas: Annotated[int, Field(ge=0)] | None = None
    """Replicas that are wanted."""
    ready_replicas: Annotated[int, Field(ge=0)] | None = None
    """Replicas that answer."""


class LLMService(Kind):
    """Serve a language model behind an OpenAI-compatible API, with adapters, and follow its fine-tunes."""

    names: ClassVar[Names] = Names("LLMService", "llmservices", "llmservice", ("lsv",))
    rules: ClassVar[tuple[Rule, ...]] = NAME_RULES
    scale: ClassVar[Scale | None] = Scale(".spec.replicas", ".status.replicas")
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Phase", "string", ".status.phase", "Where the service is."),
        Column("URL", "string", ".status.url", "Base address for OpenAI clients."),
        Column("Ready", "integer", ".status.readyReplicas", "Replicas that answer."),
        Column("Desired", "integer", ".status.replicas", "Replicas that are wanted."),
        Column("Model", "string", ".status.model.uri", "What is served."),
        Column("Digest", "string", ".status.model.digest", "Digest of what is served."),
        Column("Age", "date", ".metadata.creationTimestamp", "Time since creation."),
    )

    api_version: Literal["raysmith.io/v1alpha1"] = API_VERSION
    """Version of the API."""
    kind: Literal["LLMService"] = "LLMService"
    """Kind of the object."""
    metadata: ObjectMeta
    """Name, namespace and labels."""
    spec: LLMServiceSpec
    """What to serve, how, and to whom."""
    status: LLMServiceStatus | None = None
    """What was observed."""
