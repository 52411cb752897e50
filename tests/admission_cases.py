"""Objects that keep and that break the rules of the API, each case a sentence; for `validate` and for API servers alike."""

from typing import Any

from objects import NAME_OF_47, finetune, service, without

ROWS = {"name": "rows", "source": "file://rows.jsonl"}
MORE = {"name": "more", "source": "file://more.jsonl"}
HELD_BACK = {"train": [ROWS], "validation": {"fraction": 0.1}}
LOSS = {"metric": "ValidationLoss", "max": 1.9}
EXACT = {"metric": "ExactMatch", "min": 0.6}


def gated(*gate: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return finetune(data=HELD_BACK, evaluation={"gate": list(gate)}, **spec)


ACCEPTED = {
    "the smallest fine-tune": finetune(),
    "the smallest service": service(),
    "a name of 47 characters": finetune(name=NAME_OF_47),
    "a service's name of 47 characters": service(name=NAME_OF_47),
    "a model from another run": finetune(model={"fineTune": {"name": "base"}}),
    "dots that climb nowhere": finetune(model={"source": "hf://owner/name..v2@1.0"}),
    "a service of a run's result": service(model={"fineTune": {"name": "run"}}),
    "a service of the best run": service(
        model={"fineTune": {"selector": {"matchLabels": {"a": "b"}}, "policy": "Best", "metric": "Perplexity"}}
    ),
    "adapters": service(
        adapters=[{"name": "a", "source": "file://adapter"}, {"name": "b", "fineTune": {"name": "run"}}],
    ),
    "replicas": service(replicas=0),
    "scaling": service(autoscaling={"minReplicas": 2, "maxReplicas": 2}),
    "keys": service(access={"apiKeys": {"secretRef": {"name": "keys.of.mine"}}}),
    "a share held back": finetune(data=HELD_BACK),
    "validation rows of their own": finetune(data={"train": [ROWS], "validation": {"datasets": [MORE]}}),
    "lora": finetune(method={"lora": {"alpha": 1, "dropout": 0.5, "targetModules": ["q_proj"]}}),
    "qlora": finetune(method={"qlora": {}}),
    "epochs": finetune(training={"epochs": 0.5}),
    "steps": finetune(training={"steps": 1}),
    "elastic workers": finetune(workers={"elastic": {"minReplicas": 1, "maxReplicas": 1}}),
    "fixed workers": finetune(workers={"replicas": 4}),
    "checkpoints by steps": finetune(checkpoints={"intervalSteps": 1}),
    "checkpoints by time": finetune(checkpoints={"intervalSeconds": 1}),
    "a gate": gated(LOSS, EXACT, {"metric": "StopRate", "minImprovement": -0.1}),
    "a gate of a pre-training": gated(LOSS, {"metric": "Perplexity", "max": 9}, objective="Pretrain"),
    "a search": finetune(
        search={
            "trials": 3,
            "space": {
                "training.learningRate": {"logUniform": [1e-5, 1e-3]},
                "training.weightDecay": {"uniform": [0, 1]},
                "method.lora.rank": {"choice": [8, 16]},
            },
        }
    ),
    "storage": finetune(output={"storage": "s3://bucket/key", "secretRef": {"name": "s3"}}),
    "pod settings": finetune(podTemplate={"head": {"spec": {"anything": [1, None, {"x": 1.5}]}}, "workers": {}}),
    "amounts": service(resources={"requests": {"cpu": 2, "memory": "1.5Gi"}, "limits": {"nvidia.com/gpu": "1"}}),
    "nulls": finetune(training=None, search=None, data={"train": [ROWS | {"weight": None}], "packing": None}),
    "labels and annotations": finetune()
    | {"metadata": {"name": "run", "labels": {"example.com/a": "", "b": "C.d_1"}, "annotations": {"a": "any text"}}},
    "annotations of 256 KiB": finetune() | {"metadata": {"name": "run", "annotations": {"a": "b" * 262_143}}},
    "every number of a fine-tune": finetune(
        suspend=True, ttlSecondsAfterFinished=0, activeDeadlineSeconds=1, faultTolerance={"workerFailures": 0, "attempts": 100}
    ),
}

REFUSED = {
    "a name of 48 characters": finetune(name="a" * 48),
    "a service's name of 48 characters": service(name="a" * 48),
    "a name that starts with a digit": finetune(name="1a"),
    "a service's name with a capital": service(name="aB"),
    "a name with a dot": finetune(name="a.b"),
    "no name": without(finetune(), "metadata.name"),
    "two sources of a model": finetune(model={"source": "builtin://tiny", "fineTune": {"name": "base"}}),
    "no source of a model": finetune(model={}),
    "a model above its volume": finetune(model={"source": "pvc://claim/../x"}),
    "rows above their volume": finetune(data={"train": [ROWS | {"source": "file://.."}]}),
    "validation rows above their volume": finetune(
        data={"train": [ROWS], "validation": {"datasets": [MORE | {"source": "file://../a"}]}}
    ),
    "storage above its volume": finetune(output={"storage": "pvc://claim/../x"}),
    "two sources of a served model": service(model={"source": "hf://a/b", "fineTune": {"name": "run"}}),
    "a served model above its volume": service(model={"source": "pvc://claim/.."}),
    "an adapter with two sources": service(adapters=[{"name": "a", "source": "file://a", "fineTune": {"name": "run"}}]),
    "an adapter above its volume": service(adapters=[{"name": "a", "source": "file://../a"}]),
    "a followed run without a name": service(model={"fineTune": {}}),
    "a metric without Best": service(model={"fineTune": {"name": "run", "metric": "Perplexity"}}),
    "Best without a metric": service(model={"fineTune": {"name": "run", "policy": "Best"}}),
    "replicas and scaling": service(replicas=1, autoscaling={"maxReplicas": 2}),
    "fewer at most than at least": service(autoscaling={"minReplicas": 3, "maxReplicas": 2}),
    "fewer at most than the default at least": service(autoscaling={"maxReplicas": 0}),
    "nobody and everybody": service(access={}),
    "two kinds of access": service(access={"anonymous": {}, "apiKeys": {"secretRef": {"name": "keys"}}}),
    "two ways of validation": finetune(data={"train": [ROWS], "validation": {"fraction": 0.1, "datasets": [MORE]}}),
    "two methods": finetune(method={"lora": {}, "full": {}}),
    "no method": finetune(method={}),
    "epochs and steps": finetune(training={"epochs": 1, "steps": 1}),
    "fixed and elastic workers": finetune(workers={"replicas": 1, "elastic": {"minReplicas": 1, "maxReplicas": 2}}),
    "fewer elastic workers at most than at least": finetune(workers={"elastic": {"minReplicas": 2, "maxReplicas": 1}}),
    "checkpoints by steps and time": finetune(checkpoints={"intervalSteps": 1, "intervalSeconds": 1}),
    "a gate that asks for nothing": gated({"metric": "Perplexity"}),
    "a gate without validation rows": finetune(evaluation={"gate": [LOSS]}),
    "a gate on answers that a pre-training has not": gated(LOSS, EXACT, objective="Pretrain"),
    "a range with two kinds of values": finetune(
        search={"trials": 1, "space": {"training.seed": {"choice": [1], "uniform": [0, 1]}}}
    ),
    "two sources of one name": finetune(data={"train": [ROWS, ROWS]}),
    "an unknown field": finetune(modle={}),
    "an unknown field of an empty object": finetune(method={"full": {"rank": 1}}),
    "an unknown field of metadata": finetune() | {"metadata": {"name": "run", "label": {}}},
    "a number for a label": finetune() | {"metadata": {"name": "run", "labels": {"a": 1}}},
    "annotations of more than 256 KiB": finetune() | {"metadata": {"name": "run", "annotations": {"a": "b" * 262_144}}},
    "a label that is none": finetune() | {"metadata": {"name": "run", "labels": {"a": "b c"}}},
    "a label of a name that is none": finetune() | {"metadata": {"name": "run", "labels": {"-a": "b"}}},
    "no spec": without(finetune(), "spec"),
    "no data": without(finetune(), "spec.data"),
    "null for what is required": finetune(data=None),
    "null in a list": finetune(data={"train": [None]}),
    "a string for a number": finetune(training={"epochs": "1"}),
    "a number for a string": finetune(workers={"accelerator": 4090}),
    "a boolean for a number": finetune(training={"steps": True}),
    "a boolean for an amount": service(resources={"limits": {"cpu": True}}),
    "a fraction for a whole number": finetune(training={"steps": 1.5}),
    "a fraction for an amount": service(resources={"limits": {"cpu": 1.5}}),
    "a negative amount": service(resources={"limits": {"cpu": -1}}),
    "an amount that is none": service(resources={"limits": {"cpu": "two"}}),
    "a string for an object": finetune(method="lora"),
    "an object for a list": finetune(data={"train": ROWS}),
    "a word that is not on the list": finetune(objective="sft"),
    "a bound that is excluded": finetune(training={"learningRate": 0}),
    "more than the most": finetune(faultTolerance={"attempts": 101}),
    "an address of an unknown scheme": finetune(model={"source": "http://x"}),
    "a line break after an address": finetune(model={"source": "file://x\n"}),
    "a control character in an address": finetune(model={"source": "file://x\x1by"}),
    "a control character in a storage": finetune(output={"storage": "pvc://claim/x\x7fy"}),
    "an amount with an exponent of three digits": service(resources={"limits": {"cpu": "1e400"}}),
    "an empty list": finetune(data={"train": []}),
    "too long an address": finetune(model={"source": "file://" + "x" * 1018}),
}
