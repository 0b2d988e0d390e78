"""Contrastive pretraining on films and reports, in transformers' `CLIPModel` layout."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional
from transformers import (
    AutoConfig,
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    MobileNetV1ForImageClassification,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
)

from pairaug.clip.loss import contrastive_loss
from pairaug.errors import SettingsError
from pairaug.train.augment import augment
from pairaug.train.classifier import as_images
from pairaug.train.films import Films, FilmSettings, open_films
from pairaug.train.loop import (
    Loop,
    LoopSettings,
    Outcome,
    StepDraws,
    Task,
    choose_device,
    write_record,
)
from pairaug.train.tokenizer import (
    MAX_TOKENS,
    copy_tokenizer,
    load_tokenizer,
    special_ids,
    token_table,
    train_tokenizer,
)

IMAGE_MEAN, IMAGE_STD = 0.5, 0.25
# CLIP's own bound: logits are multiplied by at most 100.
MAX_LOG_SCALE = math.log(100.0)

# Either class that `make_clip` returns. Their parts are typed as perhaps None or a dictionary, so
# that a type checker is of no use on them.
TwoTowerModel = Any


class ClipSettings(LoopSettings):
    """How the CLIP model is built and trained."""

    films: FilmSettings = Field(default_factory=FilmSettings, description="Which pairs.")
    tokenizer: Path | None = Field(
        default=None,
        description="Folder of a trained tokenizer to share; a new one is trained if null.",
    )
    image_encoder: Path | None = Field(
        default=None,
        description="Folder of a trained MobileNet classifier. Its tower becomes the image encoder "
        "and is left as it is, so that few pairs suffice for the report encoder.",
    )
    batch_size: int = Field(
        default=128, ge=2, description="Pairs in one step, each a negative of the rest."
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="Its peak, after the warm-up.")
    weight_decay: float = Field(default=0.1, ge=0, description="Decoupled weight decay (AdamW).")
    max_minutes: float | None = Field(default=40.0, gt=0, description="End after so many minutes.")
    patch_size: int = Field(default=16, ge=1, description="Pixels of one patch, a side.")
    vision_hidden_size: int = Field(default=192, ge=1, description="Width of the image encoder.")
    vision_num_layers: int = Field(default=6, ge=1, description="Layers of the image encoder.")
    vision_num_heads: int = Field(
        default=6, ge=1, description="Attention heads of the image encoder."
    )
    text_hidden_size: int = Field(default=192, ge=1, description="Width of the text encoder.")
    text_num_layers: int = Field(default=4, ge=1, description="Layers of the text encoder.")
    text_num_heads: int = Field(default=6, ge=1, description="Attention heads of the text encoder.")
    projection_size: int = Field(default=128, ge=1, description="Length of the embeddings.")
    augmentation: float = Field(
        default=1.0, ge=0, description="Strength of the changes to the films."
    )


def train_clip(settings: ClipSettings, out: Path) -> Outcome:
    """Trains CLIP on films and reports and saves it, as float16, in `out/clip`."""
    torch.manual_seed(settings.seed)
    device = choose_device(settings.device)
    films = open_films(settings.films, out)
    folder = out / "clip"
    tokenizer = _tokenizer(settings, films, folder)
    tokens = token_table(films, tokenizer).to(device)
    model = make_clip(settings, films.films.shape[1], tokenizer).to(device)
    states = None if settings.image_encoder is None else all_image_states(model, films, device)

    def image_states_of(draws: StepDraws) -> Tensor:
        if states is not None:
            return states[torch.from_numpy(draws.films).to(device)]
        images = as_images(films.films[draws.films], device)
        return image_states(model, augment(images, draws.torch, settings.augmentation))

    def losses(draws: StepDraws) -> dict[str, Tensor]:
        variants = torch.from_numpy(draws.numpy.integers(tokens.shape[1], size=len(draws.films)))
        reports = tokens[torch.from_numpy(draws.films), variants]
        image_vectors = project_images(model, image_states_of(draws))
        report_vectors = embed_reports(model, reports)
        loss = contrastive_loss(image_vectors, report_vectors, model.logit_scale.exp())
        return {"loss": loss, "logit_scale": model.logit_scale.exp()}

    def after_step() -> None:
        with torch.no_grad():
            model.logit_scale.clamp_(0.0, MAX_LOG_SCALE)

    def evaluate() -> dict[str, float]:
        return _figures(model, films, tokens, device) if films.num_held_out > 1 else {}

    task = Task({"clip": model}, losses, evaluate, after_step=after_step)
    outcome = Loop(out / "training", settings, task, films.num_train).run()
    model.half().save_pretrained(folder)
    _write_preprocessor(folder, films.films.shape[1], model.config.vision_config.num_channels)
    write_record(folder, settings, outcome)
    return outcome


def make_clip(settings: ClipSettings, size: int, tokenizer: CLIPTokenizer) -> TwoTowerModel:
    """A new model for films of `size` pixels a side.

    A `CLIPModel`, whose three channels are the film three times, or around a given image tower
    transformers' model of any two towers; both are used alike.
    """
    text_config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.text_hidden_size,
        intermediate_size=4 * settings.text_hidden_size,
        num_hidden_layers=settings.text_num_layers,
        num_attention_heads=settings.text_num_heads,
        max_position_embeddings=MAX_TOKENS,
        projection_dim=settings.projection_size,
        **special_ids(tokenizer),
    )
    if settings.image_encoder is not None:
        return _around_image_tower(settings.image_encoder, text_config, settings.projection_size)
    config = CLIPConfig(
        text_config=text_config.to_dict(),
        vision_config={
            "image_size": size,
            "patch_size": settings.patch_size,
            "hidden_size": settings.vision_hidden_size,
            "intermediate_size": 4 * settings.vision_hidden_size,
            "num_hidden_layers": settings.vision_num_layers,
            "num_attention_heads": settings.vision_num_heads,
            "projection_dim": settings.projection_size,
        },
        projection_dim=settings.projection_size,
    )
    return CLIPModel(config)


def _around_image_tower(
    folder: Path, text_config: CLIPTextConfig, projection_size: int
) -> VisionTextDualEncoderModel:
    """A model whose image tower is a trained classifier's, held fixed (Zhai et al. 2022, LiT)."""
    kind = AutoConfig.from_pretrained(folder).model_type
    if kind != "mobilenet_v1":
        raise SettingsError(
            f"image_encoder: {folder} holds a {kind}; only a mobilenet classifier has a tower that "
            "`train clip` can take over"
        )
    classifier: Any = MobileNetV1ForImageClassification.from_pretrained(folder, dtype=torch.float32)
    tower = classifier.mobilenet_v1.requires_grad_(False)
    # The model of two towers asks for the width of the pooled features by this name.
    tower.config.hidden_size = int(tower.layer[-1].convolution.out_channels)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        tower.config, text_config, projection_dim=projection_size
    )
    return VisionTextDualEncoderModel(
        config, vision_model=tower, text_model=CLIPTextModel(text_config)
    )


def image_states(model: TwoTowerModel, images: Tensor) -> Tensor:
    """What the image tower makes of images in [0, 1] of one channel, `image feature`."""
    num_channels = model.config.vision_config.num_channels
    pixels = ((images - IMAGE_MEAN) / IMAGE_STD).expand(-1, num_channels, -1, -1)
    return model.vision_model(pixel_values=pixels).pooler_output


@torch.inference_mode()
def all_image_states(model: TwoTowerModel, films: Films, device: torch.device) -> Tensor:
    """The states of every film, once: a tower that is held fixed sees each the same way always."""
    model.eval()
    groups = np.array_split(np.arange(len(films.films)), max(1, len(films.films) // 100))
    states = [image_states(model, as_images(films.films[group], device)) for group in groups]
    model.train()
    return torch.cat(states).clone()


def project_images(model: TwoTowerModel, states: Tensor) -> Tensor:
    """Unit vectors of image states, `image feature`."""
    return functional.normalize(model.visual_projection(states).float(), dim=-1)


def embed_reports(model: TwoTowerModel, reports: Tensor) -> Tensor:
    """Unit vectors of token ids, `report feature`."""
    # Reports attend backwards only, so that what follows the longest one's end changes nothing.
    end = model.config.text_config.eos_token_id
    length = int((reports == end).int().argmax(dim=1).max()) + 1
    states = model.text_model(input_ids=reports[:, :length].long()).pooler_output
    return functional.normalize(model.text_projection(states).float(), dim=-1)


def embed(model: TwoTowerModel, images: Tensor, reports: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors of images (in [0, 1], one channel) and of token ids, `pair feature` each."""
    return project_images(model, image_states(model, images)), embed_reports(model, reports)


def _figures(
    model: TwoTowerModel,
    films: Films,
    tokens: Tensor,
    device: torch.device,
) -> dict[str, float]:
    """How well held-out pairs are told from shuffled ones, and found among up to 1,000 others."""
    vectors = []
    for group in np.array_split(films.held_out, max(1, len(films.held_out) // 100)):
        images = as_images(films.films[group], device)
        vectors.append(embed(model, images, tokens[torch.from_numpy(group), 0]))
    image_vectors = torch.cat([image for image, _ in vectors])
    report_vectors = torch.cat([report for _, report in vectors])
    cosines = (image_vectors @ report_vectors.T).cpu().numpy()
    is_own = np.eye(len(cosines), dtype=bool)
    # Every other report is a shuffled one; their own are as many as the pairs.
    auroc = float(roc_auc_score(is_own.ravel(), cosines.ravel()))
    found = cosines.argmax(axis=1) == np.arange(len(cosines))
    return {
        "auroc": auroc,
        "recall_at_1": float(found.mean()),
        "cosine_true": float(cosines[is_own].mean()),
        "cosine_shuffled": float(cosines[~is_own].mean()),
    }


def _tokenizer(settings: ClipSettings, films: Films, folder: Path) -> CLIPTokenizer:
    if settings.tokenizer is not None:
        tokenizer = load_tokenizer(settings.tokenizer)
        copy_tokenizer(tokenizer, folder)
        return tokenizer
    if (folder / "vocab.json").exists():
        return load_tokenizer(folder)
    return train_tokenizer((text for reports in films.reports for text in reports), folder)


def _write_preprocessor(folder: Path, size: int, num_channels: int) -> None:
    square = {"height": size, "width": size}
    config = {
        "image_processor_type": "CLIPImageProcessor",
        "crop_size": square,
        "do_center_crop": True,
        "do_convert_rgb": num_channels == 3,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [IMAGE_MEAN] * num_channels,
        "image_std": [IMAGE_STD] * num_channels,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": size},
    }
    text = json.dumps(config, indent=2) + "\n"
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")
