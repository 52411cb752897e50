"""What a person reads who gave an object that the API does not allow, and what is accepted."""

import subprocess
import sys
from typing import Any

import pytest

from objects import finetune, service, without
from raysmith.admission import Rejected, admit, problems
from raysmith.admission.structure import schema_of
from raysmith.api import KINDS, to_wire
from raysmith.api.patterns import SENTENCES

ROWS = {"name": "rows", "source": "file://rows.jsonl"}


def sentences(document: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    return [problem.message for problem in problems(document, old)]


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        # what people get wrong most
        (
            finetune(modle={"source": "builtin://tiny"}),
            "spec.modle is an unknown field; did you mean model?",
        ),
        (
            finetune(training={"epochs": "three"}),
            'spec.training.epochs must be a number, not the string "three".',
        ),
        (
            finetune(model={"source": "builtin://tiny", "fineTune": {"name": "base"}}),
            "spec.model: Set exactly one of source and fineTune.",
        ),
        (
            finetune(name="a" * 48),
            "metadata.name: The name may have at most 47 characters, because Ray's own objects are named after it.",
        ),
        # which object it is
        (
            without(finetune(), "kind"),
            "kind is missing. Add kind: LLMFineTune or LLMService.",
        ),
        (
            finetune() | {"kind": "LLMFinetune"},
            'kind must be LLMFineTune or LLMService, not "LLMFinetune"; did you mean LLMFineTune?',
        ),
        (
            finetune() | {"kind": "Secret"},
            'kind must be LLMFineTune or LLMService, not "Secret".',
        ),
        (
            without(finetune(), "apiVersion"),
            "apiVersion is missing. Add apiVersion: raysmith.io/v1alpha1.",
        ),
        (
            finetune() | {"apiVersion": "v1"},
            'apiVersion must be raysmith.io/v1alpha1, not "v1".',
        ),
        (
            without(finetune(), "metadata"),
            "metadata is missing. Add it: name, namespace and labels.",
        ),
        (
            finetune(name="Run"),
            "metadata.name: The name must start with a lower-case letter and hold only lower-case letters, digits and '-'.",
        ),
        (
            finetune() | {"metadata": {"name": "run", "labels": {"version": 1}}},
            "metadata.labels.version must be a string, not the number 1; put it in quotes.",
        ),
        (
            finetune() | {"metadata": {"name": "run", "annotations": {"a": "é" * 131_072, "b": "c"}}},
            "metadata.annotations may have at most 262144 bytes in all, and has 262147.",
        ),
        (
            finetune() | {"metadata": {"name": "run", "labels": {"a b": "c"}}},
            (
                "metadata.labels[a b] must be a label name: at most 63 letters, digits, '-', '_' and '.', "
                'with or without a prefix (example.com/), not "a b".'
            ),
        ),
        # fields that are missing or unknown
        (
            without(finetune(), "spec.method"),
            "spec.method is missing. Add it: which weights are trained.",
        ),
        (
            finetune(data=None),
            "spec.data is missing. Add it: what is learned.",
        ),
        (
            finetune(workers={"gpus": 4}),
            (
                "spec.workers.gpus is an unknown field; "
                "the fields of spec.workers are replicas, elastic, resources and accelerator."
            ),
        ),
        (
            finetune(method={"full": {"rank": 3}}),
            "spec.method.full.rank is an unknown field; spec.method.full has no fields.",
        ),
        (
            finetune(training={"learning_rate": 1e-4}),
            "spec.training.learning_rate is an unknown field; did you mean learningRate?",
        ),
        (
            finetune(workers={"a.b[0]": 4}),
            (
                "spec.workers[a.b[0]] is an unknown field; "
                "the fields of spec.workers are replicas, elastic, resources and accelerator."
            ),
        ),
        (
            finetune(method={"full": {"a\n\x1b[31mb": "c"}}),
            "spec.method.full[a\\n\\u001b[31mb] is an unknown field; spec.method.full has no fields.",
        ),
        # wrong types, and what YAML made of them
        (
            finetune() | {"metadata": "run"},
            'metadata must be an object, not the string "run"; its fields are name, namespace, labels and annotations.',
        ),
        (
            finetune(workers={"accelerator": False}),
            "spec.workers.accelerator must be a string, not the boolean false; put it in quotes.",
        ),
        (
            finetune(training={"steps": "30"}),
            'spec.training.steps must be a whole number, not the string "30"; take the quotes away.',
        ),
        (
            finetune(training={"steps": 1.5}),
            "spec.training.steps must be a whole number, not the number 1.5.",
        ),
        (
            finetune(training={"steps": "1e-3"}),
            'spec.training.steps must be a whole number, not the string "1e-3".',
        ),
        (
            finetune(training={"learningRate": "1e400"}),
            'spec.training.learningRate must be a number, not the string "1e400"; a number so large cannot be held.',
        ),
        (
            finetune(suspend="true"),
            'spec.suspend must be true or false, not the string "true"; take the quotes away.',
        ),
        (
            finetune(method="lora"),
            'spec.method must be an object, not the string "lora"; its fields are lora, qlora and full.',
        ),
        (
            finetune(method="3"),
            'spec.method must be an object, not the string "3"; its fields are lora, qlora and full.',
        ),
        (
            finetune(data={"train": ROWS}),
            "spec.data.train must be a list, not an object; start each of its items with '- '.",
        ),
        (
            finetune(data={"train": [None]}),
            (
                "spec.data.train[0] must be an object, not empty (null); its fields are name, source, format, columns, weight "
                "and secretRef."
            ),
        ),
        (
            service(resources={"limits": {"nvidia.com/gpu": 1.5}}),
            "spec.resources.limits[nvidia.com/gpu] must be a whole number or a string, not the number 1.5; put it in quotes.",
        ),
        # values out of bounds
        (
            finetune(training={"precision": "bf16"}),
            'spec.training.precision must be Auto, FP32 or BF16, not "bf16"; did you mean BF16?',
        ),
        (
            finetune(training={"learningRate": 0}),
            "spec.training.learningRate must be more than 0, not 0.",
        ),
        (
            finetune(method={"lora": {"dropout": 1}}),
            "spec.method.lora.dropout must be less than 1, not 1.",
        ),
        (
            finetune(faultTolerance={"attempts": 0}),
            "spec.faultTolerance.attempts must be 1 or more, not 0.",
        ),
        (
            finetune(faultTolerance={"attempts": 101}),
            "spec.faultTolerance.attempts must be 100 or less, not 101.",
        ),
        (
            finetune(model={"source": "gpt2"}),
            'spec.model.source must start with hf://, pvc://, file:// or builtin:// and have no blanks, not "gpt2".',
        ),
        (
            finetune(output={"storage": "hf://me/mine"}),
            'spec.output.storage must start with pvc:// or file:// and have no blanks, not "hf://me/mine".',
        ),
        (
            finetune(model={"source": "file://model\n"}),
            'spec.model.source must start with hf://, pvc://, file:// or builtin:// and have no blanks, not "file://model\\n".',
        ),
        (
            finetune(model={"source": "file://\x9b\x00"}),
            (
                "spec.model.source must start with hf://, pvc://, file:// or builtin:// and have no blanks, "
                'not "file://\\u009b\\u0000".'
            ),
        ),
        (
            service(resources={"limits": {"nvidia.com/gpu": "1e400"}}),
            'spec.resources.limits[nvidia.com/gpu] must be an amount such as 2, 500m or 64Gi, not "1e400".',
        ),
        (
            service(resources={"requests": {"memory": "8 GB"}}),
            'spec.resources.requests.memory must be an amount such as 2, 500m or 64Gi, not "8 GB".',
        ),
        (
            finetune(model={"source": "file://" + "x" * 1018}),
            "spec.model.source may have at most 1024 characters, and has 1025.",
        ),
        (
            finetune(data={"train": []}),
            "spec.data.train must not be empty.",
        ),
        (
            finetune(workers={"accelerator": ""}),
            "spec.workers.accelerator must not be empty.",
        ),
        (
            finetune(data={"train": [ROWS, ROWS]}),
            'spec.data.train[1].name is "rows", as in item 0 of the list; each item needs a name of its own.',
        ),
        # rules
        (
            finetune(training={"epochs": 1, "steps": 100}),
            "spec.training: Set at most one of epochs and steps.",
        ),
        (
            finetune(evaluation={"gate": [{"metric": "ValidationLoss", "max": 2}]}),
            "spec.evaluation.gate: A gate needs validation rows; set data.validation.fraction or data.validation.datasets.",
        ),
        (
            finetune(output={"storage": "pvc://claim/../other"}),
            "spec.output.storage: storage must not contain '..'; name the path from the root of its volume or bucket.",
        ),
    ],
)
def test_bad_input_gets_one_sentence_with_place_and_remedy(document: dict[str, Any], sentence: str) -> None:
    assert sentences(document) == [sentence]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    document = finetune(name="a" * 48, modle={}, model={"source": "gpt2", "fineTune": {"name": "base"}})
    assert [problem.field for problem in problems(document)] == [
        "spec.model.source",
        "spec.modle",
        "metadata.name",
        "spec.model",
    ]


def test_a_problem_names_the_field_whose_line_is_to_be_shown() -> None:
    assert [problem.field for problem in problems(finetune(data={"train": [ROWS, ROWS | {"name": "X"}]}))] == [
        "spec.data.train[1].name"
    ]


def test_a_rejection_tells_all_its_sentences_when_it_is_printed() -> None:
    with pytest.raises(Rejected) as rejected:
        admit(finetune(suspend=3, data=None))
    assert sorted(str(rejected.value).splitlines()) == [
        "spec.data is missing. Add it: what is learned.",
        "spec.suspend must be true or false, not the number 3.",
    ]


def test_a_field_that_is_null_is_a_field_that_is_left_out() -> None:
    assert admit(finetune(training=None, search=None)) == admit(finetune())


def test_the_status_that_a_user_wrote_is_dropped_as_the_api_server_drops_it() -> None:
    assert admit(finetune() | {"status": {"attempt": "nonsense"}}) == admit(finetune())


def test_pod_settings_are_kept_as_they_are_written() -> None:
    pod = {"spec": {"containers": [{"name": "ray-worker", "env": [{"name": "A", "value": "1"}]}]}}
    assert to_wire(admit(finetune(podTemplate={"workers": pod})))["spec"]["podTemplate"] == {"workers": pod}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", {"source": "builtin://other"}),
        ("data", {"train": [ROWS, {"name": "more", "source": "file://more.jsonl"}]}),
        ("training", {"seed": 1}),
        ("workers", {"replicas": 2}),
        ("activeDeadlineSeconds", 60),
    ],
)
def test_what_is_to_be_trained_cannot_change(field: str, value: Any) -> None:
    sentence = f"spec.{field}: {field} cannot change after creation; make a new object with another name instead."
    assert sentences(finetune(**{field: value}), old=finetune()) == [sentence]
    assert sentences(finetune(**{field: value})) == []


@pytest.mark.parametrize(
    "changed",
    [
        finetune(suspend=True),
        finetune(ttlSecondsAfterFinished=60),
        finetune(training={"seed": 0, "learningRate": 0.0002}),
        finetune(checkpoints={}),
        finetune(data={"train": [{**ROWS, "weight": 1.0}]}),
    ],
)
def test_suspending_and_writing_defaults_out_is_no_change_of_what_is_trained(changed: dict[str, Any]) -> None:
    assert sentences(changed, old=finetune()) == []


def test_the_order_of_sources_with_names_is_no_change() -> None:
    more = {"name": "more", "source": "file://more.jsonl"}
    assert sentences(finetune(data={"train": [more, ROWS]}), old=finetune(data={"train": [ROWS, more]})) == []


def test_an_amount_written_as_number_is_not_the_same_as_text_and_is_no_fault_in_the_rule() -> None:
    written = finetune(workers={"resources": {"limits": {"nvidia.com/gpu": 1}}})
    before = finetune(workers={"resources": {"limits": {"nvidia.com/gpu": "1"}}})
    assert sentences(written, old=before) == [
        "spec.workers: workers cannot change after creation; make a new object with another name instead."
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_every_pattern_of_a_spec_has_a_sentence_and_no_format_goes_unchecked(kind: str) -> None:
    nodes = list(_nodes(schema_of(kind)["properties"]["spec"]))
    assert {node["pattern"] for node in nodes if "pattern" in node} <= SENTENCES.keys()
    assert not [node for node in nodes if "format" in node]


def test_an_accepted_object_comes_back_with_its_defaults() -> None:
    spec = to_wire(admit(finetune(method={"lora": {}})))["spec"]
    assert spec["method"] == {"lora": {"rank": 16, "alpha": 32, "dropout": 0}}
    assert spec["evaluation"] == {"gate": [], "samples": 200, "maxNewTokens": 128, "prompts": []}


def test_the_schema_is_made_from_the_models_so_an_installed_package_needs_no_files(tmp_path: Any) -> None:
    program = f"from raysmith.admission import problems; print(problems({finetune(suspend=3)!r})[0].message)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "spec.suspend must be true or false, not the number 3.\n"


def _nodes(schema: dict[str, Any]) -> Any:
    yield schema
    children = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    for child in children:
        if child:
            yield from _nodes(child)
