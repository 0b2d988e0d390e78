"""Pairs from WebDataset shards: tars of `.jpg` or `.png`, `.txt`, `.json` and `.cls` members.

License, access and citation are settings, as shards do not state them. Shards of `pairaug export`
are recognized by their records: ids, patients, splits, sections and labels are read back unchanged.
Their synthetic pairs are dropped, because new pairs are made from real ones only; shards whose
records state a credentialed source are refused under any other access.

Images have no file, and are stored inside the pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from pairaug.errors import DataError
from pairaug.pair import FINDINGS, Pair, Report
from pairaug.readers.labels import Labels, mapped_labels
from pairaug.readers.listing import IMAGE_SUFFIXES, decode, listing_sha256
from pairaug.readers.normalize import RawRecord, RecordNormalizer, absolute
from pairaug.readers.plain import report_of_plain, report_of_sections
from pairaug.readers.reader import Provenance, StatedTerms
from pairaug.readers.splits import SPLIT_NAMES, SplitFractions
from pairaug.readers.tars import TarItem, items_of, shards_of
from pairaug.readers.text import cell_text, report_of_cells
from pairaug.stage import RunContext
from pairaug.system.json_text import JSONTextError, parse_json

DROP_REASONS = {
    "unsafe_member": "the name of a member of the tar is an absolute path, or leads out by `..`",
    "oversized_member": "a member of the tar is too large for a report or an image",
    "unreadable_report": "the study's record is not JSON, or its report not UTF-8 text",
    "synthetic": "a synthetic pair of an earlier export: new pairs are made from real ones only",
}

_IMAGES = tuple(suffix.removeprefix(".") for suffix in IMAGE_SUFFIXES)
_REPORTS = ("txt", "text", "caption", "report")
"""Suffixes of members with the whole report, and its keys in JSON members."""
_TEXTS = (*_REPORTS, "json", "cls")
_WANTED = frozenset((*_IMAGES, *_TEXTS))
_NO_RADIOGRAPHS = frozenset({"mask", "seg", "segmentation", "label", "heatmap", "thumbnail"})
_VIEWS = frozenset({"frontal", "lateral", "pa", "ap", "ll"})


class WebDatasetSource(StatedTerms):
    """Tar shards with an image and its report for each key."""

    layout: Literal["webdataset"] = Field("webdataset", description="The layout: WebDataset.")
    shards: tuple[Path, ...] = Field(
        min_length=1,
        description="Paths of the tars, in order; `{000000..000012}`, `{a,b}`, `*` and `?` expand.",
    )
    name: str = Field(
        default="",
        description="First part of every pair's id; without it, the export's name for shards of "
        "`pairaug export`, else the name of the shards' folder.",
    )
    headless: Literal["findings", "impression"] = Field(
        default="findings", description="Section of a report without headings."
    )
    classes: dict[str, str] = Field(
        default={}, description="Content of a `.cls` member → the finding that it marks as present."
    )
    split: SplitFractions = Field(
        default_factory=SplitFractions, description="Split of patients if records do not state one."
    )

    @field_validator("shards", mode="before")
    @classmethod
    def _one_is_a_list_too(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | Path) else value

    @field_validator("classes")
    @classmethod
    def _are_findings(cls, value: dict[str, str]) -> dict[str, str]:
        unknown = [finding for finding in value.values() if finding not in FINDINGS]
        if unknown:
            names = ", ".join(FINDINGS)
            raise ValueError(f"unknown finding {unknown[0]!r}; the names are: {names}")
        return value


class WebDatasetReader:
    """The real pairs of shards, in the order of their members."""

    def __init__(self, settings: WebDatasetSource, context: RunContext) -> None:
        self._settings = settings
        self._context = context
        self._shards = shards_of([absolute(path) for path in settings.shards])

    def describe(self) -> Provenance:
        """Provenance from the settings, with a hash over names and sizes of the shards."""
        folder = self._shards[0].parent
        return Provenance(
            layout="webdataset",
            name=self._name,
            license=self._settings.license,
            access=self._settings.access,
            citation=self._settings.citation,
            hashes={"shards": listing_sha256(self._shards, folder)},
        )

    def count(self) -> int:
        """Number of images in all shards, plus keys without one; no image is read."""
        items = (item for shard in self._shards for item in items_of(shard, frozenset()))
        return sum(max(1, len(_images_of(item))) for item in items)

    def __iter__(self) -> Iterator[Pair]:
        """One pair per image; a key without an image is dropped."""
        normalizer = RecordNormalizer(
            layout="webdataset",
            name=self._name,
            root=self._shards[0].parent,
            fractions=self._settings.split,
        )
        return normalizer.pairs(self.records(), self._context)

    def records(self) -> Iterator[RawRecord]:
        """Raw records: each key's image as bytes, with its other members."""
        for shard in self._shards:
            for item in items_of(shard, _WANTED, _WANTED):
                yield from self._images(item)

    @cached_property
    def _name(self) -> str:
        if self._settings.name:
            return self._settings.name
        first = next(items_of(self._shards[0], frozenset(_TEXTS)), None)
        record = _record_of(first) if first else None
        own_id = str((record or {}).get("id", ""))
        is_ours = bool(record) and _is_ours(record or {}) and "/" in own_id
        return own_id.partition("/")[0] if is_ours else self._shards[0].parent.name

    def _images(self, item: TarItem) -> Iterator[RawRecord]:
        """One record per image of the item; all are of one patient."""
        record, suffixes = self._item(item), _images_of(item)
        if record.drop is not None or len(suffixes) < 2:
            yield replace(record, image=item.members[suffixes[0]] if suffixes else None)
            return
        for number, suffix in enumerate(suffixes, 1):
            name = suffix.rpartition(".")[0]
            yield replace(
                record,
                where=f"{item.where} image {number}",
                id=f"{record.id}.{name}",
                image=item.members[suffix],
                patient_id=record.patient_id or record.id,
                view=record.view or (name.upper() if name in _VIEWS else None),
                trace={**record.trace, "study": record.id},
            )

    def _item(self, item: TarItem) -> RawRecord:
        """The record with the members' texts and labels, without an image."""
        if item.is_unsafe:
            where = item.where
            return RawRecord(
                where, where.replace(" ", "-"), Report(), None, drop=("unsafe_member", where)
            )
        if item.is_too_large:
            too_large = ("oversized_member", item.where)
            return RawRecord(item.where, item.key, Report(), None, drop=too_large)
        record, text = _record_of(item), _text_of(item)
        if record is None or text is None:
            unreadable = ("unreadable_report", item.where)
            return RawRecord(item.where, item.key, Report(), None, drop=unreadable)
        is_ours = _is_ours(record)
        if record.get("access") == "credentialed" and self._settings.access != "credentialed":
            raise DataError(
                f"{item.where} says that its source is credentialed; set read.access: credentialed"
            )
        is_synthetic = is_ours and bool(record["synthetic"])
        report, drop = self._report(record, text, item.where)
        return RawRecord(
            where=item.where,
            id=self._id(item, record),
            report=report,
            image=None,
            patient_id=_word(record, "patient_id") or _numbered(item.group),
            view=_word(record, "view"),
            split=SPLIT_NAMES.get(str(record.get("split", "")).lower()),
            labels=self._labels(record, item),
            drop=("synthetic", item.where) if is_synthetic else drop,
        )

    def _id(self, item: TarItem, record: Mapping[str, Any]) -> str:
        """The record's id without its prefix, which is added again later; else the key."""
        return (_word(record, "id") or item.key).removeprefix(f"{self._name}/")

    def _report(
        self, record: Mapping[str, Any], text: str, where: str
    ) -> tuple[Report, tuple[str, str] | None]:
        report, drop = report_of_cells(record.get("findings"), record.get("impression"), where)
        if _is_ours(record):
            return report, drop
        if drop or report.text:
            return report_of_sections(report), drop
        for value in (text, *(record.get(key) for key in _REPORTS)):
            whole, drop = report_of_cells(value, "", where)
            if drop or whole.text:
                return report_of_plain(whole.findings, self._settings.headless), drop
        return Report(), None

    def _labels(self, record: Mapping[str, Any], item: TarItem) -> Labels:
        labels = mapped_labels(record.get("labels"))
        said = item.members.get("cls", b"").decode("utf-8", "replace").strip()
        if said in self._settings.classes:
            labels[self._settings.classes[said]] = True
        return labels


def _is_ours(record: Mapping[str, Any]) -> bool:
    """True for a record of `pairaug.export.record`."""
    return {"id", "branch", "synthetic", "patient_id", "findings", "impression"} <= record.keys()


def _record_of(item: TarItem) -> Mapping[str, Any] | None:
    """The JSON member as a mapping, empty if there is none; None if it is something else.

    A JSON string is the report.
    """
    try:
        record = parse_json(item.members.get("json", b"{}"), nan_is_null=True)
    except JSONTextError:
        return None
    if isinstance(record, str):
        return {"report": record}
    if not isinstance(record, dict):
        return None
    # Only other programs' records have keys in capitals.
    return {**{key.lower(): value for key, value in record.items()}, **record}


def _text_of(item: TarItem) -> str | None:
    names = (*_REPORTS, *(f"{name}.txt" for name in _REPORTS))
    content = next((item.members[name] for name in names if name in item.members), b"")
    try:
        return decode(content)
    except UnicodeError:
        return None


def _numbered(group: str | None) -> str | None:
    """`group`, the first part of a dotted key, if it has a digit; None for constants like `cxr`."""
    return group if group and any(character.isdigit() for character in group) else None


def _images_of(item: TarItem) -> list[str]:
    """Suffixes of an item's images: the plain one if there is one, else all longer ones.

    `0001.png` is the only image of 0001 if it exists; without it `0001.frontal.png` and
    `0001.lateral.png` are its images.
    """
    plain = [kind for kind in _IMAGES if kind in item.members]
    if plain:
        return plain[:1]
    return [
        suffix
        for suffix in item.members
        if suffix.rpartition(".")[2] in _IMAGES and not _NO_RADIOGRAPHS & set(suffix.split("."))
    ]


def _word(record: Mapping[str, Any], key: str) -> str | None:
    value = record.get(key)
    return cell_text(value) if isinstance(value, str | int | float) else None
