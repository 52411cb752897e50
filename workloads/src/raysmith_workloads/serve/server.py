"""The replica: one vLLM engine with its adapters behind vLLM's own OpenAI routes.

Requests go from Ray Serve's proxy straight to the engine's own ASGI application (`serve.ingress` without an application
of ours), not through a second deployment in front: one process fewer to start and one hop fewer for each token.
"""

import asyncio
from pathlib import Path
from typing import Any

from fastapi.responses import JSONResponse
from ray.llm._internal.serve.core.configs.llm_config import DiskMultiplexConfig
from ray.llm._internal.serve.engines.vllm.vllm_engine import VLLMEngine
from ray.serve.llm import LLMConfig, LLMServer

from raysmith_workloads.errors import Refused
from raysmith_workloads.serve.arguments import engine_arguments
from raysmith_workloads.serve.engine import CpuBudget, EnginePlan, kv_cache_bytes
from raysmith_workloads.serve.failure import EngineFailed, cause
from raysmith_workloads.serve.folders import check_adapter, fetched
from raysmith_workloads.serve.model import Served
from raysmith_workloads.storage import local_path

# What clients need. The engine has more routes, some of which change or stop it.
PUBLIC_PATHS = ("/health", "/metrics", "/version", "/tokenize", "/detokenize")
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that vLLM makes room for."""


class Engine(VLLMEngine):  # type: ignore[misc]  # ray has no types
    """vLLM as Ray Serve LLM starts it, but for one process fewer on a CPU."""

    def _start_async_llm_engine(self, vllm_engine_args: Any, vllm_engine_config: Any, placement_group: Any) -> Any:
        # On CPUs Ray starts a worker process below the engine's own, which is there to bind threads to cores. Without
        # that binding (engine.py) one process does, as on an accelerator: seven CPU-seconds and 1 GB less.
        parallel = vllm_engine_config.parallel_config
        if parallel.distributed_executor_backend == "mp" and parallel.world_size == 1:
            parallel.distributed_executor_backend = "uni"
        return super()._start_async_llm_engine(vllm_engine_args, vllm_engine_config, placement_group)


class ModelServer(LLMServer):  # type: ignore[misc]  # ray has no types
    """Fetches the folders, starts the engine, loads every adapter, and only then is ready.

    Ray Serve LLM loads adapters from S3 and its like, when the first request comes. These come from any folder, and a
    replica that answers has them all.
    """

    adapters: dict[str, Path]

    @classmethod
    async def started(cls, served: Served, plan: EnginePlan) -> "ModelServer":
        """A server that is ready. Raises Refused or EngineFailed."""
        try:
            served = await asyncio.to_thread(fetched, served)
            adapters = {model_id: local_path(uri) for model_id, uri in served.adapters.items()}
            server: ModelServer = cls.sync_init(_llm_config(served, plan, adapters), engine_cls=Engine)
            server.adapters = adapters
            await server.start()
        except Refused:
            raise
        except Exception as error:
            raise EngineFailed(f"The engine of {served.name} did not start: {cause(error)}") from error
        return server

    async def _start_engine(self) -> None:
        """Not the inherited one, which starts an actor of 0.7 GB to report use to Ray's makers."""
        # Ray would start a process on every node to download what is here already.
        self._llm_config.get_or_create_callback().ctx.run_init_node = False
        await self.engine.start()
        for number, (model_id, folder) in enumerate(self.adapters.items(), start=1):
            adapter = DiskMultiplexConfig(
                model_id=model_id, max_total_tokens=None, local_path=str(folder), lora_assigned_int_id=number
            )
            await self.engine.resolve_lora(adapter)

    async def __serve_build_asgi_app__(self) -> Any:
        app = await self.engine.build_asgi_app()
        app.router.routes[:] = [route for route in app.router.routes if _is_public(getattr(route, "path", ""))]
        models = app.state.openai_serving_models

        async def retrieve(model_id: str) -> JSONResponse:
            """One of the models that /v1/models lists, which is all that vLLM has."""
            cards = {card.id: card for card in (await models.show_available_models()).data}
            if model_id in cards:
                return JSONResponse(cards[model_id].model_dump())
            message = f"The model `{model_id}` does not exist."
            error = {"message": message, "type": "NotFoundError", "param": "model", "code": 404}
            return JSONResponse({"error": error}, status_code=404)

        app.add_api_route("/v1/models/{model_id:path}", retrieve, methods=["GET"])
        return app


def _is_public(path: str) -> bool:
    return path.startswith("/v1/") or path in PUBLIC_PATHS


def _llm_config(served: Served, plan: EnginePlan, adapters: dict[str, Path]) -> LLMConfig:
    """What the object asks for, what follows from the folders, and above both what `spec.engine.args` sets."""
    folder = local_path(served.base)
    engine = dict(plan.fields["engine_kwargs"])
    if adapters:
        engine["max_lora_rank"] = max(_rank(model_id, path) for model_id, path in adapters.items())
    if plan.cpu is not None:
        engine |= _cpu_sizes(engine.get("max_model_len"), folder, plan.cpu)
    engine |= engine_arguments(plan.arguments)
    loading = plan.fields["model_loading_config"] | {"model_source": str(folder)}
    return LLMConfig(**plan.fields | {"model_loading_config": loading, "engine_kwargs": engine})


def _rank(model_id: str, adapter: Path) -> int:
    """The smallest rank that vLLM makes room for and the adapter fits in."""
    rank = check_adapter(model_id, adapter)
    if rank > LORA_RANKS[-1]:
        raise Refused(
            "AdapterRefused", f"{model_id} has rank {rank}, and vLLM takes {LORA_RANKS[-1]} at most; train a smaller one."
        )
    return next(possible for possible in LORA_RANKS if possible >= rank)


def _cpu_sizes(max_length: int | None, folder: Path, cpu: CpuBudget) -> dict[str, Any]:
    """Number format and cache size. vLLM would serve float32 weights as bfloat16, which the run was not evaluated with."""
    import psutil  # type: ignore[import-untyped]  # its types are a package of their own
    from transformers import AutoConfig

    model = AutoConfig.from_pretrained(folder).get_text_config()
    dtype = str(model.dtype or "auto").removeprefix("torch.")
    head = getattr(model, "head_dim", None) or model.hidden_size // model.num_attention_heads
    heads = getattr(model, "num_key_value_heads", None) or model.num_attention_heads
    token = 2 * model.num_hidden_layers * heads * head * (4 if dtype == "float32" else 2)
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    free = cpu.memory or psutil.virtual_memory().available // cpu.services
    length = max_length or getattr(model, "max_position_embeddings", 2048)
    return {"dtype": dtype, "kv_cache_memory_bytes": kv_cache_bytes(token * length, weights, free)}
