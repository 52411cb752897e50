"""How a service is run: its object as settings of Ray Serve LLM and vLLM. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from raysmith.api import LLMService
from raysmith.api.quantities import accelerators, amount, cpus
from raysmith_workloads.errors import Refused
from raysmith_workloads.serve.model import Served

UNLIMITED: Final = 1_000_000
"""Requests that a replica takes at once: the engine's own queue is the better one, since it knows what fits together."""

FULL_SEQUENCES: Final = 64
"""Questions of the greatest length that the key-value cache on a CPU has room for, where memory allows."""

MOST_ADAPTERS_AT_ONCE: Final = 16
"""Adapters that one step of the engine can mix; further ones wait for a step."""

QUIET: Final = {
    "DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAYLLM_ENABLE_REQUEST_PROMPT_LOGS": "0",
}
"""Nothing about use leaves the machine, and no prompt enters a log."""


@dataclass(frozen=True)
class Host:
    """The machine that a replica will find itself on, as far as that is known beforehand."""

    cores: int | None = None
    """CPU cores that this service may use; None where its pods get what they ask for."""
    compiler: bool = True
    """Whether a C++ compiler is there, which torch.compile needs on CPUs."""
    attempts: int = 3
    """How often a replica is started that fails, before the service has failed."""
    services: int = 1
    """Services that share the machine's memory."""


@dataclass(frozen=True)
class CpuBudget:
    """Memory of an engine that computes on CPUs."""

    memory: int | None
    """Bytes that the replica's pod has; None to look at what is free."""
    services: int = 1
    """Services that share what is free."""


@dataclass(frozen=True)
class EnginePlan:
    """One engine as the object asks for it, before its folders are looked into."""

    fields: dict[str, Any]
    """Fields of ray.serve.llm's LLMConfig."""
    arguments: dict[str, str]
    """`spec.engine.args`, which only vLLM itself can read."""
    cpu: CpuBudget | None
    """Memory to plan with on CPUs; None on accelerators, where vLLM plans itself."""


def on_accelerators(service: LLMService) -> bool:
    """Whether the engine computes on accelerators, because the object asks for some."""
    return bool(accelerators(service.spec.resources))


def deployment(service: LLMService, host: Host, environment: Mapping[str, str]) -> dict[str, Any]:
    """Options of the Ray Serve deployment: how many replicas, what Ray sets aside for each, what they find around them.

    Raises Refused: `ResourcesRefused`, `CompilerMissing`.
    """
    spec = service.spec
    return {
        "name": service.metadata.name,
        "num_replicas": spec.replicas or 1,
        "max_ongoing_requests": UNLIMITED,
        "max_constructor_retry_count": host.attempts,
        "placement_group_bundles": _bundles(service),
        "placement_group_strategy": "STRICT_PACK",
        "ray_actor_options": {
            "num_cpus": cpus(spec.resources),
            "runtime_env": {"env_vars": {**_environment(service, host), **environment}},
        },
    }


def plan(service: LLMService, served: Served, host: Host) -> EnginePlan:
    """What the replica needs to know to start the engine. Raises Refused: `ResourcesRefused`."""
    fields = {
        "model_loading_config": {"model_id": served.engine_model},
        "engine_kwargs": _engine_settings(service, served),
        "accelerator_type": service.spec.accelerator,
        "placement_group_config": {"bundles": _bundles(service)},
    }
    return EnginePlan(fields, service.spec.engine.args, _cpu_budget(service, host))


def _engine_settings(service: LLMService, served: Served) -> dict[str, Any]:
    engine = service.spec.engine
    settings: dict[str, Any] = {"tensor_parallel_size": engine.tensor_parallel}
    if engine.max_model_length is not None:
        settings["max_model_len"] = engine.max_model_length
    if not on_accelerators(service):
        # Compiling needs a C++ compiler, takes a model of two million parameters 20 CPU-seconds at every first start and
        # gives it no faster token. `enforce-eager: "false"` asks for it.
        settings["enforce_eager"] = True
    if served.adapters:
        at_once = min(len(served.adapters), MOST_ADAPTERS_AT_ONCE)
        settings |= {"enable_lora": True, "max_loras": at_once, "max_cpu_loras": len(served.adapters)}
    return settings


def _bundles(service: LLMService) -> list[dict[str, float]]:
    """What Ray sets aside for one replica: all on one node, since a replica is one pod."""
    spec = service.spec
    own: dict[str, float] = {"CPU": cpus(spec.resources)}
    if not on_accelerators(service):
        if spec.accelerator is not None:
            raise Refused(
                "ResourcesRefused",
                f"LLMService {service.metadata.name}: spec.accelerator is {spec.accelerator}, but no accelerator is asked "
                'for; set spec.resources.limits, for example {nvidia.com/gpu: "1"}.',
            )
        return [own]
    count = sum(accelerators(spec.resources).values())
    if count < spec.engine.tensor_parallel:
        raise Refused(
            "ResourcesRefused",
            f"LLMService {service.metadata.name}: spec.engine.tensorParallel is {spec.engine.tensor_parallel}, but a replica "
            f"has {count} accelerators; ask for as many in spec.resources.limits.",
        )
    each: dict[str, float] = {"GPU": 1} | ({f"accelerator_type:{spec.accelerator}": 0.001} if spec.accelerator else {})
    return [own | each] + [each] * (spec.engine.tensor_parallel - 1)


def _environment(service: LLMService, host: Host) -> dict[str, str]:
    if on_accelerators(service):
        return dict(QUIET)
    eager = service.spec.engine.args.get("enforce-eager", "true").lower() == "true"
    if not (eager or host.compiler):
        raise Refused(
            "CompilerMissing",
            f"LLMService {service.metadata.name}: spec.engine.args asks for compiling (enforce-eager: false), which needs a "
            "C++ compiler, and none is found; install g++, or leave enforce-eager out.",
        )
    # vLLM keeps one core for itself when it binds threads; on two cores that is half of the machine.
    threads = {"OMP_NUM_THREADS": str(_threads(service, host)), "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    return QUIET | threads | ({"TORCHDYNAMO_DISABLE": "1"} if eager else {})


def _threads(service: LLMService, host: Host) -> int:
    if host.cores is None:
        return cpus(service.spec.resources)
    asked = service.spec.resources is not None and cpus(service.spec.resources)
    return min(asked or host.cores, host.cores)


def _cpu_budget(service: LLMService, host: Host) -> CpuBudget | None:
    if on_accelerators(service):
        return None
    resources = service.spec.resources
    wanted = {**((resources and resources.requests) or {}), **((resources and resources.limits) or {})}
    return CpuBudget(int(amount(wanted["memory"])) if "memory" in wanted else None, host.services)


def kv_cache_bytes(sequence: int, weights: int, free: int) -> int:
    """Size of the key-value cache on a CPU: FULL_SEQUENCES of `sequence` bytes, within half of `free` less the weights.

    Raises Refused (`OutOfMemory`) if not even one sequence of the greatest length has room.
    """
    room = free // 2 - weights
    if room < sequence:
        raise Refused(
            "OutOfMemory",
            f"The model's weights take {weights / 2**30:.1f} GiB and one question of the greatest length "
            f"{sequence / 2**30:.2f} GiB, which is too much for {free / 2**30:.1f} GiB of memory of which half is kept free; "
            "lower spec.engine.maxModelLength, or give the service more memory.",
            retryable=True,
        )
    return min(FULL_SEQUENCES * sequence, room)
