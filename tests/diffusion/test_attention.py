"""The fused swap on one attention call, and which denoisers can be hooked."""

from __future__ import annotations

import copy

import jaxtyping
import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import nn

from pairaug.diffusion.attention import (
    AttentionSwap,
    SwapProcessor,
    cross_attention,
    self_attention,
    swapping,
)
from pairaug.diffusion.pipeline import Pipeline
from pairaug.errors import ModelError

ROWS, HEADS, POSITIONS, TOKENS, WIDTH = 6, 2, 9, 5, 4


def heads(length: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(ROWS, HEADS, length, WIDTH, generator=generator)


def maps(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    return (query @ key.transpose(-1, -2) / WIDTH**0.5).softmax(dim=-1)


def test_cross_attention_equals_mixed_maps_and_leaves_other_rows_alone() -> None:
    """Rows 0, 1 and 2 are edits of the sources in rows 4, 3 and 4; weights are fractional."""
    query, key, value = heads(POSITIONS, 0), heads(TOKENS, 1), heads(TOKENS, 2)
    generator = torch.Generator().manual_seed(3)
    mapping = torch.rand(3, TOKENS, TOKENS, generator=generator)
    weight = torch.rand(3, TOKENS, generator=generator)
    sources = torch.tensor([4, 3, 4])
    swap = AttentionSwap(sources, mapping * weight[:, None], 1.0 - weight, 0)
    expected = maps(query, key)
    own = expected[:3]
    taken = expected[sources] @ mapping[:, None]
    expected = expected.clone()
    expected[:3] = weight[:, None, None] * taken + (1 - weight[:, None, None]) * own
    actual = cross_attention(query, key, value, swap)
    assert torch.allclose(actual, expected @ value, atol=1e-6)


def test_self_attention_takes_the_sources_maps_up_to_the_size_limit() -> None:
    query, key, value = (heads(POSITIONS, seed) for seed in (4, 5, 6))
    sources = torch.tensor([3, 2])
    expected = maps(query, key)
    own = expected @ value
    expected[:2] = expected[sources]
    swap = AttentionSwap(sources, None, None, POSITIONS)
    assert torch.allclose(self_attention(query, key, value, swap), expected @ value, atol=1e-6)
    too_small = swap._replace(max_self_positions=POSITIONS - 1)
    assert torch.allclose(self_attention(query, key, value, too_small), own, atol=1e-6)


def test_without_a_swap_the_processor_computes_what_diffusers_does(pipeline: Pipeline) -> None:
    latents = torch.randn(3, *pipeline.latent_shape(), generator=torch.Generator().manual_seed(0))
    text = pipeline.encode_prompts(["normal heart", "no edema", ""])
    timestep = torch.tensor(400)
    with torch.inference_mode():
        expected = pipeline.predict(latents, timestep, text)
        with swapping(pipeline.denoiser):
            actual = pipeline.predict(latents, timestep, text)
    assert float((actual - expected).abs().max()) <= 1e-6


def test_every_layer_is_hooked_and_given_back_even_after_an_error(pipeline: Pipeline) -> None:
    before = pipeline.denoiser.attn_processors
    with swapping(pipeline.denoiser) as num_layers:
        inside = pipeline.denoiser.attn_processors.values()
        assert {type(processor) for processor in inside} == {SwapProcessor}
        assert num_layers == len(before) == 14
    assert pipeline.denoiser.attn_processors == before
    with pytest.raises(RuntimeError, match="in the middle"), swapping(pipeline.denoiser):
        raise RuntimeError("in the middle")
    assert pipeline.denoiser.attn_processors == before


def test_a_swap_outside_of_swapping_is_never_left_out_in_silence(velocity_bundle: Pipeline) -> None:
    text = velocity_bundle.encode_prompts(["normal heart", "enlarged heart"])
    latents = torch.zeros(2, *velocity_bundle.latent_shape())
    swap = AttentionSwap(torch.tensor([1]), None, None, 64)
    with pytest.raises(RuntimeError, match="outside of `swapping`"):
        velocity_bundle.predict(latents, torch.tensor(300), text, swap)


def test_a_denoiser_without_attention_layers_is_refused() -> None:
    plain = nn.Sequential(nn.Conv2d(4, 4, 1))
    plain.attn_processors = {}
    with pytest.raises(ModelError, match="no attention layers"), swapping(plain):
        pass


def test_a_layer_that_cannot_be_hooked_is_refused(pipeline: Pipeline) -> None:
    class OtherProcessor(AttnProcessor2_0):
        """Computes who knows what."""

    denoiser = copy.deepcopy(pipeline.denoiser)
    name = next(iter(denoiser.attn_processors)).removesuffix(".processor")
    denoiser.get_submodule(name).set_processor(OtherProcessor())
    with (
        pytest.raises(ModelError, match=f"only 13 of the denoiser's 14 .*first .* is {name}"),
        swapping(denoiser),
    ):
        pass


def test_an_attention_layer_of_another_class_is_refused(pipeline: Pipeline) -> None:
    denoiser = copy.deepcopy(pipeline.denoiser)
    block = denoiser.get_submodule("mid_block.attentions.0.transformer_blocks.0")
    block.attn1 = nn.Identity()
    with (
        pytest.raises(ModelError, match=r"only 13 of the denoiser's 14 .*mid_block"),
        swapping(denoiser),
    ):
        pass


def test_a_swap_compiles_without_a_graph_break(
    velocity_bundle: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The denoiser with both swaps on, traced whole: the swap is tensors, nothing is counted."""
    # The checks of shapes, which only tests have, would break the graph themselves.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    pipeline = velocity_bundle
    latents = torch.randn(3, *pipeline.latent_shape(), generator=torch.Generator().manual_seed(0))
    text = pipeline.encode_prompts(["normal heart", "enlarged heart", ""])
    # A copy: a tensor made in inference mode cannot be traced.
    states = text.tokens.clone()
    num_tokens = states.shape[1]
    swap = AttentionSwap(
        torch.tensor([1]), torch.eye(num_tokens)[None], torch.ones(1, num_tokens), 64
    )
    arguments = {"cross_attention_kwargs": {"swap": swap}, "return_dict": False}
    with torch.no_grad(), swapping(pipeline.denoiser):
        expected = pipeline.denoiser(latents, torch.tensor(300), states, **arguments)[0]
        compiled = torch.compile(pipeline.denoiser, backend="eager", fullgraph=True)
        actual = compiled(latents, torch.tensor(300), states, **arguments)[0]
    torch._dynamo.reset()
    assert float((actual - expected).abs().max()) <= 1e-5
