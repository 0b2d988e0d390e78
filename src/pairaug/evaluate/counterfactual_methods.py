"""The methods that the counterfactual benchmark compares, and the images that each one makes.

An edit is described by the settings of the stage `edit` in which it differs from the benchmark's
own, so the benchmark measures what that stage would make. To compare another one, add it to
`METHODS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from pairaug.edit.settings import EditSettings
from pairaug.evaluate.models import PhantomBenchmark

if TYPE_CHECKING:
    from pairaug.diffusion.edit_plan import EditOptions
    from pairaug.diffusion.inversion import Inversion
    from pairaug.diffusion.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class EditMethod:
    """A method by its label in tables and the settings of `edit` that it changes."""

    label: str
    edit: Mapping[str, Any] = field(default_factory=dict)
    is_edit: bool = True
    """False for images to compare edits with."""


METHODS: Mapping[str, EditMethod] = {
    "inverted": EditMethod("inverted source (default)"),
    "inverted_no_region": EditMethod("no local blend", {"local_blend": "none"}),
    "inverted_no_swap": EditMethod(
        "no attention swap", {"cross_replace_steps": 0.0, "self_replace_steps": 0.0}
    ),
    "inverted_no_correction": EditMethod("no drift correction", {"correct_drift": False}),
    "inverted_source_prompt": EditMethod(
        "source report as negative prompt", {"negative_prompt": "source"}
    ),
    "inverted_source_prompt_no_correction": EditMethod(
        "source report as negative prompt, no drift correction",
        {"negative_prompt": "source", "correct_drift": False},
    ),
    "regenerated": EditMethod(
        "regenerated source (paper)", {"method": "regenerate", "local_blend": "none"}
    ),
    "free": EditMethod("generated from the changed report", is_edit=False),
    "untouched": EditMethod("no edit (the source)", is_edit=False),
    "source": EditMethod("autoencoder round trip of the source", is_edit=False),
    "truth": EditMethod("autoencoder round trip of the true counterfactual", is_edit=False),
    "answer": EditMethod("true counterfactual", is_edit=False),
}
"""The methods compared, in the order of the tables. `free` is the unit of relative distance,
`untouched` the baseline without an edit, `answer` the upper bound, and `truth` that of methods
which decode latents."""


class EditingBenchmark(PhantomBenchmark):
    """Settings of a benchmark that edits phantoms; those that methods do not change."""

    cross_replace_steps: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Fraction of the steps that use the source's cross-attention maps.",
    )
    self_replace_steps: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Fraction of the steps that use the source's self-attention maps.",
    )
    alignment: Literal["refine", "replace"] = Field(
        "refine", description="Tokens that reuse the source's attention maps, as in `edit`."
    )
    local_blend: Literal["none", "difference"] = Field(
        "difference",
        description="`difference` changes only the region where the model's predictions differ "
        "between the two reports; `none` lets the whole image change.",
    )
    blend_threshold: float = Field(
        0.35, gt=0, lt=1, description="Border of the region of `local_blend`, as in `edit`."
    )

    def edit_settings(self, method: str) -> EditSettings:
        """The settings of the stage `edit` for `method`, a key of `METHODS`."""
        own = {
            name: getattr(self, name)
            for name in type(self).model_fields
            if name in EditSettings.model_fields
        }
        return EditSettings(**{**own, "model": self.generator, **METHODS[method].edit})


def edit_options(settings: EditSettings) -> EditOptions:
    """The options of an edit, from the settings of the same names."""
    from pairaug.diffusion.edit_plan import EditOptions

    names = [
        option.name for option in fields(EditOptions) if option.name in type(settings).model_fields
    ]
    return EditOptions(**{name: getattr(settings, name) for name in names})


class EditBatch:
    """A batch of sources, changed by one method after the other; they are inverted once.

    `sources` and `truths` are float32 `image height width`, `texts` the source's and the changed
    report of each image, and `seeds` those of its noise, the same for free generation and for edits
    of a regenerated source.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        sources: np.ndarray,
        truths: np.ndarray,
        texts: Sequence[tuple[str, str]],
        seeds: Sequence[int],
        settings: EditingBenchmark,
    ) -> None:
        self._pipeline, self._settings = pipeline, settings
        self._sources, self._truths, self._seeds = sources, truths, list(seeds)
        prompts = [pipeline.fit_prompts(before, after) for before, after in texts]
        self._before = [before.text for before, _ in prompts]
        self._after = [after.text for _, after in prompts]

    def images(self, method: str) -> np.ndarray:
        """The images of one method, float32 `image height width`, NaN where the model gave NaN."""
        match method:
            case "untouched":
                return self._sources.copy()
            case "answer":
                return self._truths.copy()
            case "source":
                return round_trip(self._pipeline, self._sources)
            case "truth":
                return round_trip(self._pipeline, self._truths)
            case "free":
                return self._generated()
            case _:
                return self._edited(self._settings.edit_settings(method))

    def _generated(self) -> np.ndarray:
        from pairaug.diffusion.sampling import SamplingOptions, generate_images

        options = SamplingOptions(self._settings.num_inference_steps, self._settings.guidance_scale)
        return generate_images(self._pipeline, self._after, self._seeds, options, len(self._seeds))

    def _edited(self, settings: EditSettings) -> np.ndarray:
        from pairaug.diffusion.editing import edit_inverted, edit_regenerated

        options, places = edit_options(settings), range(len(self._after))
        if settings.method == "regenerate":
            return edit_regenerated(
                self._pipeline, self._before, self._after, self._seeds, options
            ).images
        return edit_inverted(self._pipeline, self._inversion, self._after, options, places).images

    @cached_property
    def _inversion(self) -> Inversion:
        from pairaug.diffusion.inversion import invert_images

        return invert_images(
            self._pipeline, self._sources, self._before, self._settings.num_inference_steps
        )


def round_trip(pipeline: Pipeline, images: np.ndarray) -> np.ndarray:
    """`images` encoded and decoded by the autoencoder."""
    return pipeline.decode_latents(pipeline.encode_latents(images))
