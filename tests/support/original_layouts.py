"""Random weights in exactly the names and shapes in which other projects publish their models.

Written down from those layouts, not from any library's classes. Widths are the published ones;
only the layer counts, vocabularies and windows are arguments.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing
from torch import Tensor
from transformers import CLIPTokenizer, PreTrainedTokenizerFast

from support.tiny_clip import SPECIAL, WORDS

Shapes = Iterator[tuple[str, tuple[int, ...]]]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,:;-_"


def generated(shapes: Shapes, seed: int = 0) -> dict[str, Tensor]:
    """Weights of a scale at which inputs are told apart in every layer."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes:
        values = torch.randn(shape, generator=generator)
        if name.endswith("bias") or len(shape) < 2:
            is_gain = "norm" in name.lower() or ".ln_" in name or "ln_" in name.split(".")[0]
            offset = 1.0 if (is_gain and name.endswith("weight")) or "lambda1" in name else 0.0
            values = 0.1 * values + offset
        elif "table" in name or "embedding" in name:
            values = 0.3 * values
        else:
            values = values / max(1, values[0].numel()) ** 0.5
        weights[name] = values
    return weights


def medclip_shapes(
    depths: tuple[int, ...] = (2, 2, 6, 2), num_layers: int = 12, vocabulary: int = 28996
) -> Shapes:
    """MedCLIP 0.0.3: Swin-tiny and Bio_ClinicalBERT as transformers 4.24 named them."""
    swin = "vision_model.model."
    yield f"{swin}embeddings.patch_embeddings.projection.weight", (96, 3, 4, 4)
    yield f"{swin}embeddings.patch_embeddings.projection.bias", (96,)
    yield from _norm(f"{swin}embeddings.norm", 96)
    for stage, depth in enumerate(depths):
        width = 96 * 2**stage
        for block in range(depth):
            here = f"{swin}encoder.layers.{stage}.blocks.{block}."
            yield from _norm(f"{here}layernorm_before", width)
            yield f"{here}attention.self.relative_position_bias_table", (169, 3 * 2**stage)
            for part in ("self.query", "self.key", "self.value", "output.dense"):
                yield from _linear(f"{here}attention.{part}", width, width)
            yield from _norm(f"{here}layernorm_after", width)
            yield from _linear(f"{here}intermediate.dense", 4 * width, width)
            yield from _linear(f"{here}output.dense", width, 4 * width)
        if stage + 1 < len(depths):
            yield (
                f"{swin}encoder.layers.{stage}.downsample.reduction.weight",
                (2 * width, 4 * width),
            )
            yield from _norm(f"{swin}encoder.layers.{stage}.downsample.norm", 4 * width)
    yield from _norm(f"{swin}layernorm", 768)
    yield "vision_model.projection_head.weight", (512, 768)
    bert = "text_model.model."
    yield f"{bert}embeddings.word_embeddings.weight", (vocabulary, 768)
    yield f"{bert}embeddings.position_embeddings.weight", (512, 768)
    yield f"{bert}embeddings.token_type_embeddings.weight", (2, 768)
    yield from _norm(f"{bert}embeddings.LayerNorm", 768)
    for layer in range(num_layers):
        here = f"{bert}encoder.layer.{layer}."
        for part in ("query", "key", "value"):
            yield from _linear(f"{here}attention.self.{part}", 768, 768)
        yield from _linear(f"{here}attention.output.dense", 768, 768)
        yield from _norm(f"{here}attention.output.LayerNorm", 768)
        yield from _linear(f"{here}intermediate.dense", 3072, 768)
        yield from _linear(f"{here}output.dense", 768, 3072)
        yield from _norm(f"{here}output.LayerNorm", 768)
    yield from _linear(f"{bert}pooler.dense", 768, 768)
    yield "text_model.projection_head.weight", (512, 768)
    yield "logit_scale", ()


def medclip_weights(**sizes: object) -> dict[str, Tensor]:
    """With the buffers that version stored too."""
    weights = generated(medclip_shapes(**sizes))  # type: ignore[arg-type]
    weights["logit_scale"] = torch.tensor(2.0)
    weights["text_model.model.embeddings.position_ids"] = torch.arange(512)[None]
    for name in [name for name in weights if name.endswith("relative_position_bias_table")]:
        index = name.replace("bias_table", "index")
        weights[index] = torch.zeros(49, 49, dtype=torch.long)
    return weights


def openai_clip_shapes(
    num_layers: int = 12, num_text_layers: int = 12, vocabulary: int = 49408
) -> Shapes:
    """OpenAI's CLIP ViT-B/32, as CheXzero's checkpoints hold it."""
    yield "positional_embedding", (77, 512)
    yield "text_projection", (512, 512)
    yield "logit_scale", ()
    yield "visual.class_embedding", (768,)
    yield "visual.positional_embedding", (50, 768)
    yield "visual.proj", (768, 512)
    yield "visual.conv1.weight", (768, 3, 32, 32)
    yield from _norm("visual.ln_pre", 768)
    yield from _resblocks("visual.transformer", num_layers, 768)
    yield from _norm("visual.ln_post", 768)
    yield from _resblocks("transformer", num_text_layers, 512)
    yield "token_embedding.weight", (vocabulary, 512)
    yield from _norm("ln_final", 512)


def rad_dino_shapes(num_layers: int = 12) -> Shapes:
    """A ViT-B/14 of DINOv2 at 518 pixels, as transformers first named it."""
    yield "embeddings.cls_token", (1, 1, 768)
    yield "embeddings.mask_token", (1, 768)
    yield "embeddings.position_embeddings", (1, 1370, 768)
    yield "embeddings.patch_embeddings.projection.weight", (768, 3, 14, 14)
    yield "embeddings.patch_embeddings.projection.bias", (768,)
    for layer in range(num_layers):
        here = f"encoder.layer.{layer}."
        yield from _norm(f"{here}norm1", 768)
        for part in ("query", "key", "value"):
            yield from _linear(f"{here}attention.attention.{part}", 768, 768)
        yield from _linear(f"{here}attention.output.dense", 768, 768)
        yield f"{here}layer_scale1.lambda1", (768,)
        yield from _norm(f"{here}norm2", 768)
        yield from _linear(f"{here}mlp.fc1", 3072, 768)
        yield from _linear(f"{here}mlp.fc2", 768, 3072)
        yield f"{here}layer_scale2.lambda1", (768,)
    yield from _norm("layernorm", 768)


def write_folder(folder: Path, kind: str, weights: dict[str, Tensor], tokenizer: object) -> Path:
    """A folder as converting leaves it: original names, a kind, and a tokenizer."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(folder)  # type: ignore[attr-defined]
    return folder


def write_rad_dino(folder: Path, num_layers: int = 1) -> Path:
    """A folder as Microsoft publishes RAD-DINO: configuration, transform, weights."""
    folder.mkdir(parents=True)
    config = {
        "model_type": "dinov2",
        "architectures": ["Dinov2Model"],
        "hidden_size": 768,
        "num_attention_heads": 12,
        "num_hidden_layers": num_layers,
        "image_size": 518,
        "patch_size": 14,
        "mlp_ratio": 4,
    }
    transform = {
        "image_processor_type": "BitImageProcessor",
        "size": {"shortest_edge": 518},
        "crop_size": {"height": 518, "width": 518},
        "image_mean": [0.5307] * 3,
        "image_std": [0.2583] * 3,
        "resample": 3,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(transform))
    weights = generated(rad_dino_shapes(num_layers))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def bert_tokenizer() -> PreTrainedTokenizerFast:
    """A lower-casing WordPiece tokenizer of few words, without a length of its own."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{x}" for x in LETTERS), *WORDS]
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


def openai_tokenizer() -> CLIPTokenizer:
    """CLIP's byte pairs, few of them, the two special tokens last as in OpenAI's."""
    pieces = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            if (parts[0], parts[1]) not in merges:
                merges.append((parts[0], parts[1]))
            parts = [parts[0] + parts[1], *parts[2:]]
            pieces.append(parts[0])
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys([*pieces, *SPECIAL]))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)


def _resblocks(tower: str, num_layers: int, width: int) -> Shapes:
    for layer in range(num_layers):
        here = f"{tower}.resblocks.{layer}."
        yield f"{here}attn.in_proj_weight", (3 * width, width)
        yield f"{here}attn.in_proj_bias", (3 * width,)
        yield from _linear(f"{here}attn.out_proj", width, width)
        yield from _norm(f"{here}ln_1", width)
        yield from _linear(f"{here}mlp.c_fc", 4 * width, width)
        yield from _linear(f"{here}mlp.c_proj", width, 4 * width)
        yield from _norm(f"{here}ln_2", width)


def _linear(name: str, num_out: int, num_in: int) -> Shapes:
    yield f"{name}.weight", (num_out, num_in)
    yield f"{name}.bias", (num_out,)


def _norm(name: str, width: int) -> Shapes:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)
