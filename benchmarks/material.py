"""What the benchmarks work on: a small Llama shape with random weights and rows of real text, made here and on the spot.

The text is Python's own documentation, which every CPython carries.
"""

import json
import random
from pathlib import Path
from typing import Any

CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'assistant' %}<|assistant|>{% generation %}{{ m.content }}<|end|>"
    "{% endgeneration %}{% else %}<|user|>{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"]


def write_model(folder: Path, *, hidden: int = 256, layers: int = 6, vocabulary: int = 2048) -> int:
    """Write a Llama shape with random weights and its tokenizer to `folder`; the number of parameters is returned."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer(vocabulary)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=hidden // 64,
            num_key_value_heads=hidden // 64,
            intermediate_size=hidden * 11 // 4,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def write_rows(folder: Path, *, tokenizer: Path, count: int = 2000) -> float:
    """Write `rows.jsonl` (ours) and `trl.jsonl` (the same rows in TRL's form); the mean length in tokens is returned."""
    from transformers import AutoTokenizer

    rows = list(_conversations(count))
    (folder / "rows.jsonl").write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    parted = [{"prompt": row[:1], "completion": row[1:]} for row in rows]
    (folder / "trl.jsonl").write_text("".join(json.dumps(row) + "\n" for row in parted))
    encoded = AutoTokenizer.from_pretrained(tokenizer).apply_chat_template(rows, tokenize=True)["input_ids"]
    return sum(map(len, encoded)) / count


def _conversations(count: int) -> Any:
    """Beginnings of paragraphs as questions, 12 to 100 words that follow as answers."""
    from pydoc_data.topics import topics

    paragraphs = [words for text in topics.values() for block in text.split("\n\n") if len(words := block.split()) >= 20]
    dice = random.Random(0)  # noqa: S311 - lengths of rows, not a secret
    for index in range(count):
        words = paragraphs[index % len(paragraphs)]
        answer = words[8 : 8 + dice.randint(12, 100)]
        yield [{"role": "user", "content": " ".join(words[:8])}, {"role": "assistant", "content": " ".join(answer)}]


def _tokenizer(vocabulary: int) -> Any:
    from pydoc_data.topics import topics

    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(topics.values(), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>")  # noqa: S106
    fast.chat_template = CHAT_TEMPLATE
    return fast
