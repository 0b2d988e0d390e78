"""Which images and labels to evaluate on: phantoms, runs, readers, and label tables as published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pairaug.readers import ReadSettings, Split
from pairaug.settings import StageSettings

Uncertain = Literal["ignore", "positive", "negative"]
Unstated = Literal["ignore", "negative"]


class PhantomData(StageSettings):
    """Simulated patients, whose findings are known."""

    layout: Literal["phantom"] = Field(
        default="phantom", description="Simulated patients, one image each."
    )
    num_patients: int = Field(default=1000, ge=2, description="How many patients are sampled.")
    seed: int = Field(
        default=7_000_001,
        ge=0,
        lt=2**63,
        description="Which patients; the bundled models have not seen those of the default.",
    )
    size: int = Field(default=128, ge=32, le=1024, description="Pixels a side of each image.")
    labels: Literal["by-side", "chexpert"] = Field(
        default="by-side",
        description="By side: the 15 labels of phantoms, such as left pleural effusion. Or those "
        "of CheXpert's 14 that phantoms can have.",
    )


class PairLabels(StageSettings):
    """How pairs come by labels."""

    split: Split | Literal["all"] = Field("test", description="Which patients.")
    labels: Literal["stated", "report"] = Field(
        "stated",
        description="The labels that the pairs have, or those that their reports state, present "
        "or absent, by PairAug's own reading.",
    )
    unstated: Unstated = Field(
        "ignore", description="What a finding counts as that is not stated, or is uncertain."
    )


class RunData(PairLabels):
    """The real pairs of a run."""

    layout: Literal["run"] = Field("run", description="The real pairs of a run's folder.")
    run: Path = Field(description="The run's folder.")


class ReadData(PairLabels):
    """Pairs as `pairaug read` finds them, without a run."""

    layout: Literal["read"] = Field("read", description="Whatever `pairaug read` can read.")
    read: ReadSettings = Field(description="As in the settings of a run.")


class LabelTable(StageSettings):
    """A table of labels, and the folder of its images."""

    table: Path = Field(description="The file with the labels: .csv, also .csv.gz.")
    root: Path | None = Field(
        None, description="The folder that image paths start from; without it, the table's folder."
    )
    uncertain: Uncertain = Field("ignore", description="What a label of -1 counts as.")


class CheXpertData(LabelTable):
    """CheXpert's `train.csv`, `valid.csv` or the test set's `groundtruth.csv`."""

    layout: Literal["chexpert"] = Field(
        "chexpert", description="CheXpert: Path, and a column for each finding."
    )
    unstated: Unstated = Field("negative", description="What an empty cell counts as.")
    views: Literal["frontal", "all"] = Field(
        "frontal", description="Frontal images only, by their names, or all."
    )


class MimicData(LabelTable):
    """MIMIC-CXR-JPG's labels of studies, with the table that lists the images."""

    layout: Literal["mimic-cxr"] = Field(
        "mimic-cxr",
        description="MIMIC-CXR-JPG: a CSV of labels by study, and one of images.",
    )
    images: Path = Field(
        description="The table of images: mimic-cxr-2.0.0-metadata.csv or -split.csv."
    )
    splits: Path | None = Field(
        None, description="mimic-cxr-2.0.0-split.csv, where `images` is the table of metadata."
    )
    split: Literal["train", "validation", "test", "all"] = Field(
        "test", description="Whose images."
    )
    views: tuple[str, ...] = Field(
        (), description="Views, such as PA and AP, where `images` is the table of metadata."
    )
    unstated: Unstated = Field("negative", description="What an empty cell counts as.")


class NihData(LabelTable):
    """NIH ChestX-ray14's `Data_Entry_2017.csv`."""

    layout: Literal["nih"] = Field(
        "nih", description="ChestX-ray14: image, and its findings parted by |."
    )
    only: Path | None = Field(
        None, description="A text file with the names of the images to use, such as test_list.txt."
    )


class PadChestData(LabelTable):
    """PadChest's table, labels as a list in one cell."""

    layout: Literal["padchest"] = Field(
        "padchest", description="PadChest: ImageID, ImageDir, Labels and more."
    )
    projections: tuple[str, ...] = Field(
        ("PA", "AP", "AP_horizontal"), description="Projections to use; none named: all."
    )
    by_hand: bool = Field(
        False, description="Only what a physician labelled, not what a network read off the report."
    )


class VinDrData(LabelTable):
    """VinDr-CXR's `image_labels_train.csv` or `image_labels_test.csv`."""

    layout: Literal["vindr"] = Field(
        "vindr", description="VinDr-CXR: image_id, and a column for each finding."
    )
    suffix: str = Field(".dicom", description="What image files are called after their image_id.")
    readers: Literal["majority", "any"] = Field(
        "majority", description="When several radiologists read an image: most of them, or any."
    )


class TableData(LabelTable):
    """Any table with one image a row."""

    layout: Literal["table"] = Field(
        "table", description="An image a row, findings in columns or in a list."
    )
    file: str = Field("file", description="Column of the image's path, relative to `root`.")
    patient_id: str | None = Field(
        None, description="Column of the patient; without it each image is a patient of its own."
    )
    split_column: str | None = Field(None, description="Column of the split.")
    columns: dict[str, str] = Field(
        {}, description="Finding to its column, with 1, 0, -1 (uncertain) or empty."
    )
    list_column: str | None = Field(
        None,
        description="Column that lists the findings present, instead; each other one is absent.",
    )
    separator: str = Field("|", min_length=1, description="What parts the findings of a list.")
    unstated: Unstated = Field("ignore", description="What an empty cell of a finding counts as.")
    where: dict[str, tuple[str, ...]] = Field(
        {}, description="Column to the values that a row may have there; other rows are left out."
    )
    encoding: str = Field("utf-8", description="Text encoding of the table.")
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="What separates the cells of a CSV table."
    )

    @model_validator(mode="after")
    def _has_labels(self) -> TableData:
        if bool(self.columns) == (self.list_column is not None):
            raise ValueError("name the findings' columns, or the one list_column, and not both")
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
"""The settings of `data`: those of the source that it names."""

ReportData = Annotated[PhantomData | RunData | ReadData, Field(discriminator="layout")]
"""The sources that have reports, too."""
