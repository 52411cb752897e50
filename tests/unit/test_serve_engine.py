"""How the fields of a service become settings of Ray Serve and vLLM."""

from dataclasses import replace
from typing import Any

import pytest

from objects import service
from raysmith.api import LLMService
from raysmith_workloads.errors import Refused
from raysmith_workloads.serve.arguments import engine_arguments
from raysmith_workloads.serve.engine import CpuBudget, Host, deployment, kv_cache_bytes, plan
from raysmith_workloads.serve.model import Served

GIB = 1 << 30
POD = Host()
LAPTOP = Host(cores=4, attempts=1, services=2)
SERVED = Served("chat", "chat", "hf://owner/name")
GPUS = {"requests": {"cpu": "8"}, "limits": {"nvidia.com/gpu": "2"}}


def _service(**spec: Any) -> LLMService:
    return LLMService.model_validate(service(**spec))


def _engine(served: Served = SERVED, **spec: Any) -> dict[str, Any]:
    settings: dict[str, Any] = plan(_service(**spec), served, POD).fields["engine_kwargs"]
    return settings


def _environment(host: Host = POD, **spec: Any) -> dict[str, str]:
    environment: dict[str, str] = deployment(_service(**spec), host, {})["ray_actor_options"]["runtime_env"]["env_vars"]
    return environment


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ({}, {"num_replicas": 1, "placement_group_bundles": [{"CPU": 1}]}),
        ({"replicas": 3}, {"num_replicas": 3}),
        ({"resources": {"requests": {"cpu": "6500m"}}}, {"placement_group_bundles": [{"CPU": 6}]}),
        ({"resources": GPUS}, {"placement_group_bundles": [{"CPU": 8, "GPU": 1}]}),
        (
            {"resources": GPUS, "accelerator": "H100", "engine": {"tensorParallel": 2}},
            {
                "placement_group_bundles": [
                    {"CPU": 8, "GPU": 1, "accelerator_type:H100": 0.001},
                    {"GPU": 1, "accelerator_type:H100": 0.001},
                ],
                "placement_group_strategy": "STRICT_PACK",
            },
        ),
    ],
)
def test_replicas_and_resources_become_options_of_the_deployment(spec: dict[str, Any], options: dict[str, Any]) -> None:
    assert (
        deployment(_service(**spec), POD, {}).items() >= {"name": "chat", "max_constructor_retry_count": 3, **options}.items()
    )


@pytest.mark.parametrize(
    ("spec", "settings"),
    [
        ({}, {"tensor_parallel_size": 1, "enforce_eager": True}),
        ({"engine": {"maxModelLength": 512}}, {"tensor_parallel_size": 1, "enforce_eager": True, "max_model_len": 512}),
        ({"engine": {"tensorParallel": 2}, "resources": GPUS}, {"tensor_parallel_size": 2}),
    ],
)
def test_engine_settings_follow_from_the_object(spec: dict[str, Any], settings: dict[str, Any]) -> None:
    assert _engine(**spec) == settings


def test_adapters_make_room_for_themselves_and_at_most_sixteen_in_a_step() -> None:
    served = replace(SERVED, adapters={f"chat:{number}": f"file:///{number}" for number in range(20)})
    assert _engine(served).items() >= {"enable_lora": True, "max_loras": 16, "max_cpu_loras": 20}.items()


@pytest.mark.parametrize("resources", [None, GPUS])
def test_nothing_about_use_leaves_the_machine_and_prompts_stay_out_of_logs(resources: Any) -> None:
    assert (
        _environment(resources=resources).items()
        >= {"VLLM_NO_USAGE_STATS": "1", "RAY_USAGE_STATS_ENABLED": "0", "RAYLLM_ENABLE_REQUEST_PROMPT_LOGS": "0"}.items()
    )


@pytest.mark.parametrize(
    ("host", "resources", "threads"),
    [
        (POD, None, "1"),
        (POD, {"requests": {"cpu": "6"}}, "6"),
        (LAPTOP, None, "4"),
        (LAPTOP, {"requests": {"cpu": "2"}}, "2"),
        (LAPTOP, {"requests": {"cpu": "6"}}, "4"),
    ],
)
def test_an_engine_on_cpus_has_as_many_threads_as_cores(host: Host, resources: Any, threads: str) -> None:
    assert _environment(host, resources=resources)["OMP_NUM_THREADS"] == threads


def test_nothing_is_compiled_on_cpus_unless_the_object_asks_for_it() -> None:
    assert _environment()["TORCHDYNAMO_DISABLE"] == "1"
    assert "TORCHDYNAMO_DISABLE" not in _environment(engine={"args": {"enforce-eager": "false"}})


def test_memory_is_planned_with_what_the_pod_asks_for() -> None:
    asked = _service(resources={"requests": {"memory": "4Gi"}, "limits": {"memory": "8Gi"}})
    assert plan(asked, SERVED, POD).cpu == CpuBudget(8 * GIB)
    assert plan(_service(), SERVED, LAPTOP).cpu == CpuBudget(None, services=2)
    assert plan(_service(resources=GPUS), SERVED, POD).cpu is None


@pytest.mark.parametrize(
    ("sequence", "free", "size"),
    [
        pytest.param(1 << 20, 8 * GIB, 64 << 20, id="64 questions of the greatest length"),
        pytest.param(GIB, 20 * GIB, 9 * GIB, id="half of what is free, less the weights"),
    ],
)
def test_the_cache_on_cpus_has_room_for_many_questions_but_leaves_memory_free(sequence: int, free: int, size: int) -> None:
    assert kv_cache_bytes(sequence, weights=GIB, free=free) == size


def test_a_model_that_does_not_fit_into_memory_is_refused_with_the_numbers() -> None:
    with pytest.raises(Refused, match=r"weights take 3\.0 GiB .* 0\.50 GiB.* 6\.0 GiB of memory.*maxModelLength"):
        kv_cache_bytes(GIB // 2, weights=3 * GIB, free=6 * GIB)


@pytest.mark.parametrize(
    ("spec", "host", "sentence"),
    [
        (
            {"resources": GPUS, "engine": {"tensorParallel": 4}},
            POD,
            (
                "LLMService chat: spec.engine.tensorParallel is 4, but a replica has 2 accelerators; ask for as many in "
                "spec.resources.limits."
            ),
        ),
        (
            {"accelerator": "H100"},
            POD,
            (
                "LLMService chat: spec.accelerator is H100, but no accelerator is asked for; set spec.resources.limits, for "
                'example {nvidia.com/gpu: "1"}.'
            ),
        ),
        (
            {"engine": {"args": {"enforce-eager": "false"}}},
            Host(compiler=False),
            (
                "LLMService chat: spec.engine.args asks for compiling (enforce-eager: false), which needs a C++ compiler, and "
                "none is found; install g++, or leave enforce-eager out."
            ),
        ),
    ],
)
def test_what_cannot_run_is_refused_in_a_sentence(spec: dict[str, Any], host: Host, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        deployment(_service(**spec), host, {})
    assert refused.value.message == sentence


def test_vllm_itself_reads_the_arguments() -> None:
    arguments = {"max-num-seqs": "32", "gpu-memory-utilization": "0.5", "dtype": "float32", "enable-prefix-caching": "false"}
    assert engine_arguments(arguments) == {
        "max_num_seqs": 32,
        "gpu_memory_utilization": 0.5,
        "dtype": "float32",
        "enable_prefix_caching": False,
    }


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"max-num-seqs": "many"}, "spec.engine.args: argument --max-num-seqs: "),
        ({"max-num-sequences": "3"}, "spec.engine.args: unrecognized arguments: --max-num-sequences=3"),
        ({"enforce-eager": "yes"}, 'spec.engine.args: enforce-eager is a switch; write "true" or "false", not "yes".'),
    ],
)
def test_arguments_that_vllm_does_not_take_are_refused(arguments: dict[str, str], sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        engine_arguments(arguments)
    assert refused.value.message.startswith(sentence)
