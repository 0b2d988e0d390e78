"""The settings of `export`: which pairs, which text, which layouts."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from pydantic import Field, model_validator

from pairaug.errors import MissingExtraError
from pairaug.settings import StageSettings

ExportFormat = Literal["webdataset", "parquet", "huggingface", "folder", "chexzero"]
TextChoice = Literal["impression+findings", "impression", "findings"]
CHEXZERO_TEXT: TextChoice = "impression"
"""What CheXzero trains on, unless `text` says otherwise."""
SyntheticBranch = Literal["inter", "intra"]
SplitName = Literal["train", "validation", "test"]


class ExportSettings(StageSettings):
    """What is written for training."""

    formats: tuple[ExportFormat, ...] = Field(
        default=("webdataset", "parquet"), min_length=1, description="The layouts that are written."
    )
    include_real: bool = Field(
        default=True, description="Write the real pairs too, beside the kept ones."
    )
    branches: tuple[SyntheticBranch, ...] = Field(
        default=("inter", "intra"), description="The branches whose kept pairs are written."
    )
    splits: tuple[SplitName, ...] = Field(
        default=("train", "validation", "test"),
        min_length=1,
        description="The splits that are written.",
    )
    synthetic_splits: tuple[SplitName, ...] = Field(
        default=("train", "validation", "test"),
        description="Those of the splits in which synthetic pairs are written too; without `test`, "
        "the test split is real.",
    )
    synthetic_per_real: float | None = Field(
        default=None,
        ge=0,
        description="At most so many synthetic pairs for each real one of the same split, counted "
        "before images are looked at; which ones is sampled by the run's seed. Null: all of them.",
    )
    text: TextChoice | None = Field(
        default=None,
        description="The sections that an image is paired with; where the one is empty, the other. "
        "Null: impression and findings, and in `chexzero` the impression, as CheXzero has it.",
    )
    pairs_per_shard: int = Field(default=1000, ge=1, description="Pairs in one WebDataset tar.")
    pairs_per_parquet: int = Field(
        default=5000, ge=1, description="Pairs in one Parquet or Arrow file."
    )

    @model_validator(mode="after")
    def _asks_for_something(self) -> ExportSettings:
        for name in ("formats", "branches", "splits", "synthetic_splits"):
            named = getattr(self, name)
            if len(set(named)) != len(named):
                raise ValueError(f"{name} names one of them twice")
        if not self.branches and not self.include_real:
            raise ValueError("without include_real and without branches there is nothing to write")
        return self


def texts_of(settings: ExportSettings) -> dict[str, TextChoice]:
    """Layout → the section that its texts are, for layouts that take one section alone."""
    choices: dict[str, TextChoice | None] = dict.fromkeys(settings.formats, settings.text)
    if settings.text is None and "chexzero" in choices:
        choices["chexzero"] = CHEXZERO_TEXT
    return {
        name: choice
        for name, choice in choices.items()
        if choice is not None and choice != "impression+findings"
    }


def check_installed(settings: ExportSettings) -> None:
    """Raises `MissingExtraError` where a layout needs a library that is not there."""
    if "chexzero" in settings.formats and find_spec("h5py") is None:
        raise MissingExtraError("exporting to chexzero", "h5py", "hdf5")
