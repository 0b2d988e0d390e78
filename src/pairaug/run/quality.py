"""Data quality of the real pairs of a run, counted from the parts of `read`.

One part is in memory at a time. Of the whole dataset only counters are kept, and an 8-byte hash of
each image, study and patient.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pairaug.findings import is_english, report_labels
from pairaug.manifest import read_columns, trace_in
from pairaug.pair import FINDINGS

SPLITS = ("train", "validation", "test")
MISSING = "missing_image"
UNREADABLE = ("unreadable_image", "image_not_finite", "image_constant", "image_saturated")
"""Drop reasons of images that exist and cannot be used."""

_QUANTILES = {"least": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "most": 1.0}
_MAX_VIEWS = 12
_NOT_STATED = "not stated"
_OTHERS = "others"
_VIEW_WORD = (
    "pa|ap|l|r|ll|rl|lao|rao|lpo|rpo|lld|rld|lat|lateral|frontal|left|right|oblique|oblicua|axial|"
    "horizontal|vertical|supine|prone|erect|upright|portable|decubitus|lordotic|swimmers|costal|"
    "xtable|cross|table|tangential|pediatric|expiration|inspiration|chest|view|exclude|unk|unknown|"
    "other|nan|none|antero|postero|anterior|posterior|anteroposterior|posteroanterior"
)
_VIEW = re.compile(rf"({_VIEW_WORD})([ _/-]+({_VIEW_WORD})){{0,3}}", re.IGNORECASE)
"""Words that name views. Other text is not shown, since it may be a patient's name."""
_COLUMNS = (
    "id",
    "patient_id",
    "split",
    "findings",
    "impression",
    "image_sha256",
    "labels",
    "drop_reason",
    "drop_detail",
    "trace",
)


@dataclass(frozen=True, slots=True)
class Quality:
    """Counts of a source. Usable pairs are those that were not dropped."""

    records: int
    """Pairs that the source lists."""
    studies: int
    """Distinct studies among them; each pair counts as one if the source names no studies."""
    usable: int
    images: int
    """Usable pairs with an image."""
    text_only: int
    """Usable pairs with a report and no image."""
    missing_images: int
    unreadable_images: int
    duplicate_images: int
    """Usable images that are byte for byte equal to an earlier one."""
    images_in_two_splits: int
    """Distinct images that are in more than one split."""
    no_findings: int
    """Listed reports whose findings section is empty; `no_impression` and `no_text` likewise."""
    no_impression: int
    no_text: int
    not_english: int
    """Usable reports in another language; no findings are extracted, and none is rewritten."""
    burnt_in: int
    """Images whose DICOM header states a burnt-in annotation."""
    shallow: int
    """16-bit images read with fewer bits, because their values need no more."""
    ignored_headers: int
    """DICOM images with an invalid window, lookup table or slope, which was ignored."""
    patients: Mapping[str, int]
    """Split → usable patients."""
    views: Mapping[str, int]
    """View → listed pairs; the rarest views are summed up."""
    words: Mapping[str, int]
    """Quantile → number of words of usable reports."""
    stated: Mapping[str, Mapping[str, int]]
    """Finding → {present, absent, not stated} in usable reports."""
    stated_by: str
    """`labels`: from the source; `report`: extracted from the text."""
    dropped: Mapping[str, int]
    """Reason → pairs."""

    def as_json(self) -> dict[str, Any]:
        """The counts as plain values, for `run.json`."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class UnusableStudy:
    """A rejected study in the list for the user."""

    reason: str
    identifier: str
    """The pair's id, or its hash."""
    detail: str


def is_current(quality: Mapping[str, Any]) -> bool:
    """True if recorded counts have the fields of this version."""
    return quality.keys() == {each.name for each in fields(Quality)}


def assess(parts: Sequence[Path]) -> Quality:
    """Counts over the parts of `read`."""
    tally = _Tally()
    for path in parts:
        tally.add(read_columns(path, _COLUMNS))
    if tally.stated_by_labels:
        stated, stated_by = tally.stated_by_labels, "labels"
    else:
        stated, stated_by = _stated_in_reports(parts), "report"
    return tally.result(_by_finding(stated, tally.num_usable), stated_by)


def list_unusable(parts: Sequence[Path], most: int, *, show_ids: bool) -> Iterator[UnusableStudy]:
    """Dropped studies in the order of the parts, at most `most` for each reason.

    Without `show_ids` each study is shown by a hash of its id, and no full path is shown.
    """
    shown: Counter[str] = Counter()
    for path in parts:
        rows = read_columns(path, ["id", "drop_reason", "drop_detail", "trace"])
        for row in rows.filter(rows["drop_reason"].is_valid()).to_pylist():
            reason = row["drop_reason"]
            shown[reason] += 1
            if shown[reason] <= most:
                name = row["id"] if show_ids else hash_id(row["id"])
                detail = row["drop_detail"] or ""
                tried = trace_in(row["trace"]).get("read", {}).get("tried")
                if show_ids and tried:
                    detail += f" ({tried})"
                yield UnusableStudy(reason, name, detail)


def hash_id(pair_id: str) -> str:
    """The hash shown in place of an id; the same in every run."""
    return blake2b(pair_id.encode(), digest_size=6).hexdigest()


@dataclass(slots=True)
class _Tally:
    """Running counts over parts."""

    num_listed: int = 0
    num_usable: int = 0
    num_text_only: int = 0
    num_burnt_in: int = 0
    num_not_english: int = 0
    num_shallow: int = 0
    num_ignored_headers: int = 0
    empty: Counter[str] = field(default_factory=Counter)
    views: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    stated_by_labels: Counter[tuple[str, int]] = field(default_factory=Counter)
    studies: list[np.ndarray] = field(default_factory=list)
    images: list[np.ndarray] = field(default_factory=list)
    patients: list[np.ndarray] = field(default_factory=list)

    def add(self, table: pa.Table) -> None:
        images: list[tuple[int, int]] = []
        patients: list[tuple[int, int]] = []
        studies: list[int] = []
        for row in table.to_pylist():
            noted = trace_in(row["trace"]).get("read", {})
            self._add_listed(row, noted)
            studies.append(_hash64(f"{noted.get('study') or row['id']}"))
            if row["drop_reason"] is not None:
                continue
            split = SPLITS.index(row["split"])
            patients.append((_hash64(row["patient_id"]), split))
            if row["image_sha256"]:
                images.append((_hash64(row["image_sha256"]), split))
            self._add_usable(row)
        self.studies.append(np.array(studies, dtype=np.uint64))
        self.images.append(np.array(images, dtype=np.uint64).reshape(-1, 2))
        self.patients.append(np.array(patients, dtype=np.uint64).reshape(-1, 2))

    def _add_listed(self, row: Mapping[str, Any], noted: Mapping[str, Any]) -> None:
        self.num_listed += 1
        view = str(noted.get("view") or "")
        # Views are printed, and a wrong column may hold names of patients or reports.
        shown = view if _VIEW.fullmatch(view) else _OTHERS
        self.views[shown if view else _NOT_STATED] += 1
        self.num_burnt_in += noted.get("burnt_in_annotation") == "YES"
        self.num_shallow += noted.get("bit_depth_by") == "range"
        self.num_ignored_headers += "ignored" in noted
        sections = (row["findings"] or "").strip(), (row["impression"] or "").strip()
        self.empty["findings"] += not sections[0]
        self.empty["impression"] += not sections[1]
        self.empty["both"] += not any(sections)
        if row["drop_reason"] is not None:
            self.dropped[row["drop_reason"]] += 1

    def _add_usable(self, row: Mapping[str, Any]) -> None:
        self.num_usable += 1
        self.num_text_only += row["image_sha256"] is None
        text = f"{row['impression']} {row['findings']}"
        self.lengths[len(text.split())] += 1
        self.num_not_english += not is_english(text)
        for finding, state in (row["labels"] or {}).items():
            if state is not None:
                self.stated_by_labels[finding, state] += 1

    def result(self, stated: Mapping[str, Mapping[str, int]], stated_by: str) -> Quality:
        images = np.concatenate(self.images)
        different = np.unique(images[:, 0])
        in_splits = np.unique(images, axis=0)[:, 0]
        patients = np.unique(np.concatenate(self.patients), axis=0)[:, 1]
        return Quality(
            records=self.num_listed,
            studies=len(np.unique(np.concatenate(self.studies))),
            usable=self.num_usable,
            images=len(images),
            text_only=self.num_text_only,
            missing_images=self.dropped[MISSING],
            unreadable_images=sum(self.dropped[reason] for reason in UNREADABLE),
            duplicate_images=len(images) - len(different),
            images_in_two_splits=int(np.count_nonzero(np.unique_counts(in_splits).counts > 1)),
            no_findings=self.empty["findings"],
            no_impression=self.empty["impression"],
            no_text=self.empty["both"],
            not_english=self.num_not_english,
            burnt_in=self.num_burnt_in,
            shallow=self.num_shallow,
            ignored_headers=self.num_ignored_headers,
            patients={
                split: int(np.count_nonzero(patients == index))
                for index, split in enumerate(SPLITS)
            },
            views=_most_common(self.views),
            words=_quantiles(self.lengths),
            stated=stated,
            stated_by=stated_by,
            dropped={reason: number for reason, number in self.dropped.most_common() if number},
        )


def _stated_in_reports(parts: Iterable[Path]) -> Counter[tuple[str, int]]:
    """(finding, 1 or 0) → number of usable reports that state or deny it."""
    counts: Counter[tuple[str, int]] = Counter()
    for path in parts:
        for row in read_columns(path, ["findings", "impression", "drop_reason"]).to_pylist():
            if row["drop_reason"] is None:
                text = f"{row['impression']} {row['findings']}"
                for finding, state in report_labels(text).items():
                    if state is not None:
                        counts[finding, int(state)] += 1
    return counts


def _by_finding(
    counts: Mapping[tuple[str, int], int], num_reports: int
) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for finding in FINDINGS:
        present, absent = counts.get((finding, 1), 0), counts.get((finding, 0), 0)
        rest = num_reports - present - absent
        found[finding] = {"present": present, "absent": absent, _NOT_STATED: rest}
    return found


def _most_common(views: Counter[str]) -> dict[str, int]:
    """The twelve most common views, and the sum of the others."""
    named = Counter({view: num for view, num in views.items() if view != _OTHERS})
    shown = dict(named.most_common(_MAX_VIEWS))
    rest = views.total() - sum(shown.values())
    return {**shown, **({_OTHERS: rest} if rest else {})}


def _quantiles(lengths: Mapping[int, int]) -> dict[str, int]:
    """Quantile → the smallest length that this fraction of reports does not exceed."""
    if not lengths:
        return {}
    ordered = sorted(lengths)
    reached = np.cumsum([lengths[length] for length in ordered]) / sum(lengths.values())
    return {
        name: ordered[int(np.searchsorted(reached, fraction - 1e-12))]
        for name, fraction in _QUANTILES.items()
    }


def _hash64(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
