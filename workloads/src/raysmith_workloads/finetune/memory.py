"""How many tokens one worker can hold at once."""

from typing import Any, NamedTuple

import torch

CPU_TOKENS = 4096
"""Tokens in a micro batch on CPUs: enough to fill the matrix kernels, few enough for the caches."""
MOST_TOKENS = 16384
"""Tokens in a micro batch on accelerators: more of them make nothing faster."""


class Room(NamedTuple):
    """What fits."""

    tokens: int
    """Tokens in a micro batch."""
    recompute: bool = False
    """Whether activations must be computed a second time in the backward pass instead of being kept."""


def room(model: Any, device: torch.device, *, trained: int, max_length: int) -> Room:
    """What fits beside `model` on `device`, with `trained` numbers to train and sequences of up to `max_length` tokens."""
    if device.type == "cpu":
        return Room(CPU_TOKENS)
    config = model.config.get_text_config()
    free, _total = torch.cuda.mem_get_info(device)
    shape = (config.num_hidden_layers, config.hidden_size, config.vocab_size)
    return room_in(free, *shape, trained=trained, max_length=max_length)


def room_in(free: int, layers: int, hidden: int, vocabulary: int, *, trained: int, max_length: int) -> Room:
    """What fits into `free` bytes.

    A trained number needs a gradient and AdamW's two moments, 12 bytes. A token needs 34 bytes of activations for each layer
    and hidden number (arXiv:2205.05198, equation 2, without the attention matrix, which is never stored), or 2 if they are
    computed again, and 12 bytes for each token of the vocabulary: the logits in 16 bits and 32 bits, and their gradients.
    Half of the room is left for what allocators waste and formulas forget.
    """
    usable = (free - 12 * trained) // 2
    logits = 12 * vocabulary
    kept = usable // (34 * layers * hidden + logits)
    if kept >= max_length:
        return Room(min(kept, MOST_TOKENS))
    again = usable // (2 * layers * hidden + 34 * hidden + logits)
    return Room(max(min(again, max_length), 1), recompute=True)
