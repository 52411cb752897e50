"""The peer: TRL's SFTTrainer on the rows and the model of `benchmarks/training.py`, in a process of its own.

Prints one JSON line: real tokens (padding not counted) and seconds of the training loop, and the loss at its end.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer


class Clock(TrainerCallback):  # type: ignore[misc]  # transformers has no complete types
    """Times the loop from the end of its first step, so that no side pays for its warm-up."""

    def __init__(self) -> None:
        self.started = 0.0
        self.tokens_at_start = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002 - TRL's signature
        """The first step ends: start the clock."""
        if state.global_step == 1:
            self.started = time.perf_counter()
            self.tokens_at_start = float(state.num_input_tokens_seen)


def config(arguments: argparse.Namespace) -> SFTConfig:
    """TRL's defaults; only what the comparison is about, and what a machine without a GPU needs, is set."""
    return SFTConfig(
        output_dir=str(arguments.output),
        use_cpu=True,
        max_length=arguments.max_length,
        per_device_train_batch_size=arguments.batch_size,
        max_steps=arguments.steps,
        learning_rate=arguments.learning_rate,
        include_num_input_tokens_seen="non_padding",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        packing=arguments.packing,
        **({"bf16": False} if arguments.fp32 else {}),
    )


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--packing", action="store_true")
    parser.add_argument("--fp32", action="store_true", help="bf16=False; TRL's default is bf16")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = Clock()
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32),
        args=config(arguments),
        train_dataset=load_dataset("json", data_files=str(arguments.rows), split="train"),
        processing_class=AutoTokenizer.from_pretrained(arguments.model),
        callbacks=[clock],
    )
    trainer.train()
    seconds = time.perf_counter() - clock.started
    tokens = float(trainer.state.num_input_tokens_seen) - clock.tokens_at_start
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print(json.dumps({"tokens": tokens, "seconds": seconds, "loss": losses[-1] if losses else None}))


if __name__ == "__main__":
    main()
