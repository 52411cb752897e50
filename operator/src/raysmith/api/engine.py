"""Which of vLLM's settings an LLMService may pass in `engine.args`, and why the others are refused.

An allow-list, because a new release of the engine brings new settings, and one that loads code or reads a file of the
server's turns the right to create an LLMService into the right to run anything. What is on the list takes a number, a
switch or one of a fixed set of words; none takes a path, an address, a name of a module or free JSON.
"""

from typing import Final

ALLOWED_ARGUMENTS: Final[dict[str, str]] = {
    "async-scheduling": "prepare the next step while this one runs",
    "block-size": "tokens in a block of the key-value cache",
    "cpu-offload-gb": "GiB of weights that are kept in the machine's memory",
    "disable-cascade-attn": "switch",
    "disable-custom-all-reduce": "switch",
    "disable-sliding-window": "switch",
    "dtype": "number format of the weights",
    "enable-chunked-prefill": "cut long questions into pieces",
    "enable-prefix-caching": "keep what equal beginnings have in common",
    "enforce-eager": "no CUDA graphs",
    "gpu-memory-utilization": "share of the accelerator's memory",
    "kv-cache-dtype": "number format of the key-value cache",
    "kv-cache-memory-bytes": "size of the key-value cache",
    "long-prefill-token-threshold": "tokens from which a question counts as long",
    "max-cpu-loras": "adapters kept in the machine's memory",
    "max-logprobs": "log-probabilities that a request may ask for",
    "max-num-batched-tokens": "tokens in one step",
    "max-num-seqs": "requests in one step",
    "num-gpu-blocks-override": "blocks of the key-value cache",
    "optimization-level": "how much is compiled",
    "quantization": "method of quantisation that is built into the engine",
    "scheduling-policy": "order of waiting requests",
    "seed": "start of random choices",
    "stream-interval": "tokens between two pieces of a streamed answer",
}
"""Names as on vLLM's command line, without dashes in front, and what each does."""

REFUSED_ARGUMENTS: Final[dict[str, str]] = {
    "allowed-local-media-path": "it opens files of the server to every request",
    "chat-template": "it reads a file of the server; the template that lies beside the model is used",
    "config": "it reads further settings from a file",
    "download-dir": "it writes anywhere on the server",
    "enable-lora": "Raysmith sets it; name the adapters in spec.adapters",
    "generation-config": "it reads a file of the server",
    "hf-config-path": "it loads another model's configuration",
    "hf-overrides": "it replaces the model's configuration, including the class that is loaded",
    "hf-token": "a credential does not belong into the object; use spec.model.secretRef",
    "host": "Raysmith sets it",
    "kv-transfer-config": "it names a Python class to load",
    "load-format": "other formats than safetensors run code when they are read",
    "logits-processors": "it names Python classes to load",
    "lora-modules": "it loads adapters from anywhere; name them in spec.adapters",
    "max-lora-rank": "Raysmith sets it from the adapters",
    "max-loras": "Raysmith sets it from the adapters",
    "max-model-len": "use spec.engine.maxModelLength",
    "middleware": "it names Python code to load",
    "model": "use spec.model",
    "model-loader-extra-config": "it configures loaders that read other formats than safetensors",
    "pipeline-parallel-size": "one replica is one pod; use spec.engine.tensorParallel",
    "port": "Raysmith sets it",
    "reasoning-parser-plugin": "it loads Python code from a file",
    "revision": "write it into spec.model.source, as hf://owner/name@revision",
    "scheduler-cls": "it names a Python class to load",
    "served-model-name": "a model is called like its service",
    "speculative-config": "it loads a second model from anywhere",
    "tensor-parallel-size": "use spec.engine.tensorParallel",
    "tokenizer": "it loads another tokenizer; the one that lies beside the model is used",
    "tool-parser-plugin": "it loads Python code from a file",
    "trust-remote-code": "it runs code that comes with the model",
    "worker-cls": "it names a Python class to load",
    "worker-extension-cls": "it names a Python class to load",
}
"""Settings that people ask for, and why they do not get them. Whatever is on neither list is refused too."""


def refusal(argument: str, allowed: frozenset[str] = frozenset(ALLOWED_ARGUMENTS)) -> str | None:
    """Why `argument` may not be set, as the end of a sentence, or None if it may."""
    if argument in allowed:
        return None
    unknown = "it is not among the settings that are known to load neither code nor files (" + ", ".join(sorted(allowed)) + ")"
    return REFUSED_ARGUMENTS.get(argument, unknown)
