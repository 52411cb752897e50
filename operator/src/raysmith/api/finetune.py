"""LLMFineTune: train a model on data, hold it against a gate, leave an artefact. Like a Job, it runs once."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field

from raysmith.api import patterns
from raysmith.api.common import (
    NAME_RULES,
    NO_PARENT_RULE,
    Artifact,
    Condition,
    MetricName,
    Metrics,
    ObjectMeta,
    ObjectName,
    PodTemplate,
    Resources,
    SecretReference,
    Uri,
)
from raysmith.api.schema import (
    API_VERSION,
    Column,
    Kind,
    Model,
    Names,
    Rule,
    at_most_one_of,
    exactly_one_of,
    immutable,
    map_list,
    no_parent,
)


class Objective(StrEnum):
    """What is learned from the data."""

    SFT = "SFT"
    PRETRAIN = "Pretrain"
    DPO = "DPO"


class DataFormat(StrEnum):
    """How a row is laid out."""

    MESSAGES = "Messages"
    PROMPT_COMPLETION = "PromptCompletion"
    TEXT = "Text"
    ALPACA = "Alpaca"
    SHARE_GPT = "ShareGPT"
    PREFERENCE = "Preference"


class Precision(StrEnum):
    """Number format of the forward and backward pass."""

    AUTO = "Auto"
    FP32 = "FP32"
    BF16 = "BF16"


class Schedule(StrEnum):
    """How the learning rate goes after the warm-up."""

    COSINE = "Cosine"
    LINEAR = "Linear"
    CONSTANT = "Constant"


class DeletionPolicy(StrEnum):
    """What happens to the artefact when the object is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


class FineTuneReference(Model):
    """Another LLMFineTune in the same namespace."""

    name: ObjectName
    """Name of the LLMFineTune."""


class StartingModel(Model):
    """The model that training starts from."""

    rules: ClassVar[tuple[Rule, ...]] = (exactly_one_of("source", "fineTune"), NO_PARENT_RULE)

    source: Uri | None = None
    """A model folder as transformers writes it: `hf://owner/name[@revision]`, `pvc://claim/path`, `file://path` (local runs
    only), `s3://` and `gs://`; or `builtin://tiny`, a Llama shape of a few million parameters with random weights and a
    tokenizer trained on the run's own text."""
    fine_tune: FineTuneReference | None = None
    """Go on from the result of another LLMFineTune, once that has passed its gate."""
    secret_ref: SecretReference | None = None
    """Where the credentials for `source` come from; the key for Hugging Face is `HF_TOKEN`."""


class Dataset(Model):
    """One source of rows."""

    rules: ClassVar[tuple[Rule, ...]] = (NO_PARENT_RULE,)

    name: ObjectName
    """How messages and reports call this source."""
    source: Uri
    """A file, a folder or a glob of JSONL, JSON, Parquet or CSV files; or a data set that comes with Raysmith:
    `builtin://python-docs`, `builtin://dates-in-words`, `builtin://dates-us`, `builtin://dates-german`."""
    format: DataFormat | None = None
    """How a row is laid out. Found out from the columns of the first row if left out."""
    columns: Annotated[dict[str, Annotated[str, Field(max_length=253)]], Field(max_length=16)] | None = None
    """Other names for the format's columns, for example `{prompt: question, completion: answer}`."""
    weight: Annotated[float, Field(gt=0, le=1000)] = 1
    """How often rows of this source are drawn, beside the other sources'."""
    secret_ref: SecretReference | None = None
    """Where the credentials for `source` come from."""


class Validation(Model):
    """The rows that are held back from training and measured on."""

    rules: ClassVar[tuple[Rule, ...]] = (exactly_one_of("fraction", "datasets"),)

    fraction: Annotated[float, Field(gt=0, le=0.5)] | None = None
    """Share of the training rows to hold back, 0 to 0.5. Rows are chosen by their content, so that equal rows stay together."""
    datasets: Annotated[list[Dataset], Field(min_length=1, max_length=32, json_schema_extra=map_list("name"))] | None = None
    """Sources of their own."""


class Data(Model):
    """What is learned."""

    train: Annotated[list[Dataset], Field(min_length=1, max_length=32, json_schema_extra=map_list("name"))]
    """Sources of training rows."""
    validation: Validation | None = None
    """Rows to measure on. Without them there is no evaluation, and a gate is refused."""
    max_length: Annotated[int, Field(ge=8, le=1048576)] = 2048
    """Tokens in a sequence. Longer conversations are cut at the end, and the report says how many; longer texts are cut into
    several sequences, and nothing is lost."""
    packing: bool = True
    """Put several short rows into one sequence. They do not see one another."""


class LoRA(Model):
    """Low-rank adaptation: small matrices are trained beside frozen weights (arXiv:2106.09685)."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 16
    """Inner size of the added matrices."""
    alpha: Annotated[float, Field(gt=0, le=4096)] = 32
    """Scale of the adaptation; what is added is multiplied by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0
    """Share of the adapter's inputs that are dropped in training."""
    target_modules: Annotated[list[Annotated[str, Field(max_length=128)]], Field(min_length=1, max_length=64)] | None = None
    """Names of the layers to adapt. All linear layers but the output head if left out."""


class QLoRA(LoRA):
    """LoRA on weights that are kept in 4 bits (arXiv:2305.14314)."""


class Full(Model):
    """All weights are trained."""


class Method(Model):
    """Which weights are trained. Exactly one."""

    rules: ClassVar[tuple[Rule, ...]] = (exactly_one_of("lora", "qlora", "full"),)

    lora: LoRA | None = None
    """Train an adapter beside frozen weights."""
    qlora: QLoRA | None = None
    """Train an adapter beside frozen weights in 4 bits."""
    full: Full | None = None
    """Train all weights: `full: {}`."""


class Training(Model):
    """How it is learned."""

    rules: ClassVar[tuple[Rule, ...]] = (at_most_one_of("epochs", "steps"),)

    epochs: Annotated[float, Field(gt=0, le=10000)] | None = None
    """Passes over the training sequences. 1 if neither this nor `steps` is set."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Optimiser steps."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-4
    """Highest learning rate."""
    global_batch_size: Annotated[int, Field(ge=1, le=1048576)] = 64
    """Sequences in one optimiser step, over all workers. The same number gives the same training on any number of workers."""
    micro_batch_size: Annotated[int, Field(ge=1, le=65536)] | None = None
    """Sequences that one worker holds at once. The rest of the global batch is accumulated. Chosen by length if left out."""
    precision: Precision = Precision.AUTO
    """`Auto` is BF16 on accelerators that have it and FP32 elsewhere."""
    schedule: Schedule = Schedule.COSINE
    """How the learning rate goes after the warm-up; `Cosine` and `Linear` end near zero."""
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.03
    """Share of the steps in which the learning rate rises from zero."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0
    """AdamW's decay, on matrices only."""
    max_gradient_norm: Annotated[float, Field(gt=0)] = 1
    """Gradients are scaled down to this length."""
    seed: Annotated[int, Field(ge=0, le=4294967295)] = 0
    """Start of every random choice: order of the data, new weights, dropout."""


class Elastic(Model):
    """A range of workers: training goes on with fewer and takes more when they come."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.minReplicas <= self.maxReplicas", "minReplicas must not be greater than maxReplicas."),
    )

    min_replicas: Annotated[int, Field(ge=1, le=10000)]
    """Fewest workers to train with."""
    max_replicas: Annotated[int, Field(ge=1, le=10000)]
    """Most workers to train with."""


class Workers(Model):
    """The machines that train."""

    rules: ClassVar[tuple[Rule, ...]] = (at_most_one_of("replicas", "elastic"),)

    replicas: Annotated[int, Field(ge=1, le=10000)] | None = None
    """Number of workers. 1 if neither this nor `elastic` is set."""
    elastic: Elastic | None = None
    """A range of workers instead of a number."""
    resources: Resources | None = None
    """What each worker asks for. One accelerator or none per worker."""
    accelerator: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Type of accelerator, as Ray names it: `H100`, `A100`, `L4`."""


class Checkpoints(Model):
    """When the state of training is saved, so that a broken run goes on instead of starting again."""

    rules: ClassVar[tuple[Rule, ...]] = (at_most_one_of("intervalSteps", "intervalSeconds"),)

    interval_steps: Annotated[int, Field(ge=1)] | None = None
    """Optimiser steps between checkpoints."""
    interval_seconds: Annotated[int, Field(ge=1)] | None = None
    """Seconds between checkpoints. 600 if neither this nor `intervalSteps` is set."""
    keep: Annotated[int, Field(ge=1, le=1000)] = 2
    """How many to keep. With two, a damaged newest one costs only one interval."""


class FaultTolerance(Model):
    """How much may break before the run has failed."""

    worker_failures: Annotated[int, Field(ge=0, le=1000)] = 3
    """Lost or failed workers within one attempt. Preempted ones are not counted."""
    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """Attempts, each with new pods, that go on from the last checkpoint. Refused data is never tried again."""


class Gate(Model):
    """One condition that the tuned model must meet."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.min) || has(self.max) || has(self.minImprovement)",
            "Set at least one of min, max and minImprovement.",
        ),
    )

    metric: MetricName
    """What is measured."""
    min: float | None = None
    """The tuned model's value must be this or more."""
    max: float | None = None
    """The tuned model's value must be this or less."""
    min_improvement: float | None = None
    """The tuned model must be better than the base model by this or more, in the metric's own direction."""


class Evaluation(Model):
    """What is measured after training, and what is good enough."""

    gate: Annotated[list[Gate], Field(max_length=16)] = Field(default=[])
    """All must hold for the run to be promoted. Only promoted artefacts are served by reference."""
    samples: Annotated[int, Field(ge=1, le=100000)] = 200
    """How many validation questions are answered for `ExactMatch` and `StopRate`."""
    max_new_tokens: Annotated[int, Field(ge=1, le=32768)] = 128
    """Longest answer, in tokens."""
    prompts: Annotated[list[Annotated[str, Field(max_length=32768)]], Field(max_length=32)] = Field(default=[])
    """Questions that base and tuned model both answer, for people to compare. The first validation rows if left out."""


class SearchScheduler(StrEnum):
    """How trials are chosen and stopped."""

    ASHA = "ASHA"
    RANDOM = "Random"
    OPTUNA = "Optuna"


class SearchRange(Model):
    """Values of one field that a search may try. Exactly one."""

    rules: ClassVar[tuple[Rule, ...]] = (exactly_one_of("uniform", "logUniform", "choice"),)

    uniform: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    """Lowest and highest value, drawn evenly."""
    log_uniform: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2, max_length=2)] | None = None
    """Lowest and highest value, drawn evenly over their logarithm."""
    choice: Annotated[list[float], Field(min_length=1, max_length=64)] | None = None
    """Values to choose from."""


class Search(Model):
    """Several trials with different settings; the best becomes the artefact."""

    trials: Annotated[int, Field(ge=1, le=10000)]
    """Number of trials."""
    parallel_trials: Annotated[int, Field(ge=1, le=1000)] = 1
    """Trials that run side by side."""
    scheduler: SearchScheduler = SearchScheduler.ASHA
    """How trials are chosen and stopped."""
    metric: MetricName = MetricName.VALIDATION_LOSS
    """What the best trial is best at."""
    space: Annotated[dict[str, SearchRange], Field(min_length=1, max_length=16)]
    """From a field's path below `spec` to the values to try, for example `training.learningRate`."""


class Output(Model):
    """Where the result goes."""

    rules: ClassVar[tuple[Rule, ...]] = (no_parent("storage"),)

    storage: Annotated[str, Field(max_length=1024, pattern=patterns.STORAGE)] = "pvc://raysmith-store/models"
    """Folder under which the artefact tree is made, as `<namespace>/<name>-<uid>/`. Head and workers must both write it."""
    deletion_policy: DeletionPolicy = DeletionPolicy.RETAIN
    """Whether the artefact outlives this object."""
    secret_ref: SecretReference | None = None
    """Where the credentials for `storage` come from."""


class LLMFineTuneSpec(Model):
    """What to train, on what, and when it is good enough."""

    rules: ClassVar[tuple[Rule, ...]] = (
        *(immutable(field, required=True) for field in ("model", "data", "method")),
        *(
            immutable(field, required=True)
            for field in (
                "objective",
                "training",
                "workers",
                "checkpoints",
                "faultTolerance",
                "evaluation",
                "output",
            )
        ),
        *(immutable(field) for field in ("activeDeadlineSeconds", "search")),
        Rule(
            "self.evaluation.gate.size() == 0 || has(self.data.validation)",
            "A gate needs validation rows; set data.validation.fraction or data.validation.datasets.",
            "evaluation.gate",
        ),
        Rule(
            "self.objective != 'Pretrain' || self.evaluation.gate.all(g, g.metric in ['ValidationLoss', 'Perplexity'])",
            "A Pretrain run has no questions and answers; its gate can use ValidationLoss and Perplexity only.",
            "evaluation.gate",
        ),
    )

    model: StartingModel
    """The model that training starts from."""
    objective: Objective = Objective.SFT
    """`SFT` (supervised fine-tuning) learns the answers, `Pretrain` learns all text, `DPO` learns preferences."""
    data: Data
    """What is learned."""
    method: Method
    """Which weights are trained."""
    training: Training = Field(default=Training())
    """How it is learned."""
    workers: Workers = Field(default=Workers())
    """The machines that train."""
    checkpoints: Checkpoints = Field(default=Checkpoints())
    """When the state of training is saved."""
    fault_tolerance: FaultTolerance = Field(default=FaultTolerance())
    """How much may break before the run has failed."""
    active_deadline_seconds: Annotated[int, Field(ge=1)] | None = None
    """Seconds after which the run is stopped and has failed."""
    evaluation: Evaluation = Field(default=Evaluation())
    """What is measured after training, and what is good enough."""
    search: Search | None = None
    """Several trials with different settings."""
    output: Output = Field(default=Output())
    """Where the result goes."""
    suspend: bool = False
    """Stop after the last checkpoint and give the machines back; false goes on from there."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0)] | None = None
    """Seconds after which the finished object is deleted. The artefact stays."""
    pod_template: PodTemplate | None = None
    """Pod settings that no field covers."""


class Progress(Model):
    """Where the run is. Written by the run itself."""

    stage: Annotated[str, Field(max_length=63)]
    """`Preparing`, `Loading`, `EvaluatingBase`, `Training`, `EvaluatingTuned`, `Saving` or `Done`."""
    step: Annotated[int, Field(ge=0)] = 0
    """Optimiser steps done."""
    total_steps: Annotated[int, Field(ge=0)] = 0
    """Optimiser steps in all."""
    percent: Annotated[int, Field(ge=0, le=100)] = 0
    """Share of the steps that are done."""
    loss: float | None = None
    """Training loss, mean negative log-likelihood of a supervised token in nats, over the last steps."""
    tokens_per_second: float | None = None
    """Tokens learned from in a second, over all workers, padding not counted."""
    seconds_left: Annotated[int, Field(ge=0)] | None = None
    """Estimate of the training time that is left."""
    message: Annotated[str, Field(max_length=1024)] | None = None
    """What is worth saying at this moment, for example which checkpoint the run goes on from."""
    updated_time: AwareDatetime
    """When this was written."""


class Result(Model):
    """What came out. Written by the run itself."""

    attempt: Annotated[int, Field(ge=1)] | None = None
    """The attempt that made it."""
    artifact: Artifact | None = None
    """The run's folder, and the digest of the stored model in it."""
    base: Metrics | None = None
    """The base model's evaluation."""
    tuned: Metrics | None = None
    """The tuned model's evaluation."""
    promoted: bool = False
    """Whether every condition of the gate holds."""
    message: Annotated[str, Field(max_length=4096)] | None = None
    """Why it was, or was not, promoted."""


class RunFailure(Model):
    """Why an attempt ended without a result. Written by the run itself."""

    attempt: Annotated[int, Field(ge=1)]
    """The attempt that ended."""
    reason: Annotated[str, Field(min_length=1, max_length=253)]
    """A stable word in CamelCase: `DataRefused`, `ModelNotFound`, `StorageFull`, `Interrupted`, `TrainingFailed`, ..."""
    message: Annotated[str, Field(max_length=4096)]
    """A sentence to a person: what happened, where, and what to do next."""
    retryable: bool = True
    """Whether another attempt may go better."""
    log_tail: Annotated[list[Annotated[str, Field(max_length=512)]], Field(max_length=20)] = Field(default=[])
    """The last lines that the run printed."""
    time: AwareDatetime
    """When it ended."""


class Attempt(Model):
    """One try, with pods of its own."""

    number: Annotated[int, Field(ge=1)]
    """Counts from 1."""
    reason: Annotated[str, Field(max_length=1024)] | None = None
    """Why it ended."""
    message: Annotated[str, Field(max_length=4096)] | None = None
    """The same, as a sentence to a person."""
    start_time: AwareDatetime | None = None
    """When it started."""
    end_time: AwareDatetime | None = None
    """When it ended."""
    counted: bool | None = None
    """Whether it counts against `faultTolerance.attempts`; lost machines and suspensions do not."""


class LLMFineTuneStatus(Model):
    """What was observed."""

    observed_generation: int | None = None
    """The generation of the spec that this speaks of."""
    phase: Annotated[str, Field(max_length=63)] | None = None
    """One word for people; programs read the conditions."""
    conditions: Annotated[list[Condition], Field(max_length=32, json_schema_extra=map_list("type"))] | None = None
    """`Accepted`, `Prepared`, `Running`, `Evaluated`, `Promoted`, `Succeeded`, and `Finished`, which is true at any end."""
    model: Artifact | None = None
    """What `spec.model.fineTune` resolved to when the run was accepted."""
    attempt: Annotated[int, Field(ge=1)] | None = None
    """Number of the current attempt."""
    attempts: Annotated[list[Attempt], Field(max_length=100, json_schema_extra=map_list("number"))] | None = None
    """Every attempt and why it ended."""
    progress: Progress | None = None
    """Where the run is."""
    result: Result | None = None
    """What came out."""
    failure: RunFailure | None = None
    """Why the newest attempt that says so ended."""


class LLMFineTune(Kind):
    """Fine-tune a language model: data, training, evaluation, a gate, and an artefact with its record."""

    names: ClassVar[Names] = Names("LLMFineTune", "llmfinetunes", "llmfinetune", ("lft",))
    rules: ClassVar[tuple[Rule, ...]] = NAME_RULES
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Phase", "string", ".status.phase", "Where the run is."),
        Column("Progress%", "integer", ".status.progress.percent", "Share of the training steps that are done, in percent."),
        Column("Loss", "number", ".status.progress.loss", "Training loss over the last steps."),
        Column("Tokens/s", "number", ".status.progress.tokensPerSecond", "Tokens learned from in a second."),
        Column("Left", "integer", ".status.progress.secondsLeft", "Estimated seconds of training left."),
        Column("Attempt", "integer", ".status.attempt", "Number of the current attempt."),
        Column("Promoted", "boolean", ".status.result.promoted", "Whether the result passed its gate.", 1),
        Column("Age", "date", ".metadata.creationTimestamp", "Time since creation."),
    )

    api_version: Literal["raysmith.io/v1alpha1"] = API_VERSION
    """Version of the API."""
    kind: Literal["LLMFineTune"] = "LLMFineTune"
    """Kind of the object."""
    metadata: ObjectMeta
    """Name, namespace and labels."""
    spec: LLMFineTuneSpec
    """What to train, on what, and when it is good enough."""
    status: LLMFineTuneStatus | None = None
    """What was observed."""

    @property
    def attempt(self) -> int:
        """Number of the attempt that is meant; 1 where nobody has counted yet."""
        return (self.status and self.status.attempt) or 1
