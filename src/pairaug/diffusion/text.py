"""Texts as conditions of the denoiser: tokens, and the states of one or two text encoders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import CLIPTokenizer

from pairaug.diffusion.prompts import LongReport, Prompt, fit_prompt, fit_prompts
from pairaug.diffusion.windows import AT_SENTENCE, AT_WORD, INSIDE_WORD, Layout, lay_out
from pairaug.errors import ModelError
from pairaug.findings.sentences import sentences

# Windows of text whose states are kept. Those of SDXL take 0.3 MB each in half precision.
_MAX_CACHED = 256


@dataclass(frozen=True, slots=True)
class Conditioning:
    """The denoiser's text conditions, one row per text.

    `pooled` is one vector for each whole text, beside the states of its tokens; None for models
    that do not take it.
    """

    tokens: Float[Tensor, "prompt token feature"]
    pooled: Float[Tensor, "prompt pooled_feature"] | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: slice | Sequence[int]) -> Conditioning:
        pooled = None if self.pooled is None else self.pooled[rows]
        return Conditioning(self.tokens[rows], pooled)

    def split(self, sizes: Sequence[int]) -> list[Conditioning]:
        """Consecutive rows, as many as `sizes` says."""
        stops = [sum(sizes[: index + 1]) for index in range(len(sizes))]
        return [self[stop - size : stop] for size, stop in zip(sizes, stops, strict=True)]

    def expand(self, num_rows: int) -> Conditioning:
        """The only row, `num_rows` times, without a copy."""
        pooled = None if self.pooled is None else self.pooled.expand(num_rows, -1)
        return Conditioning(self.tokens.expand(num_rows, -1, -1), pooled)

    @staticmethod
    def cat(parts: Sequence[Conditioning]) -> Conditioning:
        """The rows of all parts, which are of one model."""
        pooled = [part.pooled for part in parts if part.pooled is not None]
        tokens = torch.cat([part.tokens for part in parts])
        return Conditioning(tokens, torch.cat(pooled) if pooled else None)


@dataclass(frozen=True, slots=True)
class TextTower:
    """One text encoder, and the token that it was trained to see after a text's end."""

    model: Any = field(repr=False)
    pad_id: int

    @property
    def num_positions(self) -> int:
        return int(self.model.config.max_position_embeddings)

    @property
    def width(self) -> int:
        """Features of one token's state."""
        return int(self.model.config.hidden_size)


@dataclass(frozen=True, slots=True)
class TextEncoders:
    """The text encoders of one model, which all read the same tokens.

    One encoder (Stable Diffusion 1.x and 2.x) gives its last states, after the final norm. Two
    (SDXL) give their last but one, side by side, and the second also its projection of the whole
    text. `zeroes_empty`: for the empty text the denoiser was trained on zeros in their place.

    Each distinct window is encoded alone and once, as long as it is among the last few hundred: a
    report's states then do not depend on what it is encoded beside, nor on how a run was resumed.
    """

    tokenizer: CLIPTokenizer = field(repr=False)
    towers: tuple[TextTower, ...]
    zeroes_empty: bool = False
    _cached: Callable[[tuple[int, ...], torch.device], Conditioning] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "_cached", lru_cache(_MAX_CACHED)(self._encoded))

    @property
    def models(self) -> tuple[Any, ...]:
        return tuple(tower.model for tower in self.towers)

    @property
    def window(self) -> int:
        """The positions of one window, both special tokens included."""
        positions = min(tower.num_positions for tower in self.towers)
        return min(positions, int(self.tokenizer.model_max_length))

    @property
    def width(self) -> int:
        """Features of one token's states, of all encoders together."""
        return sum(tower.width for tower in self.towers)

    @property
    def pooled_width(self) -> int | None:
        """Features of a whole text's vector; None where there is none."""
        return int(self.towers[-1].model.config.projection_dim) if self._is_pooled else None

    def token_ids(self, text: str) -> list[int]:
        """The text's tokens with both special tokens and without padding."""
        # verbose=False: a text beyond the window is no mistake here.
        return list(self.tokenizer(text, verbose=False).input_ids)

    def layout(self, text: str) -> Layout:
        """The text's tokens in as many windows as they need."""
        tokens = self.tokenizer(text, verbose=False, return_offsets_mapping=True)
        words, places = tokens.input_ids[1:-1], tokens.offset_mapping[1:-1]
        begins = [start for start, _ in places]
        return lay_out(words, _bounds(text, begins), self.window)

    def fit_prompt(self, text: str, long_report: LongReport) -> Prompt:
        """`text` as a prompt, with what `long_report` says where it exceeds one window."""
        return self._in_windows(
            fit_prompt(text, self._num_tokens, self.window, long_report),
        )

    def fit_prompts(
        self, source: str, edited: str, long_report: LongReport
    ) -> tuple[Prompt, Prompt]:
        """An edit's two texts as prompts, with what `long_report` says where either is too long."""
        both = fit_prompts(source, edited, self._num_tokens, self.window, long_report)
        return self._in_windows(both[0]), self._in_windows(both[1])

    def _in_windows(self, prompt: Prompt) -> Prompt:
        return replace(prompt, num_windows=self.layout(prompt.text).num_windows)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], device: torch.device) -> Conditioning:
        """One row per text: the states of all its windows along the token axis.

        Texts with fewer windows than the longest get windows of the empty text after them. What
        stands for a whole text is its first window's.
        """
        distinct = list(dict.fromkeys(texts))
        layouts = [self.layout(text) for text in distinct]
        num_windows = max(layout.num_windows for layout in layouts)
        rows = [
            self._row([*layout.windows(), *[()] * (num_windows - layout.num_windows)], device)
            for layout in layouts
        ]
        empty = [text == "" and self.zeroes_empty for text in distinct]
        of_distinct = _without(Conditioning.cat(rows), empty)
        return of_distinct[[distinct.index(text) for text in texts]]

    @property
    def _is_pooled(self) -> bool:
        return len(self.towers) > 1

    def _num_tokens(self, text: str) -> int:
        return len(self.token_ids(text))

    def _row(self, windows: Sequence[Sequence[int]], device: torch.device) -> Conditioning:
        """One text: the states of its windows along the token axis, its first one's vector."""
        parts = [self._cached(tuple(window), device) for window in windows]
        return Conditioning(torch.cat([part.tokens for part in parts], dim=1), parts[0].pooled)

    def _encoded(self, words: tuple[int, ...], device: torch.device) -> Conditioning:
        """One window of a text's own tokens: their states, and the vector that stands for them."""
        begin, end = self.token_ids("")
        window = [begin, *words, end]
        outputs = []
        for tower in self.towers:
            padding = [tower.pad_id] * (self.window - len(window))
            ids = torch.tensor([window + padding], device=device)
            # Stable Diffusion attends to padding too; only some text encoders ask for a mask.
            is_masked = bool(getattr(tower.model.config, "use_attention_mask", False))
            mask = (torch.arange(self.window, device=device) < len(window)).long()[None]
            outputs.append(
                tower.model(
                    ids,
                    attention_mask=mask if is_masked else None,
                    output_hidden_states=self._is_pooled,
                )
            )
        if not self._is_pooled:
            return Conditioning(outputs[0].last_hidden_state)
        states = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        return Conditioning(states, outputs[-1].text_embeds)


def check_same_tokens(first: CLIPTokenizer, second: CLIPTokenizer, where: str) -> None:
    """Raises `ModelError` unless two tokenizers cut words alike; their padding may differ.

    One text is cut into windows once and aligned once, for both text encoders.
    """
    if first.get_vocab() != second.get_vocab():
        raise ModelError(f"{where}: tokenizer and tokenizer_2 have different vocabularies")
    specials = {*first.all_special_tokens, *second.all_special_tokens}
    pieces = (piece.removesuffix("</w>") for piece in first.get_vocab())
    # A special token is cut out of a text wherever it stands, and "!" is SDXL's second padding.
    words = [piece for piece in pieces if not any(special in piece for special in specials)]
    line = " ".join(words)
    if first(line, verbose=False).input_ids != second(line, verbose=False).input_ids:
        raise ModelError(
            f"{where}: tokenizer and tokenizer_2 cut the same words into different tokens; "
            "PairAug needs them to differ in their padding only"
        )


def _bounds(text: str, begins: Sequence[int]) -> list[int]:
    """The rank of each token as the start of a window, by its position in `text`."""
    at_sentence = {span.start for span in sentences(text)}
    bounds, before = [], -1
    for begin in begins:
        if begin == before:
            # One letter that takes several tokens.
            bounds.append(INSIDE_WORD)
        elif begin in at_sentence:
            bounds.append(AT_SENTENCE)
        else:
            bounds.append(AT_WORD if begin == 0 or text[begin - 1].isspace() else INSIDE_WORD)
        before = begin
    return bounds


def _without(text: Conditioning, rows: Sequence[bool]) -> Conditioning:
    """`text` with zeros in the rows that are marked."""
    if not any(rows):
        return text
    marked = torch.tensor(rows, device=text.tokens.device)
    pooled = text.pooled
    return Conditioning(
        text.tokens.masked_fill(marked[:, None, None], 0.0),
        None if pooled is None else pooled.masked_fill(marked[:, None], 0.0),
    )
