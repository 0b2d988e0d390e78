"""A stream of images with labels from any source; unusable ones are counted."""

from __future__ import annotations

import difflib
import math
import os.path
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pairaug.errors import DataError, SettingsError
from pairaug.evaluate.data.label_tables import findings_of, labelled_images
from pairaug.evaluate.data.settings import (
    LabelTable,
    PairLabels,
    PhantomData,
    ReadData,
    RunData,
    Uncertain,
    Unstated,
)
from pairaug.evaluate.prompts import finding_name
from pairaug.findings import is_english, report_labels
from pairaug.imaging.io import load_image
from pairaug.manifest import part_fingerprint, part_paths, read_pairs
from pairaug.pair import FINDINGS, ImageRef, Pair
from pairaug.phantom.findings import LABELS, label_vector
from pairaug.phantom.study import Study, sample_study
from pairaug.phantom.truth import true_labels
from pairaug.readers import open_reader
from pairaug.readers.image_paths import locate
from pairaug.readers.normalize import absolute
from pairaug.readers.rows import file_sha256
from pairaug.stage import RunContext

DataSettings = PhantomData | RunData | ReadData | LabelTable

PHANTOM_FINDINGS = tuple(true_labels(()))
"""CheXpert's observations that phantoms can have."""

Aliases = Mapping[str, str]
"""A source's name of a finding → its name here."""


@dataclass(frozen=True, slots=True)
class Case:
    """One image with the labels of its source."""

    image: Callable[[], np.ndarray]
    """Loads the image: float32 in [0, 1], `height width`; `DataError` if it cannot be read."""
    patient_id: str = field(repr=False)
    labels: Mapping[str, float]
    """1 or 0; NaN if ignored: not stated, or left open."""
    report: str = field(default="", repr=False)
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Cases:
    """All cases of a source, in its order; each pass reads it again."""

    source: str
    findings: tuple[str, ...]
    """The keys of every case's labels."""
    stream: Callable[[], Iterator[Case]]
    hashes: Mapping[str, str]
    """Fingerprint of the source's state: of its tables or parts."""
    num: int | None = None
    """Number of cases, if known before reading."""
    tally: Counter[str] = field(default_factory=Counter)
    """Unusable images by reason, up to the current position of the last pass."""

    def __iter__(self) -> Iterator[Case]:
        self.tally.clear()
        return self.stream()


def open_cases(settings: DataSettings, aliases: Aliases | None = None) -> Cases:
    """The cases of the source in `settings`."""
    match settings:
        case PhantomData():
            cases = _phantoms(settings)
        case RunData():
            cases = _run(settings)
        case ReadData():
            cases = _read(settings)
        case LabelTable():
            cases = _table(settings)
    return _rename(cases, {finding_name(k): finding_name(v) for k, v in (aliases or {}).items()})


def chosen_findings(cases: Cases, wanted: Iterable[str]) -> tuple[str, ...]:
    """Those of a source's findings that are `wanted`, in that order; all if `wanted` is empty."""
    chosen = tuple(finding_name(name) for name in wanted) or cases.findings
    for name in chosen:
        if name not in cases.findings:
            near = difflib.get_close_matches(name, cases.findings, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise SettingsError(
                f"there are no labels of {name!r} in the data{hint} "
                f"It has: {', '.join(cases.findings)}"
            )
    return chosen


def label_value(state: int | bool | None, uncertain: Uncertain, unstated: Unstated) -> float:
    """Value of a stated label (1, 0, -1 uncertain, None): 1, 0, or NaN to ignore it."""
    if state is None:
        return 0.0 if unstated == "negative" else math.nan
    if state == -1:
        return {"ignore": math.nan, "positive": 1.0, "negative": 0.0}[uncertain]
    return float(state)


def _phantoms(settings: PhantomData) -> Cases:
    by_side = settings.labels == "by-side"

    def case(study: Study) -> Case:
        if by_side:
            states = zip(LABELS, label_vector(study.findings).tolist(), strict=True)
        else:
            states = ((name, float(is_so)) for name, is_so in true_labels(study.findings).items())
        return Case(
            lambda: study.render(settings.size).image,
            study.patient_id,
            dict(states),
            study.text,
        )

    def stream() -> Iterator[Case]:
        return (case(sample_study(settings.seed, i)) for i in range(settings.num_patients))

    findings = LABELS if by_side else PHANTOM_FINDINGS
    return Cases("phantom", findings, stream, {}, settings.num_patients)


def _run(settings: RunData) -> Cases:
    folder = settings.run / "read"
    parts = part_paths(folder)
    if not parts:
        raise DataError(
            f"{settings.run} has no pairs: it is not a run folder, or has not been read yet"
        )
    hashes = {"read": part_fingerprint(parts[0])}
    return _of_pairs("run", settings, lambda: read_pairs(folder), hashes)


def _read(settings: ReadData) -> Cases:
    def pairs() -> Iterator[Pair]:
        # A new reader for each pass, independent of what the last one recorded.
        return iter(open_reader(settings.read, RunContext(seed=0)))

    reader = open_reader(settings.read, RunContext(seed=0))
    return _of_pairs("read", settings, pairs, reader.describe().hashes)


def _of_pairs(
    source: str,
    settings: PairLabels,
    pairs: Callable[[], Iterable[Pair]],
    hashes: Mapping[str, str],
) -> Cases:
    tally: Counter[str] = Counter()

    def stream() -> Iterator[Case]:
        for pair in pairs():
            if settings.split not in ("all", pair.split) or pair.branch != "real":
                continue
            if pair.drop is not None or pair.image is None:
                tally[pair.drop.reason if pair.drop else "missing_image"] += 1
                continue
            text = pair.report.text
            states, unstated = pair.labels, settings.unstated
            if settings.labels == "report":
                states = report_labels(text)
                # A finding missing from the reading is not denied.
                unstated = unstated if is_english(text) else "ignore"
            labels = {name: label_value(states.get(name), "ignore", unstated) for name in FINDINGS}
            yield Case(_loader(pair.image), pair.patient_id, labels, text, pair.split)

    return Cases(source, FINDINGS, stream, hashes, tally=tally)


def _table(settings: LabelTable) -> Cases:
    findings = findings_of(settings)
    root = absolute(settings.root or settings.table.parent)
    if not root.is_dir():
        raise DataError(f"the folder of images {root} does not exist; set data.root")
    tally: Counter[str] = Counter()
    # Sources without this setting state every finding.
    unstated: Unstated = getattr(settings, "unstated", "ignore")

    def stream() -> Iterator[Case]:
        folders: dict[int, int] = {}
        for image in labelled_images(settings, findings):
            path = _find(root, image.paths, folders)
            if path is None:
                tally["missing_image"] += 1
                continue
            labels = {
                name: label_value(state, settings.uncertain, unstated)
                for name, state in image.labels.items()
            }
            yield Case(_loader(ImageRef(path=str(path))), image.patient_id, labels, "", image.split)

    hashes = {settings.table.name: file_sha256(settings.table)}
    name = str(getattr(settings, "layout", "table"))
    return Cases(name, findings, stream, hashes, tally=tally)


def _find(root: Path, candidates: tuple[Path, ...], hits: dict[int, int]) -> Path | None:
    """The first of `candidates` that is a file, trying the most frequent position first."""
    for index in sorted(range(len(candidates)), key=lambda each: -hits.get(each, 0)):
        path = absolute(root / locate(root, candidates[index]))
        if path.is_relative_to(root) and os.path.isfile(path):  # noqa: PTH113
            hits[index] = hits.get(index, 0) + 1
            return path
    return None


def _loader(image: ImageRef) -> Callable[[], np.ndarray]:
    return lambda: load_image(image)


def _rename(cases: Cases, aliases: Aliases) -> Cases:
    """`cases` with findings renamed; of several under one name, any present makes it present."""
    if not aliases:
        return cases
    unknown = [name for name in aliases if name not in cases.findings]
    if unknown:
        raise SettingsError(
            f"aliases names {unknown[0]!r}, which the data has no labels of. "
            f"It has: {', '.join(cases.findings)}"
        )
    findings = tuple(dict.fromkeys(aliases.get(name, name) for name in cases.findings))

    def renamed(case: Case) -> Case:
        labels: dict[str, float] = {}
        for name, value in case.labels.items():
            target = aliases.get(name, name)
            before = labels.get(target)
            labels[target] = value if before is None else _either(before, value)
        return Case(case.image, case.patient_id, labels, case.report, case.split)

    return Cases(
        cases.source,
        findings,
        lambda: map(renamed, cases.stream()),
        cases.hashes,
        cases.num,
        cases.tally,
    )


def _either(one: float, other: float) -> float:
    """Present if either is; absent only if both are."""
    if 1.0 in (one, other):
        return 1.0
    return math.nan if math.isnan(one) or math.isnan(other) else 0.0


def as_row(labels: Mapping[str, float], findings: Iterable[str]) -> list[Any]:
    """A case's labels in the order of `findings`."""
    return [labels[name] for name in findings]
