"""Sources of evaluation data: phantoms, runs, readers, and label tables as published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pairaug.readers import ReadSettings, Split
from pairaug.settings import StageSettings

Uncertain = Literal["ignore", "positive", "negative"]
Unstated = Literal["ignore", "negative"]


class PhantomData(StageSettings):
    """Simulated patients with known findings."""

    layout: Literal["phantom"] = Field(
        default="phantom", description="Simulated patients, one image each."
    )
    num_patients: int = Field(default=1000, ge=2, description="Number of patients.")
    seed: int = Field(
        default=7_000_001,
        ge=0,
        lt=2**63,
        description="Seed of the patients; the bundled models have not seen those of the default.",
    )
    size: int = Field(default=128, ge=32, le=1024, description="Side of each image in pixels.")
    labels: Literal["by-side", "chexpert"] = Field(
        default="by-side",
        description="Labels: the 15 of phantoms by side, such as left pleural effusion, or those "
        "of CheXpert's 14 that phantoms can have.",
    )


class PairLabels(StageSettings):
    """Labels of pairs."""

    split: Split | Literal["all"] = Field("test", description="Patients to use, by split.")
    labels: Literal["stated", "report"] = Field(
        "stated",
        description="Source of the labels: those of the pairs, or findings extracted from their "
        "reports by PairAug.",
    )
    unstated: Unstated = Field(
        "ignore", description="Value of a finding that is not stated, or uncertain."
    )


class RunData(PairLabels):
    """The real pairs of a run."""

    layout: Literal["run"] = Field("run", description="The real pairs of a run folder.")
    run: Path = Field(description="Run folder.")


class ReadData(PairLabels):
    """Pairs as read by `pairaug read`, without a run."""

    layout: Literal["read"] = Field("read", description="Any dataset that `pairaug read` can read.")
    read: ReadSettings = Field(description="Settings of `read`, as in a run.")


class LabelTable(StageSettings):
    """A table of labels, and the folder of its images."""

    table: Path = Field(description="File with the labels: .csv or .csv.gz.")
    root: Path | None = Field(
        None, description="Folder that image paths are relative to; null: the table's folder."
    )
    uncertain: Uncertain = Field("ignore", description="Value of a label of -1.")


class CheXpertData(LabelTable):
    """CheXpert's `train.csv`, `valid.csv` or the test set's `groundtruth.csv`."""

    layout: Literal["chexpert"] = Field(
        "chexpert", description="CheXpert: Path, and a column for each finding."
    )
    unstated: Unstated = Field("negative", description="Value of an empty cell.")
    views: Literal["frontal", "all"] = Field(
        "frontal", description="Views: frontal images only, by their names, or all."
    )


class MimicData(LabelTable):
    """MIMIC-CXR-JPG's labels of studies, with the table that lists the images."""

    layout: Literal["mimic-cxr"] = Field(
        "mimic-cxr",
        description="MIMIC-CXR-JPG: a CSV of labels by study, and one of images.",
    )
    images: Path = Field(description="Table of images: mimic-cxr-2.0.0-metadata.csv or -split.csv.")
    splits: Path | None = Field(
        None, description="mimic-cxr-2.0.0-split.csv, if `images` is the table of metadata."
    )
    split: Literal["train", "validation", "test", "all"] = Field(
        "test", description="Split to use."
    )
    views: tuple[str, ...] = Field(
        (), description="Views, such as PA and AP, if `images` is the table of metadata."
    )
    unstated: Unstated = Field("negative", description="Value of an empty cell.")


class NihData(LabelTable):
    """NIH ChestX-ray14's `Data_Entry_2017.csv`."""

    layout: Literal["nih"] = Field(
        "nih", description="ChestX-ray14: image, and its findings separated by |."
    )
    only: Path | None = Field(
        None, description="Text file with the names of the images to use, such as test_list.txt."
    )


class PadChestData(LabelTable):
    """PadChest's table, labels as a list in one cell."""

    layout: Literal["padchest"] = Field(
        "padchest", description="PadChest: ImageID, ImageDir, Labels and more."
    )
    projections: tuple[str, ...] = Field(
        ("PA", "AP", "AP_horizontal"), description="Projections to use; empty: all."
    )
    by_hand: bool = Field(
        False, description="Use labels by physicians only, not those predicted from the report."
    )


class VinDrData(LabelTable):
    """VinDr-CXR's `image_labels_train.csv` or `image_labels_test.csv`."""

    layout: Literal["vindr"] = Field(
        "vindr", description="VinDr-CXR: image_id, and a column for each finding."
    )
    suffix: str = Field(".dicom", description="File name suffix of the images after image_id.")
    readers: Literal["majority", "any"] = Field(
        "majority", description="Agreement between several radiologists: majority, or any."
    )


class TableData(LabelTable):
    """Any table with one image per row."""

    layout: Literal["table"] = Field(
        "table", description="One image per row, findings in columns or in a list."
    )
    file: str = Field("file", description="Column of the image's path, relative to `root`.")
    patient_id: str | None = Field(
        None, description="Column of the patient; null: each image is a separate patient."
    )
    split_column: str | None = Field(None, description="Column of the split.")
    columns: dict[str, str] = Field(
        {}, description="Finding → its column, with 1, 0, -1 (uncertain) or empty."
    )
    list_column: str | None = Field(
        None,
        description="Column that lists the findings present, in place of `columns`; all others "
        "are absent.",
    )
    separator: str = Field("|", min_length=1, description="Separator of the findings in a list.")
    unstated: Unstated = Field("ignore", description="Value of an empty cell of a finding.")
    where: dict[str, tuple[str, ...]] = Field(
        {}, description="Column → values to keep; rows with other values are left out."
    )
    encoding: str = Field("utf-8", description="Text encoding of the table.")
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="Separator of the cells in a CSV table."
    )

    @model_validator(mode="after")
    def _has_labels(self) -> TableData:
        if bool(self.columns) == (self.list_column is not None):
            raise ValueError("name the findings' columns or list_column, not both")
        return self


LabelledData = Annotated[
    PhantomData
    | RunData
    | ReadData
    | CheXpertData
    | MimicData
    | NihData
    | PadChestData
    | VinDrData
    | TableData,
    Field(discriminator="layout"),
]
"""Settings of `data`, by its source."""

ReportData = Annotated[PhantomData | RunData | ReadData, Field(discriminator="layout")]
"""Sources with reports."""
