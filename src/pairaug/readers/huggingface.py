"""Pairs from anything that the `datasets` library reads: a hub id, or a folder or Parquet file.

License and citation are the dataset's own, unless the user states others; access terms are stated
by the user. Rows are streamed. Images given as bytes are stored inside the pairs; image files stay
where they are.

Needs `pip install "pairaug[huggingface]"`. Offline mode (`HF_HUB_OFFLINE`) is honoured.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pyarrow import parquet
from pydantic import Field, model_validator

from pairaug.errors import DataError, MissingExtraError, PairAugError
from pairaug.pair import Pair, Report
from pairaug.readers.labels import mapped_labels
from pairaug.readers.listing import files_below, listing_sha256
from pairaug.readers.normalize import RawRecord, RecordNormalizer, absolute
from pairaug.readers.plain import report_of_plain, report_of_sections
from pairaug.readers.reader import Provenance, StatedTerms
from pairaug.readers.splits import SPLIT_NAMES, SplitFractions
from pairaug.readers.text import cell_text, report_of_cells
from pairaug.readers.unquoted import are_names, name_list
from pairaug.settings import StageSettings
from pairaug.stage import RunContext

if TYPE_CHECKING:
    from datasets import IterableDataset

DROP_REASONS = {
    "synthetic": "a synthetic pair of an earlier export: new pairs are made from real ones only"
}

_DATA_SUFFIXES = (".parquet", ".arrow", ".json", ".jsonl", ".csv", ".tar", ".zip", ".png", ".jpg")


class HuggingFaceColumns(StageSettings):
    """Names of the columns; null: the dataset has no such column."""

    image: str = Field(default="image", description="Column of the image.")
    text: str | None = Field(
        default="text",
        description="Column of the whole report, split at its headings; null if findings or "
        "impression have columns.",
    )
    findings: str | None = Field(default=None, description="Column of the findings section.")
    impression: str | None = Field(default=None, description="Column of the impression section.")
    id: str | None = Field(
        default=None, description="Column of the id; without it, the row number."
    )
    patient_id: str | None = Field(
        default=None, description="Column of the patient; without it each row is its own patient."
    )
    view: str | None = Field(default=None, description="Column of the view, such as PA.")
    labels: str | None = Field(
        default=None, description="Column of a mapping from finding to 1 or 0, as in exports."
    )

    @model_validator(mode="after")
    def _can_make_reports(self) -> HuggingFaceColumns:
        if self.text is None and self.findings is None and self.impression is None:
            raise ValueError("name a column for text, or for findings or impression")
        return self


class HuggingFaceSource(StatedTerms):
    """A dataset of the `datasets` library with a column of images and one of reports."""

    layout: Literal["huggingface"] = Field(
        "huggingface", description="The layout: a dataset of the `datasets` library."
    )
    dataset: str | None = Field(default=None, description="Hub id, such as `owner/name`.")
    path: Path | None = Field(
        default=None, description="Local folder or Parquet file, instead of a hub id."
    )
    subset: str | None = Field(default=None, description="The dataset's configuration, if any.")
    revision: str | None = Field(default=None, description="Commit, tag or branch of a hub id.")
    splits: tuple[str, ...] = Field(
        default=(), description="Splits of the dataset to read. Empty: all."
    )
    name: str = Field(
        default="", description="First part of every pair's id; without it, the dataset's name."
    )
    columns: HuggingFaceColumns = Field(
        default_factory=HuggingFaceColumns, description="Names of the columns."
    )
    views: tuple[str, ...] = Field(
        default=(), description="Views to keep, case-insensitive. Empty: all."
    )
    headless: Literal["findings", "impression"] = Field(
        default="findings", description="Section of a report without headings."
    )
    split: SplitFractions = Field(
        default_factory=SplitFractions,
        description="Split of patients if the dataset has one split only, or splits with names "
        "other than train, validation and test.",
    )

    @model_validator(mode="after")
    def _has_one_source(self) -> HuggingFaceSource:
        if (self.dataset is None) == (self.path is None):
            raise ValueError("give either dataset, a hub id, or path, a local folder or file")
        if self.views and self.columns.view is None:
            raise ValueError("views needs a column of views; set columns.view")
        return self


class HuggingFaceReader:
    """The real pairs of a dataset, split by split in the order of its rows."""

    def __init__(self, settings: HuggingFaceSource, context: RunContext) -> None:
        self._settings = settings
        self._context = context
        self._path = absolute(settings.path) if settings.path else None
        if self._path and not self._path.exists():
            raise DataError(f"read.path is {self._path}, which does not exist")
        called = self._path.name.split(".")[0] if self._path else str(settings.dataset)
        self._name = settings.name or called.rpartition("/")[2]

    def describe(self) -> Provenance:
        """The dataset's own license and citation if stated, with a hash over local files."""
        settings, info = self._settings, next(iter(self._datasets.values())).info
        stated = settings.license if settings.license != "not stated" else ""
        hashes = {}
        if self._path:
            is_file = self._path.is_file()
            files = [self._path] if is_file else list(files_below(self._path, _DATA_SUFFIXES))
            hashes = {self._path.name: listing_sha256(files, self._path.parent)}
        return Provenance(
            layout="huggingface",
            name=self._name,
            license=stated or info.license or "not stated",
            access=settings.access,
            citation=settings.citation or info.citation or "",
            hashes=hashes,
        )

    def count(self) -> int | None:
        """Number of rows stated by the files or the dataset; None if not stated.

        Also None if rows have lists of images, each of which is a pair.
        """
        if self._has_lists:
            return None
        if self._path and not self._settings.splits:
            is_file = self._path.is_file()
            files = [self._path] if is_file else list(files_below(self._path, [".parquet"]))
            if files:
                with _readable(self._name, "its files"):
                    return sum(parquet.read_metadata(file).num_rows for file in files)
        total = 0
        for split, dataset in self._datasets.items():
            stated = (dataset.info.splits or {}).get(split)
            if stated is None or not stated.num_examples:
                return None
            total += stated.num_examples
        return total

    def __iter__(self) -> Iterator[Pair]:
        """One pair per image: a row may have a list of images."""
        folder = self._path if self._path and self._path.is_dir() else None
        normalizer = RecordNormalizer(
            layout="huggingface",
            name=self._name,
            root=folder or (self._path.parent if self._path else Path.cwd()),
            fractions=self._settings.split,
            views=frozenset(view.lower() for view in self._settings.views),
        )
        return normalizer.pairs(self.records(), self._context)

    def records(self) -> Iterator[RawRecord]:
        """Raw records of the rows, images not decoded."""
        for split, dataset in self._datasets.items():
            with _readable(self._name, split):
                rows = iter(self._without_decoding(dataset))
            for number in itertools.count(1):
                with _readable(self._name, f"{split} row {number}"):
                    row = next(rows, None)
                if row is None:
                    break
                yield from self._row(row, split, number)

    def _row(self, row: Mapping[str, Any], split: str, number: int) -> Iterator[RawRecord]:
        columns, where = self._settings.columns, f"{split} row {number}"
        if number == 1:
            self._check_columns(row)
        if row.get("access") == "credentialed" and self._settings.access != "credentialed":
            raise DataError(
                f"{where} says that its source is credentialed; set read.access: credentialed"
            )
        own_id = _cell(row, columns.id) if columns.id else f"{split}-{number:07d}"
        report, unusable = self._report(row, where)
        whole = RawRecord(
            where=where,
            id=own_id.removeprefix(f"{self._name}/") if own_id else None,
            report=report,
            image=None,
            patient_id=_cell(row, columns.patient_id),
            split=SPLIT_NAMES.get(split.lower()) if self._is_divided else None,
            labels=mapped_labels(row.get(columns.labels) if columns.labels else None),
            trace={"row": number, "split": split},
            # Our own exports mark synthetic pairs.
            drop=("synthetic", where) if row.get("synthetic") is True else unusable,
        )
        images = row[columns.image]
        views = row.get(columns.view) if columns.view else None
        if not isinstance(images, list):
            yield replace(whole, image=_image(images), view=cell_text(views))
            return
        # The images of a study have the same report and patient.
        each_view = views if isinstance(views, list) and len(views) == len(images) else None
        for index, image in enumerate(images or [None]):
            yield replace(
                whole,
                where=f"{where} image {index + 1}",
                id=whole.id and f"{whole.id}/{index + 1}",
                image=_image(image),
                patient_id=whole.patient_id or whole.id,
                view=cell_text(each_view[index] if each_view else views),
                trace={**whole.trace, "study": whole.id},
            )

    def _report(self, row: Mapping[str, Any], where: str) -> tuple[Report, tuple[str, str] | None]:
        columns = self._settings.columns
        findings, impression = (
            row.get(column) if column else None for column in (columns.findings, columns.impression)
        )
        report, drop = report_of_cells(findings, impression, where)
        if drop or report.text or columns.text is None:
            # Rows of our own exports have separate sections.
            return report if "synthetic" in row else report_of_sections(report), drop
        whole, drop = report_of_cells(row.get(columns.text), "", where)
        return report_of_plain(whole.findings, self._settings.headless), drop

    def _check_columns(self, row: Mapping[str, Any]) -> None:
        columns = self._settings.columns
        for key, column in columns.model_dump(exclude_none=True).items():
            is_spare = key == "text" and (columns.findings or columns.impression)
            if column not in row and not is_spare:
                near = difflib.get_close_matches(
                    column, list(row) if are_names(list(row)) else (), n=1
                )
                hint = f"; did you mean {near[0]!r}?" if near else ";"
                raise DataError(
                    f"{self._name} has no column {column!r} (for read.columns.{key}){hint} "
                    f"{name_list(list(row))}"
                )

    def _without_decoding(self, dataset: IterableDataset) -> IterableDataset:
        """`dataset` with its images as bytes or paths, so that a damaged one is one drop."""
        from datasets import Image, List

        column = self._settings.columns.image
        feature = (dataset.features or {}).get(column)
        if isinstance(feature, Image):
            return dataset.cast_column(column, Image(decode=False))
        if isinstance(feature, List) and isinstance(feature.feature, Image):
            return dataset.cast_column(column, List(Image(decode=False)))
        return dataset

    @property
    def _has_lists(self) -> bool:
        from datasets import List

        first = next(iter(self._datasets.values()))
        return isinstance((first.features or {}).get(self._settings.columns.image), List)

    @property
    def _is_divided(self) -> bool:
        # `datasets` names undivided rows "train".
        return len(self._loaded) > 1

    @cached_property
    def _loaded(self) -> dict[str, IterableDataset]:
        return _load(self._settings, self._path)

    @cached_property
    def _datasets(self) -> dict[str, IterableDataset]:
        """Split → its rows, read lazily."""
        loaded = self._loaded
        wanted = self._settings.splits or tuple(loaded)
        for split in wanted:
            if split not in loaded:
                raise DataError(f"{self._name} has no split {split!r}; it has: {', '.join(loaded)}")
        return {split: loaded[split] for split in wanted}


@contextmanager
def _readable(name: str, where: str) -> Iterator[None]:
    """Turns errors from damaged files into a `DataError` with the position in the dataset."""
    try:
        yield
    except (PairAugError, MemoryError):
        raise
    # datasets and its parsers raise anything, and quote cells: the error is not chained.
    except Exception as error:  # noqa: BLE001
        raise DataError(
            f"{name} cannot be read at {where} ({type(error).__name__}); it is damaged or cut "
            "short: fetch it again"
        ) from None


def _load(settings: HuggingFaceSource, path: Path | None) -> dict[str, IterableDataset]:
    try:
        from datasets import DatasetDict, load_dataset, load_from_disk
    except ImportError as error:
        raise MissingExtraError("reading Hugging Face datasets", "datasets", "huggingface") from (
            error
        )
    where = str(path or settings.dataset)
    try:
        if path and path.is_file():
            return _by_name(load_dataset("parquet", data_files={"all": str(path)}, streaming=True))
        if path and ((path / "state.json").exists() or (path / "dataset_dict.json").exists()):
            saved = load_from_disk(where)
            named = saved if isinstance(saved, DatasetDict) else {str(saved.split or "all"): saved}
            return {str(split): rows.to_iterable_dataset() for split, rows in named.items()}
        revision = None if path else settings.revision
        return _by_name(load_dataset(where, settings.subset, revision=revision, streaming=True))
    # Damaged files raise errors of many kinds; see `_readable`.
    except Exception as error:  # noqa: BLE001
        what = "read.path" if path else "read.dataset"
        raise DataError(
            f"{what} is {where}, which datasets cannot open ({type(error).__name__}); check the "
            "name, the subset, and that it is on this machine or reachable"
        ) from None


def _by_name(loaded: Mapping[Any, IterableDataset]) -> dict[str, IterableDataset]:
    return {str(split): rows for split, rows in loaded.items()}


def _image(value: Any) -> Path | bytes | None:
    """The undecoded image in a dataset's cell: a mapping, bytes, or a path."""
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str):
        return Path(value) if value else None
    return value if isinstance(value, bytes) else None


def _cell(row: Mapping[str, Any], column: str | None) -> str | None:
    return cell_text(row.get(column)) if column else None
