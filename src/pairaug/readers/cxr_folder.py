"""Pairs from a folder of images, each beside a text file of the same name, in folders of any depth.

License, access and citation are settings, as the folder does not state them. A report with headings
is split into sections; one without is a single section.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field

from pairaug.errors import DataError
from pairaug.pair import Pair
from pairaug.readers.listing import (
    IMAGE_SUFFIXES,
    UnusableReportError,
    files_below,
    listing_sha256,
    read_text,
)
from pairaug.readers.normalize import RawRecord, RecordNormalizer, absolute
from pairaug.readers.plain import report_of_plain
from pairaug.readers.reader import Provenance, StatedTerms
from pairaug.readers.splits import SplitFractions
from pairaug.stage import RunContext


class CxrFolderSource(StatedTerms):
    """A folder of images beside text files of the same names."""

    layout: Literal["cxr-folder"] = Field(
        "cxr-folder", description="The layout: images beside text files."
    )
    root: Path = Field(description="Folder of images and reports, including its sub-folders.")
    name: str = Field(
        default="", description="First part of every pair's id; without it, the folder's name."
    )
    headless: Literal["findings", "impression"] = Field(
        default="findings", description="Section of a report without headings."
    )
    patient: Literal["image", "folder"] = Field(
        default="image",
        description="`image`: each image is its own patient; `folder`: images in the same "
        "first-level folder of `read.root` are of one patient.",
    )
    split: SplitFractions = Field(default_factory=SplitFractions, description="Split of patients.")
    encoding: str = Field(default="utf-8", description="Text encoding of the reports.")


class CxrFolderReader:
    """The real pairs of a folder, in the order of their paths."""

    def __init__(self, settings: CxrFolderSource, context: RunContext) -> None:
        self._settings = settings
        self._context = context
        self._root = absolute(settings.root)
        self._normalizer = RecordNormalizer(
            layout="cxr-folder",
            name=settings.name or self._root.name,
            root=self._root,
            fractions=settings.split,
        )

    def describe(self) -> Provenance:
        """Provenance from the settings, with a hash over names and sizes of all files."""
        return Provenance(
            layout="cxr-folder",
            name=self._normalizer.name,
            license=self._settings.license,
            access=self._settings.access,
            citation=self._settings.citation,
            hashes={self._root.name: listing_sha256(self._files, self._root)},
        )

    def count(self) -> int:
        """Number of images, plus reports without an image."""
        return len(self._studies())

    def __iter__(self) -> Iterator[Pair]:
        """One pair per image; images without a report and reports without an image are dropped."""
        return self._normalizer.pairs(self.records(), self._context)

    def records(self) -> Iterator[RawRecord]:
        """Each image with the text file beside it."""
        for number, (image, report) in enumerate(self._studies(), 1):
            where, text, reason = f"image {number}", "", None
            relative = (image or report).relative_to(self._root)
            first, _, inside = relative.as_posix().partition("/")
            is_folder = self._settings.patient == "folder" and bool(inside)
            try:
                text = read_text(report, self._settings.encoding)
            except UnusableReportError as error:
                reason = error.reason
            yield RawRecord(
                where=where,
                id=_without_suffix(relative).as_posix(),
                report=report_of_plain(text, self._settings.headless),
                image=image,
                patient_id=first if is_folder else None,
                drop=None if reason is None else (reason, where),
            )

    def _studies(self) -> list[tuple[Path | None, Path]]:
        """(image, report) by path; the image of a lone report is None."""
        images = [path for path in self._files if path.suffix.lower() != ".txt"]
        texts = [path for path in self._files if path.suffix.lower() == ".txt"]
        # 1.TXT and 1.png.txt are beside 1.png; of 1.TXT and 1.txt the latter, which sorts last.
        text_of = {text.with_suffix(""): text for text in texts}
        studies: list[tuple[Path | None, Path]] = [
            (image, text_of.get(_without_suffix(image)) or text_of.get(image) or _beside(image))
            for image in images
        ]
        beside = {text for _, text in studies}
        studies += [(None, text) for text in texts if text not in beside]
        return sorted(studies, key=lambda study: study[1].as_posix())

    @cached_property
    def _files(self) -> list[Path]:
        if not self._root.is_dir():
            raise DataError(f"{self._root} is not a folder; set read.root to the folder of images")
        files = list(files_below(self._root, (*IMAGE_SUFFIXES, ".txt"), or_dicom=True))
        if not any(path.suffix.lower() != ".txt" for path in files):
            raise DataError(
                f"{self._root} has no images; their names end in {', '.join(IMAGE_SUFFIXES)}"
            )
        return files


def _without_suffix(path: Path) -> Path:
    """`path` without its image suffix; the dots of a DICOM UID are kept."""
    is_known = path.suffix.lower() in (*IMAGE_SUFFIXES, ".txt")
    return path.with_suffix("") if is_known else path


def _beside(image: Path) -> Path:
    """Expected path of an image's text file."""
    return image.with_name(f"{_without_suffix(image).name}.txt")
