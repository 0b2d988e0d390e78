"""The settings of `export`: pairs, text and layouts."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from pydantic import Field, model_validator

from pairaug.errors import MissingExtraError
from pairaug.settings import StageSettings

ExportFormat = Literal["webdataset", "parquet", "huggingface", "folder", "chexzero"]
TextChoice = Literal["impression+findings", "impression", "findings"]
CHEXZERO_TEXT: TextChoice = "impression"
"""The section that CheXzero trains on, unless `text` names another."""
SyntheticBranch = Literal["inter", "intra"]
SplitName = Literal["train", "validation", "test"]


class ExportSettings(StageSettings):
    """Settings of the export for training."""

    formats: tuple[ExportFormat, ...] = Field(
        default=("webdataset", "parquet"), min_length=1, description="Layouts to write."
    )
    include_real: bool = Field(default=True, description="Include the real pairs.")
    branches: tuple[SyntheticBranch, ...] = Field(
        default=("inter", "intra"), description="Branches whose kept pairs are written."
    )
    splits: tuple[SplitName, ...] = Field(
        default=("train", "validation", "test"),
        min_length=1,
        description="Splits to write.",
    )
    synthetic_splits: tuple[SplitName, ...] = Field(
        default=("train", "validation", "test"),
        description="Splits that include synthetic pairs; leave out `test` for a real test split.",
    )
    synthetic_per_real: float | None = Field(
        default=None,
        ge=0,
        description="Most synthetic pairs per real pair of the same split, sampled with the run's "
        "seed; pairs whose image turns out to be unusable count too. Null: no limit.",
    )
    text: TextChoice | None = Field(
        default=None,
        description="Report sections used as text; if one is empty, the other is used. Null: "
        "impression and findings, and for `chexzero` the impression, as in CheXzero's code.",
    )
    pairs_per_shard: int = Field(default=1000, ge=1, description="Pairs per WebDataset tar.")
    pairs_per_parquet: int = Field(
        default=5000, ge=1, description="Pairs per Parquet or Arrow file."
    )

    @model_validator(mode="after")
    def _asks_for_something(self) -> ExportSettings:
        for name in ("formats", "branches", "splits", "synthetic_splits"):
            named = getattr(self, name)
            if len(set(named)) != len(named):
                raise ValueError(f"{name} contains a duplicate")
        if not self.branches and not self.include_real:
            raise ValueError("without include_real and branches there is nothing to write")
        return self


def texts_of(settings: ExportSettings) -> dict[str, TextChoice]:
    """Layout → the section used as text, for layouts with a single section."""
    choices: dict[str, TextChoice | None] = dict.fromkeys(settings.formats, settings.text)
    if settings.text is None and "chexzero" in choices:
        choices["chexzero"] = CHEXZERO_TEXT
    return {
        name: choice
        for name, choice in choices.items()
        if choice is not None and choice != "impression+findings"
    }


def check_installed(settings: ExportSettings) -> None:
    """Raises `MissingExtraError` if a layout needs a library that is not installed."""
    if "chexzero" in settings.formats and find_spec("h5py") is None:
        raise MissingExtraError("exporting to chexzero", "h5py", "hdf5")
