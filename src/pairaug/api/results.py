"""Results of generating and editing: images with their reports, prompts and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
from jaxtyping import Float
from PIL import Image

from pairaug.api.html import diverging, picture, side_by_side


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """One generated image."""

    image: Image.Image
    """Mode "L" (8 bits), at the model's size."""
    report: str
    """The report as it was given."""
    prompt: str
    """The text that the model was given: the report, shortened to the text encoder's window."""
    seed: int
    """Generates this image again: `generate(report, seed=seed)`."""
    is_shortened: bool = False
    """True where `prompt` leaves out a part of `report`."""

    def _repr_html_(self) -> str:
        return side_by_side([picture(self.image, f"seed {self.seed}", self.prompt)])


class GeneratedImages(Sequence[GeneratedImage]):
    """Generated images in the order of the reports, each report's `num_images` together.

    `len`, indexing and iterating go over `GeneratedImage`. `.images`, `.prompts` and `.seeds` are
    lists; `.image`, `.prompt` and `.seed` are those of the first.
    """

    def __init__(self, items: Sequence[GeneratedImage]) -> None:
        self._items = tuple(items)

    @overload
    def __getitem__(self, index: int) -> GeneratedImage: ...
    @overload
    def __getitem__(self, index: slice) -> GeneratedImages: ...
    def __getitem__(self, index: int | slice) -> GeneratedImage | GeneratedImages:
        found = self._items[index]
        return GeneratedImages(found) if isinstance(found, tuple) else found

    def __len__(self) -> int:
        return len(self._items)

    @property
    def images(self) -> list[Image.Image]:
        """All images, PIL in mode "L"."""
        return [item.image for item in self._items]

    @property
    def prompts(self) -> list[str]:
        """The prompt of each image."""
        return [item.prompt for item in self._items]

    @property
    def seeds(self) -> list[int]:
        """The seed of each image."""
        return [item.seed for item in self._items]

    @property
    def image(self) -> Image.Image:
        """The first image."""
        return self._items[0].image

    @property
    def prompt(self) -> str:
        """The prompt of the first image."""
        return self._items[0].prompt

    @property
    def seed(self) -> int:
        """The seed of the first image."""
        return self._items[0].seed

    def __repr__(self) -> str:
        return f"GeneratedImages({len(self)} images, seeds {self.seeds})"

    def _repr_html_(self) -> str:
        pictures = [picture(each.image, f"seed {each.seed}", each.prompt) for each in self._items]
        return side_by_side(pictures)


@dataclass(frozen=True, slots=True)
class EditedImage:
    """An edited image with its source. All images and arrays are at the model's size."""

    image: Image.Image
    """The edited image, mode "L"."""
    source: Image.Image
    """The image that was edited, mode "L": cropped or padded to a square and resized."""
    report: str
    """The source's report."""
    new_report: str
    """The report that the edited image shows."""
    region: Float[np.ndarray, "row column"] = field(repr=False)
    """The part of the edit that is in the image, 0 to 1; 1 everywhere without `local_blend`."""
    trace: Mapping[str, Any] = field(repr=False)
    """Inversion error, swapped fractions, prompts, seed, model and the hash of its weights."""

    @property
    def difference(self) -> Float[np.ndarray, "row column"]:
        """Edited minus source, float32 in [-1, 1]."""
        edited, source = (np.asarray(each, np.float32) for each in (self.image, self.source))
        return (edited - source) / np.float32(255.0)

    def _repr_html_(self) -> str:
        return side_by_side(
            [
                picture(self.source, "before", self.report),
                picture(self.image, "after", self.new_report),
                picture(diverging(self.difference), "difference", "blue darker, red brighter"),
            ]
        )
