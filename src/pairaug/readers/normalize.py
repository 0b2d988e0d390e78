"""Turns raw records of any layout into pairs.

A layout's reader lists images, reports and patients. Here ids are made unique, patients are split,
unusable studies are dropped with a reason, and each image is decoded once to check it.
"""

from __future__ import annotations

import logging
import os.path
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pairaug.errors import DataError
from pairaug.imaging.decode_pool import Decoders
from pairaug.imaging.files import ImageError, MissingImageError
from pairaug.imaging.inspect import InspectionResult
from pairaug.pair import Branch, Pair, Report
from pairaug.readers.identifiers import patient_key
from pairaug.readers.image_paths import Missing, locate
from pairaug.readers.splits import Split, SplitFractions
from pairaug.readers.text import stated_report
from pairaug.stage import RunContext

_LOG = logging.getLogger(__name__)

DROP_REASONS = {
    "missing_id": "the study has no id",
    "duplicate_id": "an earlier study of the source has the same id",
    "view_excluded": "the image's view is not among `read.views`",
    "empty_report": "both findings and impression are empty",
    "oversized_report": "the report has more than 100,000 characters",
    "outside_root": "the image's path leads out of `read.root`",
    "missing_image": "the study names no image, or the image is not on disk",
    "unreadable_image": "the image is damaged, cut short, or not an image",
    "image_constant": "the image has one grey level only",
    "image_saturated": "nearly all of the image is pure black or pure white",
}
"""Drop reasons of studies; defects of images come from `pairaug.imaging.io.image_defect`."""

_MAX_CHARACTERS = 100_000
"""Per report. A longer cell holds a whole file, or many reports."""


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One image with its report, as listed by a layout, unchecked."""

    where: str
    """Position in the source, such as "row 12". Shown in messages, so never a patient's id."""
    id: str | None
    report: Report
    image: Path | bytes | None
    """Path in the layout, relative to the root or absolute; or the encoded image, if it has no
    file. None: no image."""
    patient_id: str | None = None
    """None: not known; the record counts as a separate patient."""
    view: str | None = None
    split: Split | None = None
    """The dataset's split; None: by the hash of the patient's id."""
    labels: Mapping[str, bool | None] = field(default_factory=dict)
    trace: Mapping[str, Any] = field(default_factory=dict)
    """Entries added to the trace of `read`."""
    drop: tuple[str, str] | None = None
    """Reason and detail, if the layout's reader already rejects the study."""


@dataclass(frozen=True, slots=True)
class RecordNormalizer:
    """Converts raw records to pairs."""

    layout: str
    """The layout, as in the setting `read.layout`."""
    name: str
    """First part of every pair's id."""
    root: Path
    """Absolute folder that relative paths start from; paths outside it are dropped."""
    fractions: SplitFractions
    views: frozenset[str] = frozenset()
    """Views to keep, lower case. Empty: all."""
    needs_image: bool = True
    """False: a study without an image becomes a text-only pair, which can be rewritten."""

    def pairs(self, records: Iterable[RawRecord], context: RunContext) -> Iterator[Pair]:
        """One pair per record, in order; unusable ones are dropped pairs."""
        if not self.root.is_dir():
            raise DataError(f"the folder of images {self.root} does not exist; set read.root")
        seen = _Seen(Missing(self.root))
        with Decoders(context.num_workers) as decoders:
            for (record_pair, item, shown), outcome in decoders.inspect_in_order(
                self._jobs(records, seen)
            ):
                pair = record_pair
                if outcome is not None:
                    pair = self._with_image(pair, item, outcome, shown, seen.missing)
                if pair.drop:
                    seen.drops[pair.drop.reason] += 1
                    if pair.drop.reason == "missing_image" and not seen.first_missing:
                        seen.first_missing = pair.drop.detail
                elif pair.image is None:
                    seen.num_text_only += 1
                context.report_progress(1)
                yield pair
        self._report(seen)

    def _jobs(
        self, records: Iterable[RawRecord], seen: _Seen
    ) -> Iterator[tuple[tuple[Pair, RawRecord, str], Path | bytes | None]]:
        """Each pair, the part of its path that may be shown, and its image if it has one."""
        for item in records:
            pair = self._check(item, seen)
            image, shown = None if pair.drop else item.image, ""
            if isinstance(image, Path):
                image = self._absolute(locate(self.root, image))
                item = replace(item, image=image)
                shown = seen.missing.shown(image, item.patient_id)
                # By the path as written: a link inside the root may point to another disk.
                if not image.is_relative_to(self.root):
                    pair, image = pair.dropped("read", "outside_root", item.where), None
                elif _storable(str(image)) != str(image):
                    detail = f"{item.where}, the file's name is not UTF-8"
                    pair, image = pair.dropped("read", "unreadable_image", detail), None
            yield (pair, item, shown), image

    def _absolute(self, image: Path) -> Path:
        return absolute(self.root / image)

    def _with_image(
        self, pair: Pair, item: RawRecord, outcome: InspectionResult, shown: str, missing: Missing
    ) -> Pair:
        """`pair` with its inspected image, or dropped."""
        # Messages leave out the whole path, which may hold a patient's id.
        match outcome:
            case MissingImageError() if isinstance(item.image, Path):
                tried = os.path.relpath(item.image, self.root)
                detail = f"{item.where}, {missing.explain(item.image, shown)}"
                return pair.with_trace("read", tried=tried).dropped("read", outcome.reason, detail)
            case MissingImageError():
                return pair.dropped("read", outcome.reason, item.where)
            case ImageError():
                return pair.dropped("read", outcome.reason, f"{item.where}, {outcome}")
            case Exception():
                raise outcome
        if outcome.notes:
            pair = pair.with_trace("read", **outcome.notes)
        if outcome.image_defect:
            detail = f"{item.where}, {outcome.detail}" if outcome.detail else item.where
            return pair.dropped("read", outcome.image_defect, detail)
        path = str(self._absolute(item.image)) if isinstance(item.image, Path) else None
        return pair.with_image(replace(outcome.ref, path=path))

    def _report(self, seen: _Seen) -> None:
        if seen.drops:
            reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(seen.drops.items()))
            _LOG.warning("%s: of %d studies, dropped: %s", self.name, seen.num, reasons)
        if seen.first_missing:
            _LOG.warning("%s: first missing image: %s", self.name, seen.first_missing)
        if seen.num_text_only:
            _LOG.warning(
                "%s: of %d studies, %d have a report but no image; they can only be rewritten",
                self.name,
                seen.num,
                seen.num_text_only,
            )

    def _check(self, item: RawRecord, seen: _Seen) -> Pair:
        """The record as a pair, without its image; dropped if unusable."""
        seen.num += 1
        own_id = _storable(item.id or item.where.replace(" ", "-"))
        patient_id = patient_key(_storable(item.patient_id or "")) or own_id
        pair = Pair(
            id=f"{self.name}/{own_id}",
            branch=Branch.REAL,
            patient_id=patient_id,
            report=stated_report(item.report),
            split=self._split(item, patient_id, seen),
            labels=dict(item.labels),
        ).with_trace("read", layout=self.layout, **item.trace, view=item.view)
        if item.id is None:
            return pair.dropped("read", "missing_id", item.where)
        digest = _digest(own_id)
        if digest in seen.ids:
            # Ids are unique in a run, also those of dropped pairs.
            again = replace(pair, id=f"{pair.id}#{item.where.replace(' ', '-')}")
            return again.dropped("read", "duplicate_id", item.where)
        seen.ids.add(digest)
        if item.drop is not None:
            return pair.dropped("read", *item.drop)
        if self.views and (item.view or "").lower() not in self.views:
            return pair.dropped("read", "view_excluded", item.where)
        if not pair.report.text:
            return pair.dropped("read", "empty_report", item.where)
        if (length := len(pair.report.text)) > _MAX_CHARACTERS:
            # Left out of the parts, which every later stage reads.
            bare = replace(pair, report=Report())
            return bare.dropped("read", "oversized_report", f"{item.where}, {length:,} characters")
        if item.image is None and self.needs_image:
            return pair.dropped("read", "missing_image", f"{item.where}, no image is named")
        return pair

    def _split(self, item: RawRecord, patient_id: str, seen: _Seen) -> Split:
        if item.split is None or self.fractions.use == "hashed":
            return self.fractions.split_of(patient_id)
        earlier = seen.splits.setdefault(_digest(patient_id), item.split)
        if earlier != item.split:
            raise DataError(
                f"{self.name}: the patient of {item.where} is in two splits, {earlier} before and "
                f"{item.split} here. Correct the list, or set read.split.use to hashed to split "
                "patients by a hash of their ids."
            )
        return item.split


@dataclass(slots=True)
class _Seen:
    """State kept from study to study; digests, so that millions of ids take little memory."""

    missing: Missing
    ids: set[bytes] = field(default_factory=set)
    splits: dict[bytes, Split] = field(default_factory=dict)
    num: int = 0
    num_text_only: int = 0
    first_missing: str = ""
    drops: Counter[str] = field(default_factory=Counter)


def absolute(path: Path) -> Path:
    """`path` made absolute without `..`; links are kept, unlike with `Path.resolve`."""
    return Path(os.path.normpath(path.absolute()))


def _storable(text: str) -> str:
    """`text` with the bytes of a file name that are not UTF-8 escaped."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _digest(value: str) -> bytes:
    return blake2b(value.encode(), digest_size=12).digest()
