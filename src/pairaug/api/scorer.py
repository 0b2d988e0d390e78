"""Scoring: how well an image and a report agree, and whether an edit changed what it should."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, overload

import numpy as np
from jaxtyping import Float32, Float64

from pairaug.api.images import ImageInput, is_several, read_images
from pairaug.api.inputs import is_several_reports, read_reports
from pairaug.api.results import EditedImage
from pairaug.errors import DataError, ModelError

if TYPE_CHECKING:
    import torch

    from pairaug.clip.encoders import Encoder


class EditScores(NamedTuple):
    """The three scores of an edit: cosines in [-1, 1]."""

    image_report: float
    """Edited image and new report."""
    image_image: float
    """Edited image and source image."""
    directional: float
    """Change of the image and change of the report; NaN where either did not change."""


def load_scorer(
    model: str | Path = "bundled",
    *,
    revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    allow_pickle: bool = False,
    batch_size: int = 16,
    long_report: Literal["average", "truncate"] = "average",
) -> Scorer:
    """A CLIP model that scores images and reports.

    Args:
        model: `"bundled"` (tiny, trained on simulated radiographs), a local folder, or a hub id: a
            CLIP, SigLIP, MedCLIP or CheXzero model. A model of images alone, such as RAD-DINO, only
            encodes images.
        revision: Commit, tag or branch of a hub id.
        device: `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`. Default: CUDA where there is one.
        dtype: `"float32"`, `"bfloat16"` or `"float16"`. Default: bfloat16 on CUDA, else float32.
        allow_pickle: Load pickled weights, which can run code, where there are no others.
        batch_size: Images, or texts, encoded at once.
        long_report: A report beyond the text encoder's window: `"average"` encodes it in windows
            of whole sentences, `"truncate"` keeps what fits.

    Raises:
        ModelError: There is no such model, it is not a scorer, or a weight is missing, left over or
            of another shape.

    Examples:
        >>> scorer = pairaug.load_scorer("bundled", device="cpu")
        >>> scorer.encode_reports(["Clear lungs.", "Mild edema."]).shape
        (2, 128)
    """
    from pairaug.api.settings import checked
    from pairaug.clip.folder import scorer_folder
    from pairaug.run.device import choose_device, quieten_model_libraries
    from pairaug.score.settings import ScoreSettings

    settings = checked(ScoreSettings, "load_scorer", batch_size=batch_size, long_report=long_report)
    quieten_model_libraries()
    folder = scorer_folder(str(model), revision, allow_pickle)
    device_name, dtype_name = choose_device(device, dtype)
    from pairaug.clip.encoders import open_encoder

    encoder = open_encoder(
        folder,
        device=device_name,
        dtype=dtype_name,
        batch_size=settings.batch_size,
        window_policy=settings.long_report,
        allow_pickle=allow_pickle,
    )
    return Scorer(encoder, str(model))


class Scorer:
    """A CLIP model, loaded: see `load_scorer`."""

    def __init__(self, encoder: Encoder, model: str) -> None:
        self._encoder = encoder
        self._model = model

    @overload
    def score(self, image: ImageInput, report: str) -> float: ...
    @overload
    def score(
        self, image: ImageInput | Sequence[ImageInput], report: Sequence[str]
    ) -> Float64[np.ndarray, " pair"]: ...
    @overload
    def score(
        self, image: Sequence[ImageInput], report: str | Sequence[str]
    ) -> Float64[np.ndarray, " pair"]: ...
    def score(
        self, image: ImageInput | Sequence[ImageInput], report: str | Sequence[str]
    ) -> float | Float64[np.ndarray, " pair"]:
        """The cosine between an image and a report, in [-1, 1]; a run calls it `image_report`.

        What counts as high depends on the model: compare with its scores on real pairs.

        Args:
            image: A path, PIL image, array or tensor, or a list of them.
            report: A report, or a list. Lists are paired; one image goes with each of several
                reports, and one report with each of several images.

        Returns:
            A float, or for a list an array with one score for each pair.

        Raises:
            DataError: An image cannot be used, a report is missing, or the lists differ in length.

        Examples:
            >>> scorer = pairaug.load_scorer("bundled", device="cpu")
            >>> image = pairaug.load_generator(device="cpu").generate("Cardiomegaly.", seed=0).image
            >>> isinstance(scorer.score(image, "Cardiomegaly."), float)
            True
            >>> scorer.score(image, ["Cardiomegaly.", "Normal heart size."]).shape
            (2,)
        """
        from pairaug.clip.similarity import cosine

        images, reports = self.encode_images(image), self.encode_reports(report)
        number = max(len(images), len(reports))
        if not len(images):
            raise DataError("there is no image; pass one, or a list of them")
        if {len(images), len(reports)} - {1, number}:
            raise DataError(
                f"got {len(images)} images and {len(reports)} reports; pass one of either, "
                "or as many of both"
            )
        scores = [
            _number(cosine(images[row % len(images)], reports[row % len(reports)]))
            for row in range(number)
        ]
        is_list = is_several(image) or is_several_reports(report)
        return np.array(scores) if is_list else scores[0]

    def score_edit(self, edit: EditedImage) -> EditScores:
        """The three scores of an edit that a run prunes by.

        Args:
            edit: What `Generator.edit` returned.

        Examples:
            >>> pipe = pairaug.load_generator("bundled", device="cpu")
            >>> image = pipe.generate("Clear lungs.", seed=0, num_inference_steps=5).image
            >>> edit = pipe.edit(image, "Clear lungs.", "Left effusion.", num_inference_steps=5)
            >>> scorer = pairaug.load_scorer("bundled", device="cpu")
            >>> scorer.score_edit(edit)._fields
            ('image_report', 'image_image', 'directional')
        """
        from pairaug.clip.similarity import cosine, directional_similarity

        if not isinstance(edit, EditedImage):
            raise DataError(f"score_edit takes what edit returned, not {type(edit).__name__}")
        image, source = self.encode_images([edit.image, edit.source])
        new_report, report = self.encode_reports([edit.new_report, edit.report])
        return EditScores(
            _number(cosine(image, new_report)),
            _number(cosine(image, source)),
            _number(directional_similarity(image, source, new_report, report)),
        )

    def encode_images(
        self, images: ImageInput | Sequence[ImageInput]
    ) -> Float32[np.ndarray, "image dimension"]:
        """One unit vector for each image; an image depends on no other beside it.

        Raises:
            DataError: An image cannot be used.
        """
        return self._encoder.encode_images(read_images(images))

    def encode_reports(
        self, reports: str | Sequence[str]
    ) -> Float32[np.ndarray, "report dimension"]:
        """One unit vector for each report.

        Raises:
            DataError: A report is missing or empty.
            ModelError: The model encodes images only.
        """
        if not self._encoder.encodes_reports:
            raise ModelError(f"{self._model} encodes images only; load a CLIP model for reports")
        return self._encoder.encode_reports(read_reports(reports))

    def __repr__(self) -> str:
        return f"Scorer({self._model})"


def _number(score: float | None) -> float:
    return float("nan") if score is None else score
