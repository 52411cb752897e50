"""Causal attention over many documents in one row, none of which sees another, without a mask and without padding elsewhere.

All other layers work token by token, so a batch can be one row of exactly its tokens. Only here documents are laid out apart:
on accelerators by the variable-length kernel, elsewhere as a few padded blocks of documents of similar length.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import scaled_dot_product_attention

NAME: Final = "raysmith_documents"
"""What `attn_implementation` is called for this attention."""

_SHORTEST = 0.75
"""Documents share a block while they have at least this share of its longest one's tokens."""


@dataclass(frozen=True)
class Documents:
    """Where D documents of N tokens in all lie in one row, and where each token goes in blocks of P padded places."""

    ends: torch.Tensor
    """[D + 1] int32, cumulative lengths, from 0."""
    longest: int
    """Tokens of the longest document."""
    blocks: tuple[tuple[int, int], ...]
    """(documents, padded length) of each block; the products sum up to P."""
    token_of_place: torch.Tensor
    """[P] the token at each place; 0 at padding."""
    place_of_token: torch.Tensor
    """[N] the place of each token."""
    padding: torch.Tensor
    """[P] bool, places that hold no token."""

    @classmethod
    def of(cls, lengths: npt.NDArray[np.int64]) -> "Documents":
        """Documents of these lengths, [D], one behind the other."""
        starts = np.cumsum(lengths) - lengths
        order = np.argsort(-lengths, kind="stable")
        blocks = _blocks(lengths[order])
        widths = np.repeat([width for _, width in blocks], [count for count, _ in blocks])
        first = np.cumsum(widths) - widths
        column = np.arange(int(widths.sum())) - np.repeat(first, widths)
        padding = column >= np.repeat(lengths[order], widths)
        token_of_place = np.where(padding, 0, np.repeat(starts[order], widths) + column)
        place_of_token = np.empty(int(lengths.sum()), np.int64)
        place_of_token[token_of_place[~padding]] = np.flatnonzero(~padding)
        return cls(
            ends=torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)),
            longest=int(lengths.max()),
            blocks=blocks,
            token_of_place=torch.from_numpy(token_of_place),
            place_of_token=torch.from_numpy(place_of_token),
            padding=torch.from_numpy(padding),
        )

    def to(self, device: torch.device) -> "Documents":
        """The same on `device`."""
        parts = (self.token_of_place, self.place_of_token, self.padding)
        return Documents(self.ends.to(device), self.longest, self.blocks, *(part.to(device) for part in parts))


def _blocks(lengths: npt.NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    """(documents, padded length) of each block, for `lengths` in descending order."""
    blocks: list[tuple[int, int]] = []
    for length in lengths.tolist():
        if blocks and length >= _SHORTEST * blocks[-1][1]:
            blocks[-1] = (blocks[-1][0] + 1, blocks[-1][1])
        else:
            blocks.append((1, length))
    return tuple(blocks)


def register() -> None:
    """Make this attention known to transformers under NAME, without a mask."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, _no_mask)


def _no_mask(*_args: Any, **_kwargs: Any) -> None:
    """Documents say what is seen."""


def attend(
    _module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention in the form that transformers calls it.

    `query` is [1, H, N, C]; `key` and `value` have as many or fewer heads; `documents` is among `kwargs`. Returns [1, N, H, C].
    Raises ValueError for what this attention does not do, so that nothing is quietly left out.
    """
    documents: Documents = kwargs["documents"]
    unknown = [name for name in ("softcap", "s_aux", "position_bias") if kwargs.get(name) is not None]
    window = kwargs.get("sliding_window")
    if unknown or attention_mask is not None or (window is not None and window < documents.longest):
        raise ValueError(f"attention over documents cannot do {unknown or 'a mask or a window'}")
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) and not dropout:
        return _variable_length(query, key, value, documents, scaling), None
    if query.is_cuda:
        return _in_blocks(query, key, value, documents, scaling, dropout), None
    # On CPUs torch's attention is several times slower in BF16 than in FP32, unlike everything around it.
    with torch.autocast("cpu", enabled=False):
        return _in_blocks(query.float(), key.float(), value.float(), documents, scaling, dropout), None


def _variable_length(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, documents: Documents, scaling: float | None
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    heads_last = [part[0].transpose(0, 1) for part in (query, key, value)]
    ends, longest = documents.ends, documents.longest
    grouped = query.shape[1] != key.shape[1]
    return varlen_attn(*heads_last, ends, ends, longest, longest, scale=scaling, window_size=(-1, 0), enable_gqa=grouped)[None]


def _in_blocks(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, documents: Documents, scaling: float | None, dropout: float
) -> torch.Tensor:
    heads, width = query.shape[1], query.shape[3]
    grouped = heads != key.shape[1]
    apart = [_laid_out(part, documents) for part in (query, key, value)]
    outputs = [
        scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True, scale=scaling, enable_gqa=grouped)
        for q, k, v in zip(*apart, strict=True)
    ]
    places = torch.cat([output.transpose(1, 2).reshape(-1, heads * width) for output in outputs])
    return _Collect.apply(places, documents).view(1, -1, heads, width)


def _laid_out(part: torch.Tensor, documents: Documents) -> list[torch.Tensor]:
    """[1, H, N, C] -> for each block [documents, H, length, C]."""
    heads, tokens, width = part.shape[1:]
    places = _Spread.apply(part.transpose(1, 2).reshape(tokens, heads * width), documents)
    blocks = places.split([count * length for count, length in documents.blocks])
    shapes = zip(blocks, documents.blocks, strict=True)
    return [block.view(count, length, heads, width).transpose(1, 2) for block, (count, length) in shapes]


# Both directions are a plain lookup, because each token has one place; autograd's own derivative of a lookup adds up row by
# row, which is many times slower on CPUs.
class _Spread(torch.autograd.Function):  # type: ignore[misc]
    """[N, C] tokens -> [P, C] places. What padding holds does not matter: causal attention never looks at it."""

    @staticmethod
    def forward(ctx: Any, tokens: torch.Tensor, documents: Documents) -> torch.Tensor:
        ctx.documents = documents
        return tokens.index_select(0, documents.token_of_place)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0].index_select(0, ctx.documents.place_of_token), None


class _Collect(torch.autograd.Function):  # type: ignore[misc]
    """[P, C] places -> [N, C] tokens."""

    @staticmethod
    def forward(ctx: Any, places: torch.Tensor, documents: Documents) -> torch.Tensor:
        ctx.documents = documents
        return places.index_select(0, documents.place_of_token)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        spread = gradients[0].index_select(0, ctx.documents.token_of_place)
        return spread.masked_fill_(ctx.documents.padding[:, None], 0), None
