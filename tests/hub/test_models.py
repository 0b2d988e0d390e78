"""What is done to every pretrained model once it is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from pairaug.clip.encoders import open_encoder
from pairaug.diffusion.pipeline import load_pipeline
from pairaug.errors import ModelError
from pairaug.hub.inference import dtype_of, for_inference


def unaligned(*shape: int) -> torch.Tensor:
    """Ones that begin four bytes off a boundary."""
    size = int(torch.tensor(shape).prod())
    return torch.ones(size + 1)[1:].view(shape)


def addresses(model: nn.Module) -> set[int]:
    return {tensor.data_ptr() % 64 for tensor in (*model.parameters(), *model.buffers())}


def test_weights_are_aligned_and_unchanged():
    model = nn.BatchNorm1d(3)
    model.weight.data = unaligned(3)
    model.running_var = unaligned(3)
    assert addresses(model) != {0}
    ready = for_inference(model, "cpu")
    assert ready is model
    assert addresses(model) == {0}
    assert model.weight.tolist() == [1.0, 1.0, 1.0]
    assert not model.training
    assert not model.weight.requires_grad


def test_every_loaded_model_is_aligned(tiny_generator_folder: Path, tiny_scorer_folder: Path):
    pipeline = load_pipeline(tiny_generator_folder)
    for model in (pipeline.vae, pipeline.denoiser, *pipeline.text_encoders.models):
        assert addresses(model) == {0}
    assert addresses(open_encoder(tiny_scorer_folder)._model) == {0}  # pyright: ignore


def test_an_unknown_dtype_is_named():
    with pytest.raises(ModelError, match="unknown dtype int8; choose one of float32, bfloat16"):
        dtype_of("int8")
