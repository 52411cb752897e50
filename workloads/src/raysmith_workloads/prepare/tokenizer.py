"""The tokenizer: the model's own, or for `builtin://tiny` a small one trained on the run's own text.

Only `tokenizer.json` is read, never code. It must have an end token, because answers without one never stop.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from raysmith.api import LLMFineTune, layout
from raysmith.api.builtin import TINY, tiny_positions
from raysmith.api.finetune import Objective
from raysmith_workloads.errors import Refused
from raysmith_workloads.storage import fetch_tokenizer, local_path

TINY_VOCABULARY: Final = 2048
TINY_SAMPLE: Final = 2 * 2**20
"""About how many characters of the run's own text that the small tokenizer is trained on."""

_TINY_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "<|assistant|>{% generation %}{{ message['content'] }}<|end|>{% endgeneration %}"
    "{% else %}"
    "<|{{ message['role'] }}|>{{ message['content'] }}<|end|>"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

# For models that never had a conversation: names of roles in plain words, so that no token is new to them.
PLAIN_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{{ 'Assistant:\n' }}{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}{{ '\n' }}"
    "{% else %}"
    "{{ message['role'] | capitalize + ':\n' + message['content'] + '\n' }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:\n' }}{% endif %}"
)

_FILES: Final = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
)


def tokenizer_folder(obj: LLMFineTune) -> Path | None:
    """Folder of the tokenizer of the model that `spec.model` names; None for `builtin://tiny`. Raises Refused."""
    model = obj.spec.model
    if model.fine_tune is None:
        return None if model.source == TINY else fetch_tokenizer(str(model.source))
    if obj.status is None or obj.status.model is None:
        raise Refused("ModelNotFound", f"spec.model.fineTune: {model.fine_tune.name} has not been resolved; run it first.")
    run = local_path(obj.status.model.uri)
    folder = next((run / kind for kind in (layout.MODEL, layout.ADAPTER) if (run / kind).is_dir()), None)
    if folder is None:
        raise Refused("ModelNotFound", f"{obj.status.model.uri} holds no result; run {model.fine_tune.name} again.")
    return folder


def tokenizer_digest(folder: Path | None) -> str:
    """SHA-256 over what decides how text becomes tokens. The small tokenizer follows from the data and this file's version."""
    digest = hashlib.sha256()
    for name in _FILES if folder else ():
        path = folder / name if folder else Path(name)
        content = path.read_bytes() if path.is_file() else b""
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest() if folder else f"{TINY}#1"


@lru_cache(maxsize=2)
def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in `folder`, as transformers' PreTrainedTokenizerFast. Raises Refused (`TokenizerRefused`)."""
    from transformers import PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.set_verbosity_error()  # it warns that tokenizers of other classes are read as what they all are, tokenizer.json
    if not (folder / "tokenizer.json").is_file():
        raise Refused(
            "TokenizerRefused",
            f"{folder} has no tokenizer.json; load the tokenizer with transformers' AutoTokenizer and save it there.",
        )
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    except Exception as error:
        raise Refused("TokenizerRefused", f"The tokenizer in {folder} cannot be read ({error}); save it again.") from error
    if tokenizer.eos_token is None:
        raise Refused(
            "TokenizerRefused",
            f"The tokenizer in {folder} has no end token, so answers would never stop; set eos_token in tokenizer_config.json.",
        )
    return tokenizer


def train_tokenizer(texts: Iterable[str], max_length: int) -> Any:
    """A byte-level BPE tokenizer of at most 2,048 tokens, trained on `texts`, for a TINY that reads `max_length` tokens.

    Digits stand alone, so that numbers are read digit by digit. Equal texts give equal tokenizers.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TINY_VOCABULARY,
        special_tokens=["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|end|>",  # noqa: S106
        pad_token="<|pad|>",  # noqa: S106
        additional_special_tokens=["<|system|>", "<|user|>", "<|assistant|>"],
        chat_template=_TINY_TEMPLATE,
        model_max_length=tiny_positions(max_length),
        clean_up_tokenization_spaces=False,
    )


def with_template(tokenizer: Any, objective: Objective) -> tuple[Any, list[str]]:
    """The tokenizer with a chat template, and sentences on what was added. Raises Refused (`TemplateRefused`)."""
    if tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN_TEMPLATE
        remark = (
            "The model's tokenizer has no chat template; Raysmith's plain one (User: ... Assistant: ...) is used and saved."
        )
        return tokenizer, [remark] if objective is Objective.SFT else []
    if objective is Objective.SFT and not _ends_answers(tokenizer):
        eos = tokenizer.eos_token
        remark = f"The chat template does not end answers with the end token {eos}; it is added to each last answer."
        return tokenizer, [remark]
    return tokenizer, []


def _ends_answers(tokenizer: Any) -> bool:
    """Whether the template writes the end token. Raises Refused for one that is no template at all."""
    from jinja2 import TemplateSyntaxError

    try:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}], tokenize=False
        )
    except TemplateSyntaxError as error:
        raise Refused(
            "TemplateRefused",
            f"The model's chat template cannot be read: {error.message} (line {error.lineno}). "
            "Correct it, or start from another model.",
        ) from error
    except Exception:  # a template is a program, and may fail in any way
        return True  # it asks for other conversations; each row says for itself whether it can be written
    return tokenizer.eos_token in text
