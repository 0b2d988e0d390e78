"""Exports a run: passes each kept pair to the writers of all layouts, and writes the card."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from pairaug import __version__
from pairaug.errors import RunError
from pairaug.export.atomic_folder import (
    REPORT_NAME,
    EarlierExport,
    files_in,
    read_report,
    replacing,
    take_over,
)
from pairaug.export.card import card_of, head_of
from pairaug.export.chexzero import CheXzeroWriter
from pairaug.export.encoded_image import encoded_image
from pairaug.export.folder import FolderWriter
from pairaug.export.huggingface import HuggingFaceWriter
from pairaug.export.pair_stream import PairStream
from pairaug.export.parquet import ParquetWriter
from pairaug.export.record import Exported, Terms, Writer, key_of, record_of
from pairaug.export.settings import ExportFormat, ExportSettings, check_installed, texts_of
from pairaug.export.subset import Subset
from pairaug.export.tally import ExportReport, Tally
from pairaug.export.webdataset import WebDatasetWriter
from pairaug.pair import Pair
from pairaug.stage import RunContext

_LOG = logging.getLogger(__name__)

_LAYOUT_VERSION = 2
"""Part of every edition; increase it when a layout changes, so that old and new never mix."""


class Export:
    """Writes kept pairs to a folder, which holds the complete export or nothing."""

    name = "export"

    def __init__(self, settings: ExportSettings, context: RunContext) -> None:
        self._settings = settings
        self._context = context

    def write(
        self,
        pairs: PairStream,
        folder: Path,
        recipe: Mapping[str, Any],
        again: Collection[str] | None = None,
    ) -> ExportReport:
        """Writes the living pairs of `pairs` and a card to `folder`, and returns their counts.

        Replaces an earlier export there. `recipe` is the contents of the run's `run.json`. `again`
        names the layouts to write in any case; None means all. The other layouts in the settings
        are taken over from the earlier export if it holds the same pairs, and written again if not,
        so that all layouts of an export hold the same pairs.
        """
        settings, terms = self._settings, Terms.of(recipe)
        check_installed(settings)
        job = _ExportJob(pairs, Subset(settings, pairs.outlines(), self._context.seed), terms)
        with replacing(folder) as partial:
            earlier = read_report(folder)
            kept = self._keep(earlier, again)
            first: Sequence[ExportFormat] = [each for each in settings.formats if each not in kept]
            report = self._fill(partial, first, job, self._context.report_progress)
            if kept and earlier and report.edition == earlier.edition:
                for name in kept:
                    take_over(name, folder, partial)
            elif kept:
                self._context.report_status(f"writing {', '.join(kept)} again")
                if self._fill(partial, kept, job).edition != report.edition:
                    raise RunError(f"images changed during the export to {folder}; export again")
            report = replace(report, formats=settings.formats, files=_layout_files(partial))
            self._describe(partial, report, terms, recipe)
        if report.lost:
            lost = sum(report.lost.values())
            _LOG.warning("%d kept pairs were not exported: %s", lost, dict(report.lost))
        return report

    def _keep(
        self, earlier: EarlierExport | None, again: Collection[str] | None
    ) -> list[ExportFormat]:
        """The layouts to take over from the earlier export if the pairs have not changed."""
        if again is None or earlier is None:
            return []
        there = earlier.formats
        return [name for name in self._settings.formats if name in there and name not in again]

    def _fill(
        self,
        folder: Path,
        formats: Sequence[ExportFormat],
        job: _ExportJob,
        report_progress: Callable[[int], None] | None = None,
    ) -> ExportReport:
        """Writes the layouts in `formats`, and returns their counts and edition."""
        tally = Tally(texts_of(self._settings))
        edition = sha256(self._inputs(job.terms).encode())
        with ExitStack() as closing:
            writers: list[Writer] = []
            for name in formats:
                writers.append(self._writer(name, folder / name, job.terms))
                closing.callback(writers[-1].close)
            for item in self._choose(job, tally, report_progress):
                for writer in writers:
                    writer.add(item)
                edition.update(_as_json([item.record, item.text]).encode())
                edition.update(sha256(item.image.content).digest())
                tally.add(item.pair)
        for writer in writers:
            writer.finish(edition.hexdigest())
        return replace(tally.report(), edition=edition.hexdigest())

    def _choose(
        self, job: _ExportJob, tally: Tally, report_progress: Callable[[int], None] | None
    ) -> Iterator[Exported]:
        """The pairs to write; `tally` counts the others by reason."""
        changed: set[str] = set()
        for pair in job.pairs:
            if pair.drop:
                continue
            left_out = job.choice.why_not(pair)
            item: Exported | str | None = None
            if left_out is None:
                is_void = pair.parent_id in changed
                item = "changed_image" if is_void else self._export(pair, job.terms)
            if item == "changed_image":
                changed.add(pair.id)
            if left_out is not None:
                tally.left_out[left_out] += 1
            elif isinstance(item, str):
                tally.lost[item] += 1
            elif item is not None:
                yield item
            if report_progress is not None:
                report_progress(1)

    def _export(self, pair: Pair, terms: Terms) -> Exported | str:
        """The pair as the writers need it, or the reason why it cannot be written."""
        text = pair.report.text_of(self._settings.text or "impression+findings")
        if not text:
            return "empty_text"
        image = encoded_image(pair.image, decode="chexzero" in self._settings.formats)
        if isinstance(image, str):
            return image
        return Exported(pair, image, text, record_of(pair, terms), key_of(pair.id))

    def _inputs(self, terms: Terms) -> str:
        """All inputs that determine the bytes of every layout, except the pairs."""
        settings = self._settings.model_dump(mode="json", exclude={"formats"})
        return _as_json([_LAYOUT_VERSION, __version__, settings, terms.as_metadata()])

    def _writer(self, name: ExportFormat, folder: Path, terms: Terms) -> Writer:
        settings = self._settings
        match name:
            case "webdataset":
                return WebDatasetWriter(folder, settings.pairs_per_shard, terms)
            case "parquet":
                return ParquetWriter(folder, settings.pairs_per_parquet, terms)
            case "huggingface":
                return HuggingFaceWriter(folder, settings.pairs_per_parquet, terms)
            case "folder":
                return FolderWriter(folder, terms)
            case "chexzero":
                return CheXzeroWriter(folder, settings.text, terms)

    def _describe(
        self, folder: Path, report: ExportReport, terms: Terms, recipe: Mapping[str, Any]
    ) -> None:
        """Writes the card, its copy in the Hugging Face layout, and `export.json`."""
        body = card_of(report, terms, recipe, self._settings.model_dump(mode="json"))
        files = {"README.md": head_of(report, terms, "parquet") + body}
        if "huggingface" in report.formats:
            files["huggingface/README.md"] = head_of(report, terms, "huggingface") + body
        about = {**asdict(report), **terms.as_metadata()}
        files[REPORT_NAME] = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
        for name, text in files.items():
            # A layout that was taken over shares its files with the earlier export.
            (folder / name).unlink(missing_ok=True)
            (folder / name).write_text(text, encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _ExportJob:
    """The pairs of an export, the same for all layouts."""

    pairs: PairStream
    choice: Subset
    terms: Terms


def _layout_files(folder: Path) -> tuple[str, ...]:
    return tuple(name for name in files_in(folder) if not name.endswith("README.md"))


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
