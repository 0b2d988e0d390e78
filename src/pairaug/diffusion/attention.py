"""Attention processors that let an edited row take the attention maps of its source row.

They count nothing and remember nothing: what to swap comes in with each call as tensors. No map is
built for it; prompt-to-prompt's mixed maps are applied to the values, which is the same thing. Only
what a `Watch` asks for is built, and added up as it comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from jaxtyping import Float, Int
from torch import Tensor, nn

from pairaug.errors import ModelError

Heads = Float[Tensor, "row head position feature"]


class Swap(NamedTuple):
    """What the attention processors need to know about one step.

    The first rows are edits, one for each of `source_rows`; all others attend as always. With w the
    weight of the source's map per token of the edited report (alpha where and while it is taken):
    `moved` is the alignment's mapping times w, `kept` is 1 - w; both None leave cross-attention
    alone. Self-attention over at most `max_self_positions` positions is the source's; 0: none is.
    """

    source_rows: Int[Tensor, " edit"]
    moved: Float[Tensor, "edit source_token edited_token"] | None
    kept: Float[Tensor, "edit edited_token"] | None
    max_self_positions: int


class Watch(NamedTuple):
    """Asks for the attention that some rows pay to some words, summed over layers and heads.

    `words` is 1 at a row's words and 0 elsewhere. Layers of at most `max_positions` add to `total`,
    each brought to its size; larger ones hold texture, and their maps would be large.
    """

    rows: Int[Tensor, " watched"]
    words: Float[Tensor, "watched token"]
    total: Float[Tensor, "watched 1 height width"]
    max_positions: int


def watch_attention(
    query: Heads, key: Float[Tensor, "row head token feature"], watch: Watch
) -> None:
    """Adds one layer's maps, softmax(q k / sqrt(d)) summed over a row's words, to `watch.total`."""
    num_positions, num_features = query.shape[2:]
    if num_positions > watch.max_positions:
        return
    scores = query[watch.rows] @ key[watch.rows].transpose(-1, -2) / num_features**0.5
    maps = scores.float().softmax(dim=-1) @ watch.words[:, None, :, None]
    height, width = watch.total.shape[-2:]
    shrunk = round((height * width / num_positions) ** 0.5)
    square = maps.mean(dim=1).reshape(len(maps), 1, height // shrunk, width // shrunk)
    watch.total.add_(F.interpolate(square, size=(height, width), mode="bilinear"))


def cross_attention(
    query: Heads,
    key: Float[Tensor, "row head token feature"],
    value: Float[Tensor, "row head token feature"],
    swap: Swap,
) -> Heads:
    """Attention to tokens, in which edited rows mix the source's map with their own.

        out_edit = SDPA(q_src, k_src, mapping @ (w * v_edit))
                 + SDPA(q_edit, k_edit, (1 - w) * v_edit)

    Hertz et al. 2022, section 3.2, whose mixed map P_src @ (mapping * w) + P_edit * (1 - w) is here
    multiplied by the values term by term.
    """
    if swap.moved is None or swap.kept is None:
        return F.scaled_dot_product_attention(query, key, value)
    num_edits = len(swap.source_rows)
    edited_value = value[:num_edits]
    moved = swap.moved[:, None].to(value.dtype) @ edited_value
    kept = swap.kept[:, None, :, None].to(value.dtype) * edited_value
    own = F.scaled_dot_product_attention(query, key, torch.cat([kept, value[num_edits:]]))
    # Added in place: at 64 x 64 positions a second copy of all rows is no small thing.
    own[:num_edits] += F.scaled_dot_product_attention(
        query[swap.source_rows], key[swap.source_rows], moved
    )
    return own


def self_attention(query: Heads, key: Heads, value: Heads, swap: Swap) -> Heads:
    """Attention between positions, in which edited rows look where their source looks.

    out_edit = SDPA(q_src, k_src, v_edit), on maps small enough to hold layout rather than texture.
    """
    if query.shape[2] <= swap.max_self_positions:
        num_edits = len(swap.source_rows)
        query = torch.cat([query[swap.source_rows], query[num_edits:]])
        key = torch.cat([key[swap.source_rows], key[num_edits:]])
    return F.scaled_dot_product_attention(query, key, value)


class SwapProcessor:
    """Computes one attention call of the denoiser, with what `swap` says exchanged.

    Without `swap` it computes what diffusers' own `AttnProcessor2_0` does.
    """

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        swap: Swap | None = None,
        watch: Watch | None = None,
    ) -> Tensor:
        if attention_mask is not None:
            raise ValueError("attention masks cannot be combined with a swap")
        inputs, shape = hidden_states, hidden_states.shape
        if hidden_states.ndim == 4:
            hidden_states = hidden_states.flatten(2).transpose(1, 2)
        if attn.group_norm is not None:
            hidden_states = attn.group_norm(hidden_states.transpose(1, 2)).transpose(1, 2)
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        if encoder_hidden_states is not None and attn.norm_cross:
            context = attn.norm_encoder_hidden_states(context)
        assert attn.to_k is not None and attn.to_v is not None  # noqa: PT018
        query, key, value = (
            projection(states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for projection, states in (
                (attn.to_q, hidden_states),
                (attn.to_k, context),
                (attn.to_v, context),
            )
        )
        if attn.norm_q is not None:
            query = attn.norm_q(query)
        if attn.norm_k is not None:
            key = attn.norm_k(key)
        if watch is not None and encoder_hidden_states is not None:
            watch_attention(query, key, watch)
        if swap is None:
            attended = F.scaled_dot_product_attention(query, key, value)
        elif encoder_hidden_states is None:
            attended = self_attention(query, key, value, swap)
        else:
            attended = cross_attention(query, key, value, swap)
        project, dropout = cast("nn.ModuleList", attn.to_out)
        output = dropout(project(attended.transpose(1, 2).flatten(2)))
        if inputs.ndim == 4:
            output = output.transpose(1, 2).reshape(shape)
        if attn.residual_connection:
            output = output + inputs
        return output / attn.rescale_output_factor


@contextmanager
def swapping(denoiser: Any) -> Iterator[int]:
    """Within it, every attention layer of `denoiser` obeys `Swap`; afterwards all is as before.

    Yields the number of layers. Raises `ModelError` where the denoiser has none, or has one that
    cannot be made to obey: an edit by the others alone would look like one and be another.
    """
    before = dict(denoiser.attn_processors)
    _check_layers(denoiser, before)
    denoiser.set_attn_processor({name: SwapProcessor() for name in before})
    try:
        yield len(before)
    finally:
        denoiser.set_attn_processor(before)


def is_swapping(denoiser: Any) -> bool:
    """True within `swapping`: every attention layer obeys `Swap`."""
    processors = denoiser.attn_processors.values()
    return bool(processors) and all(type(each) is SwapProcessor for each in processors)


def _check_layers(denoiser: Any, processors: dict[str, Any]) -> None:
    layers = {
        name
        for name, module in denoiser.named_modules()
        if isinstance(module, Attention) or name.rpartition(".")[2] in ("attn1", "attn2")
    }
    if not layers:
        raise ModelError(
            "the denoiser has no attention layers: there is nothing that an edit can swap"
        )
    # Exact classes: a subclass, or a processor with weights, computes something else.
    hooked = {
        name.removesuffix(".processor")
        for name, processor in processors.items()
        if type(processor) in (AttnProcessor, AttnProcessor2_0)
    }
    missed = sorted(layers - hooked)
    if missed:
        raise ModelError(
            f"only {len(layers) - len(missed)} of the denoiser's {len(layers)} attention layers "
            f"can be edited; the first that cannot is {missed[0]}"
        )
