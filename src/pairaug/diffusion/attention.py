"""Attention processors that let an edited row take the attention maps of its source row.

They keep no state: the `AttentionSwap` comes in with each call as tensors. No attention map is
built: prompt-to-prompt's mixed maps are applied to the values term by term, with the same result.
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


class AttentionSwap(NamedTuple):
    """The attention that edited rows take from their source's row in one step.

    The first rows of a batch are edits, one for each of `source_rows`; all other rows attend as
    usual. With w the weight of the source's map for each token of the edited report, `moved` is the
    alignment's mapping times w and `kept` is 1 - w. If both are None, cross-attention is not
    swapped. Self-attention is swapped in layers of at most `max_self_positions` positions; 0 swaps
    none.
    """

    source_rows: Int[Tensor, " edit"]
    moved: Float[Tensor, "edit source_token edited_token"] | None
    kept: Float[Tensor, "edit edited_token"] | None
    max_self_positions: int


def cross_attention(
    query: Heads,
    key: Float[Tensor, "row head token feature"],
    value: Float[Tensor, "row head token feature"],
    swap: AttentionSwap,
) -> Heads:
    """Attention to tokens, with the source's map mixed into that of each edited row.

        out_edit = SDPA(q_src, k_src, mapping @ (w * v_edit))
                 + SDPA(q_edit, k_edit, (1 - w) * v_edit)

    Hertz et al. 2022, section 3.2: their mixed map P_src @ (mapping * w) + P_edit * (1 - w),
    multiplied by the values term by term.
    """
    if swap.moved is None or swap.kept is None:
        return F.scaled_dot_product_attention(query, key, value)
    num_edits = len(swap.source_rows)
    edited_value = value[:num_edits]
    moved = swap.moved[:, None].to(value.dtype) @ edited_value
    kept = swap.kept[:, None, :, None].to(value.dtype) * edited_value
    own = F.scaled_dot_product_attention(query, key, torch.cat([kept, value[num_edits:]]))
    # Added in place: at 64 x 64 positions a second copy of all rows takes much memory.
    own[:num_edits] += F.scaled_dot_product_attention(
        query[swap.source_rows], key[swap.source_rows], moved
    )
    return own


def self_attention(query: Heads, key: Heads, value: Heads, swap: AttentionSwap) -> Heads:
    """Attention between positions, with the source's map in place of each edited row's.

        out_edit = SDPA(q_src, k_src, v_edit)

    Only for maps of at most `max_self_positions` positions: larger ones hold texture, not layout.
    """
    if query.shape[2] <= swap.max_self_positions:
        num_edits = len(swap.source_rows)
        query = torch.cat([query[swap.source_rows], query[num_edits:]])
        key = torch.cat([key[swap.source_rows], key[num_edits:]])
    return F.scaled_dot_product_attention(query, key, value)


class SwapProcessor:
    """Computes one attention call of the denoiser, with the attention that `swap` names swapped.

    Without `swap` the result is that of diffusers' own `AttnProcessor2_0`.
    """

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        swap: AttentionSwap | None = None,
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
    """Within it, every attention layer of `denoiser` takes an `AttentionSwap`.

    Yields the number of layers; the original processors are put back at the end. Raises
    `ModelError` if the denoiser has no attention layers, or one whose processor cannot be replaced:
    a swap in only some of the layers would be another edit.
    """
    before = dict(denoiser.attn_processors)
    _check_layers(denoiser, before)
    denoiser.set_attn_processor({name: SwapProcessor() for name in before})
    try:
        yield len(before)
    finally:
        denoiser.set_attn_processor(before)


def is_swapping(denoiser: Any) -> bool:
    """True within `swapping`: every attention layer takes an `AttentionSwap`."""
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
