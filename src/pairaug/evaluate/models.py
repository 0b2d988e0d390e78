"""Settings shared by the benchmarks on phantoms: models, device and patients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pairaug.bundled import BUNDLED
from pairaug.errors import SettingsError
from pairaug.settings import StageSettings

if TYPE_CHECKING:
    from pairaug.diffusion.pipeline import Pipeline
    from pairaug.evaluate.classifier import FindingsClassifier


class PhantomBenchmark(StageSettings):
    """Settings of every benchmark on phantoms."""

    generator: str = Field(BUNDLED, description="`bundled`, a diffusers folder, or a hub id.")
    classifier: str = Field(
        BUNDLED, description="`bundled`, or a folder with a classifier of phantom findings."
    )
    seed: int = Field(
        7_000_001,
        ge=0,
        lt=2**63,
        description="Random seed of the phantom patients and of generation; unrelated to the "
        "models' training.",
    )
    num_inference_steps: int = Field(25, ge=1, description="Denoising steps per image.")
    guidance_scale: float = Field(
        4.0, ge=1.0, description="Guidance scale of generation and editing; the paper uses 4."
    )
    batch_size: int = Field(8, ge=1, description="Images generated or edited at once.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Device of the models."
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Number type of the generator."
    )


def resolve_device(name: str) -> str:
    """`name`, or the device that `auto` selects; `SettingsError` if PyTorch does not see it."""
    import torch

    found = {"cpu": True, "cuda": torch.cuda.is_available()}
    found["mps"] = torch.backends.mps.is_available()
    if name == "auto":
        return "cuda" if found["cuda"] else "cpu"
    if not found[name]:
        raise SettingsError(
            f"device is {name!r}, but PyTorch does not see it here; set device to cpu or auto"
        )
    return name


def open_generator(settings: PhantomBenchmark) -> Pipeline:
    """The generator of the settings."""
    from pairaug.diffusion.folder import model_folder
    from pairaug.diffusion.pipeline import load_pipeline

    folder = model_folder(settings.generator)
    return load_pipeline(folder, device=resolve_device(settings.device), dtype=settings.dtype)


def open_classifier(settings: PhantomBenchmark) -> FindingsClassifier:
    """The findings classifier of the settings, in float32."""
    from pairaug.clip.folder import model_folder
    from pairaug.evaluate.classifier import FindingsClassifier

    folder = model_folder(settings.classifier, bundled_name="classifier")
    return FindingsClassifier(folder, resolve_device(settings.device))
