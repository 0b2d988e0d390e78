"""Prompt-to-prompt as its authors wrote it, for one pair at a time: maps built, counted and mixed.

Slow and plain on purpose, and sharing no code with the package's edits but the models: all four
rows stay in the batch to the last step, the steps are diffusers' own, and the controller counts
its calls, as the reference does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from diffusers import DDIMScheduler
from torch import Tensor

WINDOW_GAP, MATCH, MISMATCH = 0, 1, -1


@dataclass
class Controller:
    """Changes the attention maps of the last row (the edit, conditional) to the source's."""

    num_layers: int
    mapper: Tensor  # token token
    alphas: Tensor  # token
    num_cross_steps: int
    num_self_steps: int
    max_self_positions: int
    step: int = 0
    calls_in_step: int = 0
    calls: list[str] = field(default_factory=list)

    def __call__(self, maps: Tensor, is_cross: bool) -> Tensor:
        """Rows: source and edit without condition, source and edit with it."""
        source, edited = maps[2], maps[3]
        if is_cross and self.step < self.num_cross_steps:
            replaced = torch.einsum("hpw,wn->hpn", source, self.mapper)
            edited = replaced * self.alphas + edited * (1 - self.alphas)
            self.calls.append("cross")
        is_small = maps.shape[-1] <= self.max_self_positions
        if not is_cross and is_small and self.step < self.num_self_steps:
            edited = source
            self.calls.append("self")
        self.calls_in_step += 1
        if self.calls_in_step == self.num_layers:
            self.step, self.calls_in_step = self.step + 1, 0
        return torch.stack([maps[0], maps[1], source, edited])


class MapProcessor:
    """Attention with its maps in the open, given to a controller before they meet the values."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **_):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            layer(states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for layer, states in (
                (attn.to_q, hidden_states),
                (attn.to_k, context),
                (attn.to_v, context),
            )
        )
        maps = (query @ key.transpose(-1, -2) * attn.scale).softmax(dim=-1)
        maps = self.controller(maps, encoder_hidden_states is not None)
        return attn.to_out[0]((maps @ value).transpose(1, 2).flatten(2))


def refine_mapper(source: list[int], edited: list[int], window: int) -> tuple[Tensor, Tensor]:
    """Mapper and alphas as `seq_aligner.get_refinement_mapper` describes them."""
    rows, columns = len(source) + 1, len(edited) + 1
    score = np.zeros((rows, columns), dtype=int)
    back = np.zeros((rows, columns), dtype=int)
    back[0, 1:], back[1:, 0] = 1, 2
    for i in range(1, rows):
        for j in range(1, columns):
            left, up = score[i, j - 1] + WINDOW_GAP, score[i - 1, j] + WINDOW_GAP
            step = MATCH if source[i - 1] == edited[j - 1] else MISMATCH
            diagonal = score[i - 1, j - 1] + step
            score[i, j] = max(left, up, diagonal)
            back[i, j] = 1 if score[i, j] == left else 2 if score[i, j] == up else 3
    indices = list(range(window))
    i, j = len(source), len(edited)
    while i > 0 or j > 0:
        if back[i, j] == 3:
            i, j = i - 1, j - 1
            indices[j] = i
        elif back[i, j] == 1:
            j -= 1
            indices[j] = -1
        else:
            i -= 1
    alphas = torch.tensor([float(index != -1) for index in indices])
    mapper = torch.zeros(window, window)
    for position, index in enumerate(indices):
        if index != -1:
            mapper[index, position] = 1.0
    return mapper, alphas


def mapper_over_windows(
    source: list[tuple[int, ...]], edited: list[tuple[int, ...]], window: int
) -> tuple[Tensor, Tensor]:
    """As `refine_mapper`, for texts of several windows, each given by the words that it holds.

    Every position is named; names that are the same on both sides share their maps, and words as
    the reference aligns them, whatever window they are in.
    """

    def names(windows: list[tuple[int, ...]]) -> list[tuple]:
        found, num_words = [], 0
        for number, words in enumerate(windows):
            own = [("begin", number)]
            own += [("word", num_words + index) for index in range(len(words))]
            own += [("end", number)]
            found += own + [("padding", number, place) for place in range(len(own), window)]
            num_words += len(words)
        return found

    old_words = [word for words in source for word in words]
    new_words = [word for words in edited for word in words]
    num_words = max(len(old_words), len(new_words))
    of_words, alphas_of_words = refine_mapper(old_words, new_words, num_words)
    old_names, new_names = names(source), names(edited)
    mapper = torch.zeros(len(old_names), len(new_names))
    alphas = torch.ones(len(new_names))
    for column, name in enumerate(new_names):
        if name[0] == "padding":
            mapper[column, column] = 1.0
        elif name[0] != "word":
            mapper[old_names.index(name), column] = 1.0
        elif alphas_of_words[name[1]]:
            match = int(of_words[:, name[1]].argmax())
            mapper[old_names.index(("word", match)), column] = 1.0
        else:
            alphas[column] = 0.0
    return mapper, alphas


def explicit_edit(
    pipeline,
    source_prompt: str,
    edited_prompt: str,
    controller: Controller,
    num_inference_steps: int,
    guidance_scale: float,
    noise: Tensor | None = None,
    trajectory: Tensor | None = None,
    correct_drift: bool = False,
) -> Tensor:
    """The edited latents: from shared `noise`, or from a recorded `trajectory` of the source."""
    scheduler = DDIMScheduler.from_config(pipeline.scheduler_config, clip_sample=False)
    scheduler.set_timesteps(num_inference_steps)
    text = pipeline.encode_prompts(["", "", source_prompt, edited_prompt])
    told = {"encoder_hidden_states": text.tokens}
    if text.pooled is not None:
        sizes = [float(pipeline.image_size)] * 2
        ids = torch.tensor([[*sizes, 0.0, 0.0, *sizes]] * 4)
        told["added_cond_kwargs"] = {"text_embeds": text.pooled, "time_ids": ids}
    start = noise if trajectory is None else trajectory[0]
    latents = torch.stack([start, start])
    before = pipeline.denoiser.attn_processors
    pipeline.denoiser.set_attn_processor(MapProcessor(controller))
    try:
        with torch.no_grad():
            for index, timestep in enumerate(scheduler.timesteps):
                if trajectory is not None:
                    latents[0] = trajectory[index]
                rows = torch.cat([latents, latents])
                output = pipeline.denoiser(rows, timestep, **told).sample
                empty, conditional = output.chunk(2)
                output = empty + guidance_scale * (conditional - empty)
                latents = scheduler.step(output, timestep, latents).prev_sample
                if correct_drift and trajectory is not None:
                    latents[1] += trajectory[index + 1] - latents[0]
    finally:
        pipeline.denoiser.set_attn_processor(before)
    return latents[1]
