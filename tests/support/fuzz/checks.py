"""What reads each kind of input as a run reads it; a child process imports and calls these.

A new reader is one more entry in `layout_trees.TREES`; another kind of input is one function here.
"""

from __future__ import annotations

import gzip
import io
import json
import logging
import os
import struct
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.tag import Tag
from pydicom.uid import UID

from pairaug.config import Settings, as_yaml, load_settings
from pairaug.errors import PairAugError
from pairaug.findings import extract, is_english, report_labels
from pairaug.imaging.files import ImageError
from pairaug.imaging.inspect import inspect_image
from pairaug.manifest import is_last_part, part_fingerprint, read_part, read_table, write_part
from pairaug.pair import Branch, Pair
from pairaug.readers import ReadSettings, open_reader
from pairaug.readers.plain import report_of_plain
from pairaug.readers.sections import report_of, sections_of
from pairaug.readers.text import stated_report
from pairaug.rewrite import Rewrite, RewriteSettings
from pairaug.rewrite.cleaning import clean, source_report
from pairaug.run.quality import assess
from pairaug.stage import RunContext
from support.dicom_images import dataset_of
from support.fuzz.bounded import FOLDER
from support.fuzz.strategies import DICOM_VALUES, Change, Damage, changed, damaged
from support.layout_trees import TREES
from support.planted_trees import MARK, PLANTED, table

_READ = TypeAdapter(ReadSettings)
CONTEXT = RunContext(seed=0, num_workers=1)

SOURCES = {**TREES, **{f"planted-{name}": write for name, write in PLANTED.items()}}
"""Name → what writes its tree: a reader without one fails `test_planted_texts`."""


def read_source(values: dict[str, Any]) -> str:
    """Reads a source as `pairaug run` does, and what came of it as the next stage would.

    No message, traceback or line of the log has a planted text in it.
    """
    said: list[str] = []
    try:
        with _heard(said):
            return _read(values, said)
    except PairAugError:
        said.append(traceback.format_exc())
        raise
    finally:
        told = MARK.search("\n".join(said))
        assert not told, "\n".join(said)


def _read(values: dict[str, Any], said: list[str]) -> str:
    reader = open_reader(_READ.validate_python(values), CONTEXT)
    said.append(str(reader.describe()))
    pairs = list(reader)
    if not pairs:
        return "nothing"
    said += [f"{pair.drop.reason} {pair.drop.detail}" for pair in pairs if pair.drop]
    with tempfile.TemporaryDirectory() as folder:
        path = write_part(Path(folder), 0, pairs, "f", is_last=True)
        said.append(str(assess([path])))
        check_pairs(read_part(path))
    return "data" if any(pair.drop is None for pair in pairs) else "drops"


@contextmanager
def _heard(said: list[str]) -> Iterator[None]:
    """Adds to `said` what is logged: all of PairAug's own lines, and the libraries' warnings."""
    listener = logging.Handler(logging.DEBUG)
    listener.emit = lambda record: said.append(record.getMessage())
    own, root = logging.getLogger("pairaug"), logging.getLogger()
    own.setLevel(logging.DEBUG)
    root.setLevel(logging.WARNING)
    root.addHandler(listener)
    try:
        yield
    finally:
        root.removeHandler(listener)


def check_pairs(pairs: Sequence[Pair]) -> None:
    """What all pairs keep to, whatever they were read from."""
    assert len({pair.id for pair in pairs}) == len(pairs)
    for pair in pairs:
        assert pair.split in ("train", "validation", "test")
        assert pair.patient_id
        assert pair.drop is None or pair.drop.reason


def damaged_tree(case: tuple[str, int, bool, tuple[Damage, ...]]) -> str:
    """A tree with one of its files damaged, packed ones inside too; it is as it was afterwards."""
    name, place, is_inside, damages = case
    values, files = _tree(name)
    path = files[place % len(files)]
    content = path.read_bytes()
    if is_inside and path.suffix == ".gz":
        path.write_bytes(gzip.compress(damaged(gzip.decompress(content), damages)))
    else:
        path.write_bytes(damaged(content, damages))
    try:
        return read_source(values)
    finally:
        path.write_bytes(content)


@cache
def _tree(name: str) -> tuple[dict[str, Any], list[Path]]:
    root = _new_folder() / name
    values = SOURCES[name](root)
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink()]
    return values, files


def _new_folder() -> Path:
    return Path(tempfile.mkdtemp(dir=os.environ[FOLDER]))


def foreign_cells(case: tuple[str, dict[str, Any]]) -> str:
    """A table with values of other types, or other texts, in the cells of some columns."""
    suffix, cells = case
    with tempfile.TemporaryDirectory(dir=os.environ[FOLDER]) as folder:
        try:
            values = table(Path(folder), suffix, **cells)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return "no table"
        return read_source(values)


def image(content: bytes) -> str:
    """An image file, or a DICOM file."""
    try:
        return (
            inspect_image(content, ".dcm" if content[128:132] == b"DICM" else ".png").image_defect
            or "data"
        )
    except ImageError as error:
        return error.reason


def foreign_dicom(places: dict[str, int]) -> str:
    """A DICOM file whose elements have other values; `places` choose among those there are."""
    dataset, texts = dataset_of(), []
    for name, place in sorted(places.items()):
        value = DICOM_VALUES[name][place % len(DICOM_VALUES[name])]
        tag = Tag(tag_for_keyword(name) or 0)
        if name == "TransferSyntax":
            dataset.file_meta.TransferSyntaxUID = UID(value)
        elif isinstance(value, str):
            # Written as text of any kind, and called what it is afterwards: pydicom would refuse.
            dataset[tag] = DataElement(tag, "LO", value)
            texts.append((struct.pack("<HH", tag.group, tag.element), dictionary_VR(tag).encode()))
        else:
            setattr(dataset, name, value)
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset.save_as(buffer, enforce_file_format=True)
    except (ValueError, TypeError, OSError, AttributeError, LookupError, struct.error):
        return "no file"
    content = buffer.getvalue()
    for named, kind in texts:
        content = content.replace(named + b"LO", named + kind)
    return image(content)


def report_text(text: str) -> str:
    """A report's text, through its sections, findings and cleaning to rewriting by rules."""
    report_of(sections_of(text))
    report = stated_report(report_of_plain(text, "findings"))
    labels = report_labels(report.text)
    clean(report.text)
    extract(source_report(report.text, 50))
    is_english(report.text)
    pair = Pair("x/1", Branch.REAL, "p", report, split="train", labels=labels)
    pair = pair.with_trace("read", access="public")
    settings = RewriteSettings(backend="rules", min_words=1)
    children = list(Rewrite(settings, CONTEXT)([pair]))
    with tempfile.TemporaryDirectory() as folder:
        read_part(write_part(Path(folder), 0, children, "f"))
    return "data" if any(child.drop is None for child in children) else "drops"


def settings_text(content: bytes) -> str:
    """A settings file; what is accepted reads back to the same."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "settings.yaml")
        path.write_bytes(content)
        settings = load_settings(path)
        _reads_back(settings, path)
    return "data"


def settings_on_top(overrides: list[str]) -> str:
    """Values of `--set`."""
    settings = load_settings(preset="demo", overrides=overrides)
    with tempfile.TemporaryDirectory() as folder:
        _reads_back(settings, Path(folder, "settings.yaml"))
    return "data"


def _reads_back(settings: Settings, path: Path) -> None:
    path.write_text(as_yaml(settings), encoding="utf-8")
    assert as_yaml(load_settings(path)) == path.read_text(encoding="utf-8")


def damaged_part(case: tuple[bytes, tuple[Damage, ...]]) -> str:
    """A run's part."""
    content, damages = case
    return _part_in(damaged(content, damages))


def _part_in(content: bytes) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "part-00000.parquet")
        path.write_bytes(content)
        pairs = read_part(path)
        read_table(path)
        part_fingerprint(path)
        is_last_part(path)
        assess([path])
    return "data" if pairs else "nothing"


def foreign_part(case: tuple[Any, dict[str, Any], bytes]) -> str:
    """A part whose columns, or what it says of itself, hold something else."""
    content, cells, own = case
    table = pq.read_table(io.BytesIO(content))
    for name, value in cells.items():
        place = table.schema.get_field_index(name)
        try:
            column = pa.array([value] * len(table))
        except (pa.ArrowException, OverflowError, ValueError, TypeError):
            continue
        table = table.set_column(place, name, column)
    metadata = {**(table.schema.metadata or {})}
    if own:
        metadata[b"pairaug"] = own
    buffer = io.BytesIO()
    try:
        pq.write_table(table.replace_schema_metadata(metadata), buffer)
    except pa.ArrowException:
        return "no part"
    return _part_in(buffer.getvalue())


def json_file(case: tuple[str, Any, Any]) -> str:
    """One of PairAug's own JSON files, with other values or bytes in it."""
    kind, content, changes = case
    if isinstance(content, bytes):
        content = damaged(content, changes)
    else:
        content = _as_bytes(changed(content, changes))
    with tempfile.TemporaryDirectory() as folder:
        return _OWN_FILES[kind](Path(folder), content)


def _run_record(folder: Path, content: bytes) -> str:
    from pairaug.record import read_record
    from pairaug.run.quality import is_current

    (folder / "run.json").write_bytes(content)
    record = read_record(folder / "run.json")
    assert record is not None
    record.write(folder / "again.json")
    is_current(record.quality)
    return "data"


def _export_report(folder: Path, content: bytes) -> str:
    from pairaug.export import formats_in

    (folder / "export.json").write_bytes(content)
    formats_in(folder)
    return "data"


_OWN_FILES: dict[str, Callable[[Path, bytes], str]] = {
    "run.json": _run_record,
    "export.json": _export_report,
}


def llm_body(case: tuple[int, bytes]) -> str:
    """A language-model server's answer, through what reads it."""
    from pairaug.rewrite.backends import Answer, Failure
    from pairaug.rewrite.completion import Completion, read_completion
    from pairaug.rewrite.known import LackError
    from pairaug.rewrite.refusals import ServerError, error_of_response, failure_of
    from pairaug.rewrite.structured import read_answer

    status, content = case
    body = {"messages": [{"role": "system"}], "max_tokens": 3, "seed": 1, "response_format": {}}
    told: Any
    told = read_completion(content)[0] if status == 200 else error_of_response(status, content)
    try:
        if isinstance(told, ServerError):
            told = failure_of(told, body, "host")
    except LackError:
        return "lack"
    if isinstance(told, Completion):
        told = read_answer(told.text)
    if isinstance(told, Answer):
        told.report.text.encode()
        return "data"
    assert isinstance(told, Failure)
    return str(told.reason)


def recording(content: bytes) -> str:
    """Recorded answers, and the cache's."""
    from pairaug.rewrite.replay import Recording

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "answers.jsonl")
        path.write_bytes(content)
        Recording(path)
    return "data"


def model_folder(case: tuple[str, int, tuple[Any, ...]]) -> str:
    """A model with one file that is damaged, or whose JSON says something else."""
    kind, place, changes = case
    folder, files = _model(kind)
    path = files[place % len(files)]
    content = path.read_bytes()
    if changes and isinstance(changes[0], Change):
        if path.suffix != ".json":
            return "no JSON"
        path.write_bytes(_as_bytes(changed(json.loads(content), changes)))
    else:
        path.write_bytes(damaged(content, changes))
    try:
        return _MODELS[kind](folder)
    finally:
        path.write_bytes(content)


@cache
def _model(kind: str) -> tuple[Path, list[Path]]:
    if kind == "scorer":
        from support.tiny_clip import write_clip

        folder = write_clip(_new_folder() / kind)
    else:
        from support.tiny_generator import write_generator

        folder = write_generator(_new_folder() / kind)
    return folder, [path for path in sorted(folder.rglob("*")) if path.is_file()]


def _as_bytes(tree: Any) -> bytes:
    return json.dumps(tree).encode("utf-8", "surrogatepass")


def _scorer(folder: Path) -> str:
    from pairaug.clip.encoders import check_scorer, open_encoder

    check_scorer(folder)
    open_encoder(folder).encode_reports(["small effusion"])
    return "data"


def _generator(folder: Path) -> str:
    from pairaug.diffusion.checks import check_generator
    from pairaug.diffusion.pipeline import load_pipeline

    check_generator(folder)
    load_pipeline(folder)
    return "data"


_MODELS = {"scorer": _scorer, "generator": _generator}
