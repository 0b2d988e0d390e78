"""Runs: started from Python as by `pairaug run`, and opened as tables and images."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, lru_cache
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pairaug.api.html import Html, picture, side_by_side, table
from pairaug.api.images import as_pil
from pairaug.errors import DataError, MissingExtraError, RunError
from pairaug.imaging.io import load_image
from pairaug.manifest import SCHEMA, part_paths, read_columns, read_part
from pairaug.pair import Branch, Pair, Report
from pairaug.run.counts import outcomes
from pairaug.run.folder import RunFolder, folder_for, settings_file
from pairaug.run.stages import STAGES, is_work

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL import Image

    from pairaug.config import Settings
    from pairaug.record import RunRecord
    from pairaug.run.progress import ProgressReport

_EMBEDDINGS = ("image_embedding", "report_embedding", "source_report_embedding")
_PARTS_KEPT = 2


def run(
    config: str | Path | Mapping[str, Any] | Settings,
    out: str | Path | None = None,
    *,
    limit: int | None = None,
    progress: bool = True,
) -> Run:
    """The whole pipeline on the pairs, models and rules of a configuration: `pairaug run`.

    Stages that are done already are kept, so that the same call resumes a run.

    Args:
        config: A YAML file, the folder of a run, or settings as a dictionary, such as
            `{"preset": "demo"}`.
        out: The folder of the run. Default: `runs/NAME` for `NAME.yaml`; needed for a dictionary.
        limit: Read at most this many real pairs.
        progress: Show a progress bar in notebooks and terminals, and lines elsewhere.

    Raises:
        SettingsError: A setting is unknown or has a wrong value.
        DataError: The data cannot be read.
        ModelError: A model is missing or cannot be used.
        RunError: The folder holds a run with other settings.

    Examples:
        >>> run = pairaug.run({"preset": "demo"}, "runs/demo", limit=2)  # doctest: +SKIP
        >>> run.funnel()  # doctest: +SKIP
    """
    from pairaug.run import RunFolder
    from pairaug.run import run as run_stages
    from pairaug.run.device import import_tqdm

    import_tqdm()
    settings, folder = _settings(config, limit), _folder(config, out)
    with _progress(progress) as shown:
        run_stages(settings, RunFolder(folder), shown)
    return load_run(folder)


def load_run(folder: str | Path) -> Run:
    """A run that `pairaug.run` or `pairaug run` has written, finished or not.

    Args:
        folder: The folder of the run, such as `"runs/demo"`.

    Raises:
        RunError: The folder is not there, is not a run, or was written by another version.

    Examples:
        >>> run = pairaug.load_run("runs/demo")  # doctest: +SKIP
        >>> table = run.to_pandas()  # doctest: +SKIP
        >>> run.show(table.id[0])  # doctest: +SKIP
    """
    found = RunFolder(_path(folder, "folder"))
    if not found.settings_path.is_file():
        what = "is not a run: it has no run.yaml"
        if not found.path.is_dir():
            what = "is a file, not a run" if found.path.exists() else "does not exist"
        raise RunError(f"{folder} {what}; name the folder that was given to pairaug run --out")
    found.load_record()  # of another version, or damaged: said now
    return Run(found)


class Run:
    """A run on disk: see `load_run`. Nothing is loaded before it is asked for."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._part = lru_cache(_PARTS_KEPT)(_read_part)

    @property
    def path(self) -> Path:
        """The folder of the run."""
        return self._folder.path

    @property
    def summary_path(self) -> Path:
        """The page about the run; it is there once the run is finished."""
        return self._folder.result("summary")

    @property
    def stages(self) -> list[str]:
        """The stages that are complete, in order."""
        return [stage for stage in STAGES if self._folder.is_complete(stage)]

    @property
    def record(self) -> RunRecord:
        """The content of run.json: seed, versions, weights, counts and times."""
        return self._folder.load_record()

    def to_pandas(self, stage: str | None = None, *, embeddings: bool = False) -> DataFrame:
        """The pairs of a stage as a table, one row for each pair, dropped ones too.

        Columns: `id`, `parent_id`, `branch`, `patient_id`, `source_patient_id`, `split`, `report`
        (impression and findings joined), `findings`, `impression`, `source_report`, `image_path`,
        `image_height`, `image_width`, `label_*` (1, 0, or null where not stated), `score_*`
        (cosines), `drop_stage`, `drop_reason`, `drop_detail` (null for a pair that is kept) and
        `trace` (JSON). Images are not loaded: see `image`.

        Args:
            stage: `read`, `rewrite`, `generate`, `edit`, `score` or `prune`. Default: the last one
                that is complete. Of an unfinished stage, the parts that are done.
            embeddings: Add the scorer's unit vectors, one array in each row.

        Raises:
            RunError: The stage is unknown or has not been run.
            MissingExtraError: pandas is not installed.
        """
        needs_pandas("a table of a run")
        without = {"image", "image_sha256", *(() if embeddings else _EMBEDDINGS)}
        names = [name for name in SCHEMA.names if name not in without]
        tables = []
        for path in self._parts(stage):
            columns = read_columns(path, names)
            # Of the images their paths alone: synthetic ones are bytes in the same column.
            paths = pq.ParquetFile(path).read(columns=["image.path"]).flatten()["image.path"]
            tables.append(columns.append_column("image_path", paths))
        flat = _flat(pa.concat_tables(tables)).to_pandas()
        texts = zip(flat["findings"].fillna(""), flat["impression"].fillna(""), strict=True)
        flat.insert(
            flat.columns.get_loc("findings"), "report", [Report(*each).text for each in texts]
        )
        flat.insert(flat.columns.get_loc("image_height"), "image_path", flat.pop("image_path"))
        return flat

    def pair(self, id: str, stage: str | None = None) -> Pair:
        """A pair with its scores, its trace and the reason that it was dropped for.

        Raises:
            DataError: No pair of the stage has this id.
        """
        return self._family(id, stage)[id]

    def image(self, id: str, stage: str | None = None) -> Image.Image:
        """The image of a pair, mode "L" (8 bits), at its own size.

        Raises:
            DataError: No pair has this id, the pair has no image, or its file is missing or has
                changed.
        """
        image = self.pair(id, stage).image
        if image is None:
            raise DataError("this pair has no image; its drop_reason in the table says why")
        return as_pil(load_image(image))

    def show(self, id: str, stage: str | None = None) -> Html:
        """A pair between its parent and its children, with images, reports and scores, as HTML.

        Make it the last line of a notebook's cell.

        Raises:
            DataError: No pair of the stage has this id.
        """
        pairs = self._family(id, stage)
        parent = pairs.get(pairs[id].parent_id or "")
        children = [pair for pair in pairs.values() if pair.parent_id == id]
        shown = [("parent", parent), ("", pairs[id]), *(("child", child) for child in children)]
        return Html(side_by_side(_card(role, pair) for role, pair in shown if pair is not None))

    def funnel(self) -> DataFrame:
        """The numbers of pairs that each stage kept and dropped, by branch, with the reasons.

        Columns: `stage`, `branch`, `kept`, `dropped`, `reasons`; one row for each branch that a
        stage works on.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        needs_pandas("a table of a run")
        from pandas import DataFrame

        return DataFrame(self._funnel(), columns=["stage", "branch", "kept", "dropped", "reasons"])

    def __reduce__(self) -> tuple[Any, ...]:
        return load_run, (self.path,)

    def __repr__(self) -> str:
        last = self.stages[-1] if self.stages else "no stage"
        return f"Run({str(self.path)!r}, complete up to {last})"

    def _repr_html_(self) -> str:
        return f"<b>{escape(repr(self))}</b>" + table(
            ("stage", "branch", "kept", "dropped", "reasons"), self._funnel()
        )

    def _funnel(self) -> Iterator[tuple[str, str, int, int, str]]:
        seen: set[str] = set()
        for stage in STAGES:
            kept: defaultdict[str, int] = defaultdict(int)
            dropped: defaultdict[str, dict[str, int]] = defaultdict(dict)
            parts = part_paths(self._folder.stage(stage))
            for branch, drop_stage, reason, number in outcomes(parts):
                if drop_stage is None:
                    kept[branch] += number
                elif drop_stage == stage:
                    dropped[branch][reason] = dropped[branch].get(reason, 0) + number
            for branch in Branch:
                is_new = branch not in seen and (branch in kept or branch in dropped)
                if is_new or branch in dropped or (branch in kept and is_work(stage, branch)):
                    reasons = sorted(dropped[branch].items(), key=lambda each: -each[1])
                    words = ", ".join(f"{reason} {number}" for reason, number in reasons)
                    yield stage, str(branch), kept[branch], sum(dropped[branch].values()), words
                    seen.add(branch)

    def _parts(self, stage: str | None) -> list[Path]:
        """The parts of a stage that are done; `RunError` where there are none."""
        if stage is not None and stage not in STAGES:
            raise RunError(f"there is no stage {stage!r}; the stages are: {', '.join(STAGES)}")
        chosen = stage or (self.stages[-1] if self.stages else STAGES[0])
        parts = part_paths(self._folder.stage(chosen))
        if not parts:
            raise RunError(f"{self.path} has no {chosen} yet; run: pairaug run {self.path}")
        return parts

    def _family(self, id: str, stage: str | None) -> dict[str, Pair]:
        """The pairs of the part that has the pair `id`: its parent and its children are in it."""
        parts = self._parts(stage)
        index = self._index if stage is None else _index(parts)
        if not isinstance(id, str) or id not in index:
            raise DataError(
                f"no pair of {self.path} has this id; the column id of run.to_pandas() lists them"
            )
        return self._part(index[id])

    @cached_property
    def _index(self) -> dict[str, Path]:
        return _index(self._parts(None))


def needs_pandas(what: str) -> None:
    """Raises `MissingExtraError` where pandas is not installed."""
    if find_spec("pandas") is None:
        raise MissingExtraError(what, "pandas", "notebook")


def _index(parts: list[Path]) -> dict[str, Path]:
    """Id → the part that has it."""
    return {id: path for path in parts for id in read_columns(path, ["id"])["id"].to_pylist()}


def _read_part(path: Path) -> dict[str, Pair]:
    return {pair.id: pair for pair in read_part(path)}


def _flat(columns: pa.Table) -> pa.Table:
    """`labels` and `scores` as columns of their own."""
    prefixes = {"labels.": "label_", "scores.": "score_"}
    flat = columns.flatten()
    names = flat.column_names
    for before, after in prefixes.items():
        names = [
            name.replace(before, after).replace(" ", "_") if name.startswith(before) else name
            for name in names
        ]
    # As floats: a column without nulls would otherwise be of integers, and its neighbour not.
    types = [
        pa.field(name, pa.float64() if name.startswith("label_") else field.type)
        for name, field in zip(names, flat.schema, strict=True)
    ]
    return flat.rename_columns(names).cast(pa.schema(types))


def _card(role: str, pair: Pair) -> str:
    """A pair as a picture with its report, its scores and why it was dropped."""
    image = as_pil(np.zeros((8, 8)) if pair.image is None else load_image(pair.image))
    title = f"{role}, {pair.branch}" if role else str(pair.branch)
    scores = [f"{name} {value:.3f}" for name, value in pair.scores.items() if value is not None]
    drop = [] if pair.drop is None else [f"dropped: {pair.drop.reason} {pair.drop.detail}".strip()]
    lines = [pair.id, pair.report.text, *scores, *drop]
    return picture(image, title, "\n".join(lines))


def _settings(config: str | Path | Mapping[str, Any] | Settings, limit: int | None) -> Settings:
    from pairaug.config import Settings, load_settings, settings_of
    from pairaug.config.layers import Layer, validate

    if isinstance(config, Settings):
        settings = config
    elif isinstance(config, Mapping):
        settings = settings_of(config, "pairaug.run")
    else:
        settings = load_settings(settings_file(_path(config, "config")))
    if limit is None:
        return settings
    before = Layer("the settings", settings.model_dump(mode="json"))
    return validate(Settings, [before, Layer("pairaug.run", {"limit": limit})])


def _path(given: Any, name: str) -> Path:
    if not isinstance(given, str | Path) or not str(given):
        shown = type(given).__name__ if given else repr(given)
        raise RunError(f"{name} is {shown}; pass a path")
    return Path(given).expanduser()


def _folder(config: str | Path | Mapping[str, Any] | Settings, out: str | Path | None) -> Path:
    if out is not None:
        return _path(out, "out")
    if not isinstance(config, str | Path):
        raise RunError("settings from no file need a folder: pairaug.run(settings, out=…)")
    return folder_for(settings_file(Path(config)))


def _progress(is_shown: bool) -> AbstractContextManager[ProgressReport | None]:
    """A bar in a notebook or on a terminal, lines elsewhere, or nothing."""
    if not is_shown:
        return nullcontext(None)
    from rich.console import Console

    from pairaug.run.progress import BarProgress, LineProgress, NotebookProgress

    console = Console(stderr=True)
    if console.is_jupyter:
        return NotebookProgress()
    if console.is_terminal:
        return BarProgress(console)
    return LineProgress(lambda line: print(line, file=sys.stderr))  # noqa: T201
