"""Weights: load them or make new ones, choose what is trained, save what came out."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import torch

from raysmith.api.builtin import tiny_positions
from raysmith.api.finetune import LoRA, Method
from raysmith_workloads.errors import Refused
from raysmith_workloads.finetune.checkpoint import system_errors
from raysmith_workloads.finetune.start import Start
from raysmith_workloads.storage import folder_made_whole


def build(start: Start, method: Method, tokenizer: Any, *, max_length: int, seed: int, dtype: torch.dtype) -> torch.nn.Module:
    """The model in training form: trained weights in float32, frozen ones in `dtype`. New ones can read `max_length` tokens.

    Raises Refused if the weights cannot be read or the adapter does not fit them.
    """
    weights = torch.float32 if method.full else dtype
    model = _tiny(tokenizer, max_length, seed) if start.folder is None else _load(start.folder, weights)
    if start.adapter is not None:
        model = _with_adapter(model, start.adapter, method.lora)
    elif method.lora is not None:
        torch.manual_seed(seed)  # the adapter's first matrices are random
        model = _with_new_adapter(model, method.lora)
    model.config.use_cache = False
    return model


def trained_parameters(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """What is trained, by name; a matrix that two layers share counts once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def parameter_count(model: torch.nn.Module) -> int:
    """Numbers in the model."""
    return sum(parameter.numel() for parameter in model.parameters())


def weights_digest(model: torch.nn.Module) -> str:
    """SHA-256 over the names and values of all weights in memory."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"


def save(model: Any, tokenizer: Any, stop_tokens: list[int], folder: Path) -> None:
    """Save what was trained as transformers (all weights) or peft (an adapter) load it, with tokenizer and chat template.

    `folder` is whole or not there; what an earlier, killed try has left is removed. Raises Refused: no room, no permission.
    """
    for left in (folder, *folder.parent.glob(f".{folder.name}.*.tmp")):
        shutil.rmtree(left, ignore_errors=True)
    with folder_made_whole(folder) as made, system_errors(made):
        _write(model, tokenizer, stop_tokens, made)


def _write(model: Any, tokenizer: Any, stop_tokens: list[int], folder: Path) -> None:
    from peft import PeftModel

    if isinstance(model, PeftModel):
        model.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)  # peft's form of a model card, with nothing filled in
    else:
        generation = model.generation_config
        generation.update(do_sample=False, temperature=None, top_p=None, top_k=None)
        generation.eos_token_id = stop_tokens if len(stop_tokens) > 1 else stop_tokens[0]
        generation.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        model.config.use_cache = True
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tiny(tokenizer: Any, max_length: int, seed: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=3,  # heads of 64: vLLM's CPU attention wants multiples of 32
            num_key_value_heads=3,
            initializer_range=0.05,  # so narrow a model learns in half the steps that the usual 0.02 takes
            max_position_embeddings=tiny_positions(max_length),
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            tie_word_embeddings=True,
        )
    )


def _load(folder: Path, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            attn_implementation="sdpa",
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise Refused("ModelRefused", f"The model in {folder} cannot be loaded: {first_line}") from error
    return model


def _with_new_adapter(model: Any, lora: LoRA) -> Any:
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules or "all-linear",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        layers = sorted({name.rpartition(".")[2] for name, part in model.named_modules() if isinstance(part, torch.nn.Linear)})
        raise Refused(
            "TargetModulesNotFound",
            f"spec.method.lora.targetModules: the model has no such layers; its linear layers are {', '.join(layers)}.",
        ) from error


def _with_adapter(model: Any, adapter: Path, lora: LoRA | None) -> Any:
    from peft import LoraConfig, PeftModel

    if lora is None:
        return PeftModel.from_pretrained(model, adapter).merge_and_unload().requires_grad_(True)
    config = LoraConfig.from_pretrained(adapter)
    config.lora_dropout = lora.dropout
    return PeftModel.from_pretrained(model, adapter, is_trainable=True, config=config)
