"""What happens to every image with its report, whichever layout lists it.

A layout's reader says where images, reports and patients are; here ids are made unique, patients
divided, unusable studies dropped with their reasons, and each image decoded once to see that it is
one.
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
    "empty_report": "neither findings nor impression says anything",
    "oversized_report": "the report has more characters than any report has (100,000)",
    "outside_root": "the image's path leads out of `read.root`",
    "missing_image": "no image is named, or the image is not on disk",
    "unreadable_image": "the image is damaged, cut short, or not an image",
    "image_constant": "the image has one grey level only",
    "image_saturated": "nearly all of the image is pure black or pure white",
}
"""Why a study gives no usable pair; an image's faults come from `pairaug.imaging.io.fault`."""

_MAX_CHARACTERS = 100_000
"""Of a report. A cell of more holds a whole file, or many reports."""


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One image with its report, as a layout lists it, before anything is checked."""

    where: str
    """Its place in the source, such as "row 12": what messages may tell, so never a patient's."""
    id: str | None
    report: Report
    image: Path | bytes | None
    """As the layout names it, relative to the root or absolute; or the encoded image itself, where
    it has no file of its own. None: there is none."""
    patient_id: str | None = None
    """None: a patient of its own."""
    view: str | None = None
    split: Split | None = None
    """The layout's own; None: by the patient's hash."""
    labels: Mapping[str, bool | None] = field(default_factory=dict)
    trace: Mapping[str, Any] = field(default_factory=dict)
    """What the layout adds to the trace of `read`."""
    drop: tuple[str, str] | None = None
    """Reason and detail, where the layout itself finds the study of no use."""


@dataclass(frozen=True, slots=True)
class RecordNormalizer:
    """The rules by which listed images become pairs."""

    layout: str
    """The layout, as in the setting `read.layout`."""
    name: str
    """First part of every pair's id."""
    root: Path
    """The folder that relative paths start from, and that no path may leave; absolute."""
    fractions: SplitFractions
    views: frozenset[str] = frozenset()
    """Views to keep, lower case; none named: all."""
    needs_image: bool = True
    """False: a study that names no image is a pair of text alone, which can be rewritten."""

    def pairs(self, records: Iterable[RawRecord], context: RunContext) -> Iterator[Pair]:
        """One pair for each item, in order; an unusable one is a dropped pair."""
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
        """Each pair by itself, what may be shown of its path, and its image if there is one."""
        for item in records:
            pair = self._check(item, seen)
            image, shown = None if pair.drop else item.image, ""
            if isinstance(image, Path):
                image = self._absolute(locate(self.root, image))
                item = replace(item, image=image)
                shown = seen.missing.shown(image, item.patient_id)
                # By the path as written: a link inside the root may well point to another disk.
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
        """`pair` with what was found of its image, or dropped."""
        # No message has the whole path in it, which may hold a patient's id.
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
            _LOG.warning("%s: the first image that is missing: %s", self.name, seen.first_missing)
        if seen.num_text_only:
            _LOG.warning(
                "%s: of %d studies, %d have a report and no image, which can be rewritten only",
                self.name,
                seen.num,
                seen.num_text_only,
            )

    def _check(self, item: RawRecord, seen: _Seen) -> Pair:
        """The pair as it is listed, without its image; dropped where it is no use."""
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
            # Ids are unique in a run, those of dropped pairs too.
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
            # Not kept in the parts, which everything later reads.
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
                f"{item.split} here. Mend the list, or set read.split.use to hashed to have "
                "patients divided anew."
            )
        return item.split


@dataclass(slots=True)
class _Seen:
    """What must be remembered from study to study. Digests, so that millions stay small."""

    missing: Missing
    ids: set[bytes] = field(default_factory=set)
    splits: dict[bytes, Split] = field(default_factory=dict)
    num: int = 0
    num_text_only: int = 0
    first_missing: str = ""
    drops: Counter[str] = field(default_factory=Counter)


def absolute(path: Path) -> Path:
    """`path` without `..`, links left alone, which `Path.resolve` would follow."""
    return Path(os.path.normpath(path.absolute()))


def _storable(text: str) -> str:
    """`text` with the bytes written out that the name of a file or folder has beside UTF-8."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _digest(value: str) -> bytes:
    return blake2b(value.encode(), digest_size=12).digest()
