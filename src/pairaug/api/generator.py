"""Generating images from reports and editing images, with one latent diffusion model."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypedDict, Unpack, overload

import numpy as np

from pairaug.api.images import ImageInput, as_pil, read_images
from pairaug.api.inputs import is_several_reports, read_reports, read_seeds
from pairaug.api.results import EditedImage, GeneratedImage, GeneratedImages
from pairaug.errors import DataError, ModelError
from pairaug.imaging.io import Fit, fit_square

if TYPE_CHECKING:
    import torch

    from pairaug.diffusion.edit_plan import LocalBlend
    from pairaug.diffusion.pipeline import Pipeline
    from pairaug.diffusion.prompts import Prompt

log = logging.getLogger(__name__)

Scheduler = Literal["default", "ddim", "dpm++2m", "unipc", "pndm"]


class _EditOptions(TypedDict, total=False):
    """The keywords of `Generator.edit`, for type checkers: it is overloaded."""

    seed: int | Sequence[int] | None
    num_inference_steps: int
    guidance_scale: float
    cross_replace_steps: float
    self_replace_steps: float
    local_blend: LocalBlend
    blend_threshold: float
    noise_strength: float
    fit: Fit
    batch_size: int


def load_generator(
    model: str | Path = "bundled",
    *,
    revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    allow_pickle: bool = False,
) -> Generator:
    """A latent diffusion model that generates and edits images.

    Args:
        model: `"bundled"` (tiny, trained on simulated radiographs), a local folder in diffusers
            layout, or a hub id, `"owner/name"`.
        revision: Commit, tag or branch of a hub id.
        device: `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`. Default: CUDA where there is one.
        dtype: `"float32"`, `"bfloat16"` or `"float16"`. Default: bfloat16 on CUDA, else float32.
        allow_pickle: Load pickled weights, which can run code, where there are no others.

    Raises:
        ModelError: There is no such model, it is not a generator, or a weight is missing, left
            over or of another shape.

    Examples:
        >>> pipe = pairaug.load_generator("bundled", device="cpu")
        >>> pipe.image_size
        128
    """
    from pairaug.diffusion.folder import model_folder
    from pairaug.run.device import choose_device, quieten_model_libraries

    quieten_model_libraries()
    folder = model_folder(str(model), revision, allow_pickle)
    device_name, dtype_name = choose_device(device, dtype)
    from pairaug.diffusion.pipeline import load_pipeline

    pipeline = load_pipeline(
        folder, device=device_name, dtype=dtype_name, allow_pickle=allow_pickle
    )
    return Generator(pipeline, str(model))


class Generator:
    """A latent diffusion model, loaded: see `load_generator`."""

    def __init__(self, pipeline: Pipeline, model: str) -> None:
        self._pipeline = pipeline
        self._model = model

    @property
    def image_size(self) -> int:
        """The side of its images in pixels."""
        return self._pipeline.image_size

    def generate(
        self,
        report: str | Sequence[str],
        *,
        seed: int | Sequence[int] | None = None,
        num_images: int = 1,
        num_inference_steps: int = 25,
        guidance_scale: float = 4.0,
        scheduler: Scheduler = "dpm++2m",
        batch_size: int = 8,
    ) -> GeneratedImages:
        """Images generated from a report, or from each of several. Defaults: preset `default`.

        Args:
            report: The report, or a list of reports.
            seed: Seed of the first image; each further image takes the next integer. A list gives
                each image its own. Default: drawn at random, and noted in the result.
            num_images: Images for each report.
            num_inference_steps: Denoising steps.
            guidance_scale: Weight of the report over the empty text, at least 1. 1 is no guidance
                and takes half the time.
            scheduler: The solver; `"default"` is the one that the model comes with.
            batch_size: Images generated at once. An image depends on its report and seed alone.

        Returns:
            A sequence of `GeneratedImage`, with `.images`, and `.image` for the first.

        Raises:
            DataError: A report is missing or empty.
            SettingsError: A value is out of range.

        Examples:
            >>> pipe = pairaug.load_generator("bundled", device="cpu")
            >>> result = pipe.generate("Mild cardiomegaly.", seed=0, num_inference_steps=5)
            >>> result.image.size, result.seed
            ((128, 128), 0)
            >>> len(pipe.generate(["Clear lungs.", "Edema."], num_images=2, num_inference_steps=2))
            4
        """
        from pairaug.api.settings import checked
        from pairaug.diffusion.sampling import SamplingOptions, generate_images
        from pairaug.generate.settings import GenerateSettings
        from pairaug.stage import batched

        settings = checked(
            GenerateSettings,
            "generate",
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            scheduler=scheduler,
            num_images=num_images,
            batch_size=batch_size,
        )
        options = SamplingOptions(
            settings.num_inference_steps, settings.guidance_scale, settings.scheduler
        )
        reports = [text for text in read_reports(report) for _ in range(settings.num_images)]
        prompts = self._prompts(reports)
        seeds = read_seeds(seed, len(reports))
        arrays: list[np.ndarray] = []
        for rows in batched(range(len(reports)), settings.batch_size):
            texts, own = [prompts[row].text for row in rows], [seeds[row] for row in rows]
            arrays += [*generate_images(self._pipeline, texts, own, options, len(rows))]
        self._check_finite(arrays)
        return GeneratedImages(
            [
                GeneratedImage(as_pil(array), text, prompt.text, own, prompt.truncated)
                for array, text, prompt, own in zip(arrays, reports, prompts, seeds, strict=True)
            ]
        )

    @overload
    def edit(
        self, image: ImageInput, report: str, new_report: str, **options: Unpack[_EditOptions]
    ) -> EditedImage: ...
    @overload
    def edit(
        self,
        image: ImageInput | Sequence[ImageInput],
        report: str | Sequence[str],
        new_report: list[str] | tuple[str, ...],
        **options: Unpack[_EditOptions],
    ) -> list[EditedImage]: ...
    def edit(
        self,
        image: ImageInput | Sequence[ImageInput],
        report: str | Sequence[str],
        new_report: str | Sequence[str],
        *,
        seed: int | Sequence[int] | None = None,
        num_inference_steps: int = 25,
        guidance_scale: float = 4.0,
        cross_replace_steps: float = 0.3,
        self_replace_steps: float = 0.1,
        local_blend: LocalBlend = "difference",
        blend_threshold: float = 0.35,
        noise_strength: float = 0.3,
        fit: Fit = "crop",
        batch_size: int = 8,
    ) -> EditedImage | list[EditedImage]:
        """The image edited from its report to a new one: the same patient, another condition.

        The image is inverted under `report` by DDIM and denoised under `new_report`, with the
        source's attention swapped in for the first steps (prompt-to-prompt). Defaults: preset
        `default`.

        Args:
            image: A path (PNG, JPEG, TIFF, DICOM), a PIL image, or an array or tensor
                `row column`: uint8, uint16, or floats in [0, 1]. A list edits several.
            report: The image's report, or a list of reports.
            new_report: The report that the edited image is to show. A list makes several edits, of
                one image or of as many; an image is inverted once for all its edits.
            seed: Default: nothing is random. With a seed, the edit starts from the inverted latents
                with noise mixed in, which gives other versions of the same edit.
            num_inference_steps: Denoising steps, as many for the inversion.
            guidance_scale: Weight of the new report over the empty text, at least 1.
            cross_replace_steps: Fraction of the steps in which shared tokens take the source's
                cross-attention. Higher keeps more of the source.
            self_replace_steps: Fraction of the steps in which self-attention is the source's.
            local_blend: `"difference"` changes the image only where the model's predictions under
                the two reports differ; `"none"` lets all of it change.
            blend_threshold: End of that region, as a fraction of the largest difference. Lower lets
                more of the image change.
            noise_strength: Fraction of noise, by variance, that a `seed` mixes in.
            fit: `"crop"` keeps the central square of the image, `"pad"` all of it, on black.
            batch_size: Edits made at once.

        Returns:
            An `EditedImage`, or for a list of new reports a list of them.

        Raises:
            DataError: A report is missing, or an image cannot be used.
            SettingsError: A value is out of range.

        Examples:
            >>> pipe = pairaug.load_generator("bundled", device="cpu")
            >>> image = pipe.generate("Clear lungs.", seed=0, num_inference_steps=5).image
            >>> edit = pipe.edit(image, "Clear lungs.", "Left effusion.", num_inference_steps=5)
            >>> edit.image.size, edit.difference.shape
            ((128, 128), (128, 128))
        """
        from pairaug.api.settings import checked
        from pairaug.diffusion.edit_plan import EditOptions
        from pairaug.diffusion.editing import edit_images
        from pairaug.edit.settings import EditSettings

        settings = checked(
            EditSettings,
            "edit",
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            cross_replace_steps=cross_replace_steps,
            self_replace_steps=self_replace_steps,
            local_blend=local_blend,
            blend_threshold=blend_threshold,
            noise_strength=noise_strength,
            fit=fit,
            batch_size=batch_size,
        )
        options = EditOptions(
            num_inference_steps=settings.num_inference_steps,
            guidance_scale=settings.guidance_scale,
            local_blend=settings.local_blend,
            cross_replace_steps=settings.cross_replace_steps,
            self_replace_steps=settings.self_replace_steps,
            blend_threshold=settings.blend_threshold,
            noise_strength=settings.noise_strength,
        )
        images = [fit_square(each, self.image_size, settings.fit) for each in read_images(image)]
        jobs = self._jobs(len(images), read_reports(report), read_reports(new_report))
        seeds = [None] * len(jobs) if seed is None else read_seeds(seed, len(jobs))
        # Inverted once: an image under a prompt.
        sources = list(dict.fromkeys((job.image, job.prompt.text) for job in jobs))
        owners = [sources.index((job.image, job.prompt.text)) for job in jobs]
        edited, errors = edit_images(
            self._pipeline,
            np.stack([images[index] for index, _ in sources]),
            [prompt for _, prompt in sources],
            [job.new_prompt.text for job in jobs],
            options,
            owners,
            settings.batch_size,
            seeds,
        )
        self._check_finite(edited.images)
        results = [
            EditedImage(
                image=as_pil(edited.images[row]),
                source=as_pil(images[job.image]),
                report=job.report,
                new_report=job.new_report,
                region=_enlarged(edited.region[row], self.image_size),
                trace={
                    "seed": seeds[row],
                    "inversion_error": round(float(errors[owners[row]]), 6),
                    "cross_swapped": round(float(edited.cross_swapped[row]), 6),
                    "self_swapped": round(edited.self_swapped, 6),
                    "changed_area": round(float(edited.changed_area[row]), 6),
                    "source_prompt": job.prompt.text,
                    "prompt": job.new_prompt.text,
                    "num_tokens": job.new_prompt.num_tokens,
                    "truncated": job.prompt.truncated or job.new_prompt.truncated,
                    "model": self._model,
                    "weights": self._pipeline.sha256,
                },
            )
            for row, job in enumerate(jobs)
        ]
        return results if is_several_reports(new_report) else results[0]

    def __repr__(self) -> str:
        where = f"{self._pipeline.device}, {str(self._pipeline.dtype).removeprefix('torch.')}"
        return f"Generator({self._model}, images of {self.image_size} pixels, {where})"

    def _prompts(self, reports: Sequence[str]) -> list[Prompt]:
        prompts = [self._pipeline.fit_prompt(text) for text in reports]
        num_shortened = sum(prompt.truncated for prompt in prompts)
        if num_shortened:
            log.warning(
                "%d of %d reports exceed the text encoder's window and were shortened; see .prompt",
                num_shortened,
                len(prompts),
            )
        return prompts

    def _jobs(
        self, num_images: int, reports: Sequence[str], new_reports: Sequence[str]
    ) -> list[_Job]:
        num_edits = max(num_images, len(reports), len(new_reports))
        named = {
            "images": num_images,
            "reports": len(reports),
            "new reports": len(new_reports),
        }
        if any(number not in (1, num_edits) for number in named.values()):
            counts = ", ".join(f"{number} {name}" for name, number in named.items())
            raise DataError(f"got {counts}; pass one, or as many as there are edits, of each")
        jobs = []
        for row in range(num_edits):
            old, new = reports[row % len(reports)], new_reports[row % len(new_reports)]
            jobs.append(_Job(row % num_images, old, new, *self._pipeline.fit_prompts(old, new)))
        return jobs

    def _check_finite(self, arrays: Iterable[np.ndarray]) -> None:
        if not all(np.isfinite(array).all() for array in arrays):
            raise ModelError(
                f"{self._model} gave NaN; load it with dtype='float32', or lower guidance_scale"
            )


class _Job(NamedTuple):
    """One edit to be made."""

    image: int
    report: str
    new_report: str
    prompt: Prompt
    new_prompt: Prompt


def _enlarged(region: np.ndarray, side: int) -> np.ndarray:
    """A region of latents at the images' size."""
    factor = side // region.shape[0]
    return region.repeat(factor, axis=0).repeat(factor, axis=1)
