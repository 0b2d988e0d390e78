"""A causal language model of transformers in this process: conversations in, texts out.

Each conversation has its own sampling seed, so that answers do not depend on the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import torch
from jinja2 import TemplateError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TopPLogitsWarper,
)

from pairaug.errors import ModelError, RunError
from pairaug.hub.folders import (
    adapter_in,
    fetch,
    local_folder,
    one_below,
    read_config,
    sha256_of_folder,
)
from pairaug.hub.inference import dtype_of, for_inference
from pairaug.hub.loading import Part, check_part, load_part, open_config
from pairaug.hub.tokenizers import check_vocabulary, open_tokenizer
from pairaug.rewrite.templates import Message, fold

_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors")


class GeneratedText(NamedTuple):
    """An answer with its numbers of tokens; the text is None if the prompt is too long.

    `is_cut` is true if the answer reached the limit of tokens before its end.
    """

    text: str | None
    num_tokens_in: int
    num_tokens_out: int
    is_cut: bool = False


def language_model_folder(model: str, revision: str | None = None) -> Path:
    """The folder of a language model: a local folder, or a downloaded hub id.

    With `HF_HUB_OFFLINE=1`, only the cache is searched. Raises `ModelError` if the model is
    missing, or has no safetensors.
    """
    folder = local_folder(model)
    if folder is None:
        folder = fetch(model, revision, _FILES, kind="language model")
    if not (folder / "config.json").is_file():
        said = adapter_in(folder)
        below = one_below(folder, "config.json")
        raise ModelError(
            said or f"{model} has no config.json{below}: not a model in transformers layout"
        )
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{model} has no .safetensors file; convert its weights, pickled ones can run code"
        )
    return folder


@lru_cache(maxsize=4)  # hashing takes long and is needed twice
def weights_sha256(folder: Path) -> str:
    """The SHA-256 over a model's weights, tokenizer, chat template and configurations."""
    return sha256_of_folder(folder, _FILES)


def check_language_model(folder: Path) -> None:
    """Raises `ModelError` unless model and tokenizer are complete; reads no weights."""
    part = Part(AutoModelForCausalLM, folder)
    check_part(part)
    config = open_config(part.kind, folder)
    _check_tokenizer(open_tokenizer(AutoTokenizer, folder), config, folder)


class CausalModel:
    """The model and its tokenizer, ready to answer."""

    def __init__(self, folder: Path, device: str, dtype: str) -> None:
        model = load_part(Part(AutoModelForCausalLM, folder), dtype_of(dtype))
        self._tokenizer: Any = open_tokenizer(AutoTokenizer, folder, padding_side="left")
        _check_tokenizer(self._tokenizer, model.config, folder)
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._model: Any = for_inference(model, device)
        self._device = device
        self._window = int(getattr(model.config, "max_position_embeddings", 0)) or 2**31
        ends = _ends_of(folder, model)
        ends = self._tokenizer.eos_token_id if ends is None else ends
        self._ends = [e for e in (ends if isinstance(ends, list) else [ends]) if e is not None]
        # Replaces the model's settings: their penalties or temperature would change the answers.
        self._model.generation_config = GenerationConfig(
            do_sample=False,
            eos_token_id=self._ends or None,
            pad_token_id=self._tokenizer.pad_token_id,
        )

    @torch.inference_mode()
    def generate(
        self,
        conversations: Sequence[Sequence[Message]],
        seeds: Sequence[int],
        temperature: float,
        top_p: float,
        max_tokens: int,
    ) -> list[GeneratedText]:
        """An answer of at most `max_tokens` tokens to each conversation."""
        prompts = [self._prompt(conversation) for conversation in conversations]
        lengths = [len(ids) for ids in self._tokenizer(prompts, **_AS_IT_IS).input_ids]
        fitting = [n for n, length in enumerate(lengths) if length + max_tokens <= self._window]
        answers = {
            n: GeneratedText(None, length, 0)
            for n, length in enumerate(lengths)
            if n not in fitting
        }
        if fitting:
            sample = SeededSampling([seeds[n] for n in fitting], temperature, top_p)
            rows = self._rows(
                [prompts[n] for n in fitting], [sample] if temperature else [], max_tokens
            )
            for n, row in zip(fitting, rows, strict=True):
                answers[n] = self._text(row, lengths[n])
        return [answers[n] for n in range(len(prompts))]

    def _rows(
        self, prompts: Sequence[str], randomness: list[LogitsProcessor], max_tokens: int
    ) -> list[list[int]]:
        """The tokens that follow each prompt."""
        inputs = self._tokenizer(list(prompts), **_AS_IT_IS, padding=True, return_tensors="pt").to(
            self._device
        )
        try:
            output = self._model.generate(
                input_ids=inputs.input_ids,
                attention_mask=inputs.attention_mask,
                logits_processor=LogitsProcessorList(randomness),
                max_new_tokens=max_tokens,
            )
        except torch.OutOfMemoryError as error:
            raise RunError(
                f"the language model ran out of memory on {self._device}; set "
                "rewrite.transformers.batch_size lower and run again"
            ) from error
        return output[:, inputs.input_ids.shape[1] :].tolist()

    def _prompt(self, conversation: Sequence[Message]) -> str:
        """The conversation in the model's own template."""
        options: dict[str, Any] = {"tokenize": False, "add_generation_prompt": True}
        try:
            return self._tokenizer.apply_chat_template(list(conversation), **options)
        except TemplateError:
            # Some templates do not support system messages.
            return self._tokenizer.apply_chat_template(fold(conversation), **options)

    def _text(self, row: list[int], num_tokens_in: int) -> GeneratedText:
        stop = next((n for n, token in enumerate(row) if token in self._ends), len(row))
        text = self._tokenizer.decode(row[:stop], skip_special_tokens=True)
        return GeneratedText(text, num_tokens_in, min(stop + 1, len(row)), is_cut=stop == len(row))


# The template has already added the special tokens.
_AS_IT_IS: dict[str, Any] = {"add_special_tokens": False}


class SeededSampling(LogitsProcessor):
    """Samples one token per row with the row's seed, and masks all others.

    One uniform number per row and step is mapped through the cumulative distribution; the library's
    sampling uses one generator for all rows of a batch.
    """

    def __init__(self, seeds: Sequence[int], temperature: float, top_p: float = 1.0) -> None:
        self._randomness = [Random(seed) for seed in seeds]
        self._temperature = temperature
        self._nucleus = TopPLogitsWarper(top_p) if top_p < 1 else None

    def __call__(self, input_ids: Any, scores: Any) -> torch.Tensor:
        warmed = scores.double() / self._temperature
        if self._nucleus is not None:
            warmed = self._nucleus(input_ids, warmed)
        fractions = torch.softmax(warmed, dim=-1).cumsum(-1)
        numbers = torch.tensor(
            [sample.random() for sample in self._randomness],
            dtype=torch.float64,
            device=scores.device,
        )
        # Scaled, since rounding can leave the last cumulative probability slightly off 1.
        chosen = torch.searchsorted(fractions, (numbers * fractions[:, -1])[:, None], right=True)
        chosen = chosen.clamp(max=scores.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(1, chosen, 0.0)


def _check_tokenizer(tokenizer: Any, config: Any, folder: Path) -> None:
    """Raises `ModelError` unless the tokenizer fits the model and has a chat template."""
    check_vocabulary(tokenizer, int(config.get_text_config().vocab_size), folder)
    if not tokenizer.chat_template:
        raise ModelError(
            f"{folder} has no chat template: it was not trained to follow instructions; name "
            "a chat or instruct model as rewrite.transformers.model"
        )


def _ends_of(folder: Path, model: Any) -> Any:
    """The tokens that end an answer, from the model's generation settings."""
    path = folder / "generation_config.json"
    said = read_config(path).get("eos_token_id") if path.is_file() else None
    return getattr(model.config, "eos_token_id", None) if said is None else said
