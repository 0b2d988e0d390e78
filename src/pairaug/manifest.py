"""Pairs on disk: a manifest is a folder of Parquet parts, one row per pair.

A part counts as done if its file exists, so it is written under a temporary name, flushed, and
renamed last. Its bytes depend only on the pairs and the fingerprint. The schema includes Hugging
Face features, so that `datasets.load_dataset("parquet", ...)` decodes the images.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pairaug.errors import RunError
from pairaug.pair import FINDINGS, SCORES, Branch, Drop, ImageRef, Pair, Report
from pairaug.system.atomic import write_file
from pairaug.system.json_text import JSONTextError, parse_json

FORMAT_VERSION = 3
"""Part of every fingerprint; increased when the layout or meaning of stored pairs changes."""

_PART_NAME = re.compile(r"part-(\d{5,})\.parquet")
_META = b"pairaug"

# `datasets` does not support Arrow maps, so maps are stored as structs of the fixed names, which
# read as dictionaries everywhere: row["labels"]["edema"] is 1, 0 or None.
_TEXT_COLUMNS_BEFORE = (
    "id",
    "parent_id",
    "branch",
    "patient_id",
    "source_patient_id",
    "split",
    "findings",
    "impression",
    "source_report",
)
_TEXT_COLUMNS_AFTER = ("drop_stage", "drop_reason", "drop_detail", "trace")


def _value(dtype: str) -> dict[str, Any]:
    return {"dtype": dtype, "_type": "Value"}


def _features() -> dict[str, Any]:
    """Columns as Hugging Face features, in the form that `datasets` stores in a schema."""
    vector = {"feature": _value("float32"), "_type": "List"}
    return {
        **{name: _value("string") for name in _TEXT_COLUMNS_BEFORE},
        "image": {"_type": "Image"},
        "image_sha256": _value("string"),
        "image_height": _value("int32"),
        "image_width": _value("int32"),
        "labels": {name: _value("int8") for name in FINDINGS},
        "scores": {name: _value("float64") for name in SCORES},
        "image_embedding": vector,
        "report_embedding": vector,
        "source_report_embedding": vector,
        **{name: _value("string") for name in _TEXT_COLUMNS_AFTER},
    }


def _schema() -> pa.Schema:
    text_before = [pa.field(name, pa.string()) for name in _TEXT_COLUMNS_BEFORE]
    text_after = [pa.field(name, pa.string()) for name in _TEXT_COLUMNS_AFTER]
    columns = [
        pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        pa.field("image_sha256", pa.string()),
        pa.field("image_height", pa.int32()),
        pa.field("image_width", pa.int32()),
        pa.field("labels", pa.struct([(name, pa.int8()) for name in FINDINGS])),
        pa.field("scores", pa.struct([(name, pa.float64()) for name in SCORES])),
        pa.field("image_embedding", pa.list_(pa.float32())),
        pa.field("report_embedding", pa.list_(pa.float32())),
        pa.field("source_report_embedding", pa.list_(pa.float32())),
    ]
    features = json.dumps({"info": {"features": _features()}})
    return pa.schema([*text_before, *columns, *text_after], metadata={"huggingface": features})


SCHEMA = _schema()

_KNOWN = {
    "branch": {branch.value for branch in Branch},
    "split": {"train", "validation", "test"},
}
_NEEDED = {"id", "patient_id"}
"""Columns without empty cells."""


def fingerprint(inputs: Mapping[str, Any], parent: str | None = None) -> str:
    """Hash of everything that determines a stage's output: `inputs` and `parent`'s fingerprint."""
    content = {"format": FORMAT_VERSION, "parent": parent, "inputs": inputs}
    return sha256(_canonical_json(content).encode()).hexdigest()


def part_path(folder: Path, index: int) -> Path:
    """Path of part `index` of a manifest."""
    return folder / f"part-{index:05d}.parquet"


def part_paths(folder: Path) -> list[Path]:
    """Paths of the finished parts, in order."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _PART_NAME.fullmatch(path.name))


def part_index(path: Path) -> int:
    """Index of a part, from its file name."""
    name = _PART_NAME.fullmatch(path.name)
    if name is None:
        raise ValueError(f"{path.name} is not the name of a part")
    return int(name[1])


def write_part(
    folder: Path,
    index: int,
    pairs: Iterable[Pair],
    fingerprint: str,
    *,
    is_last: bool = False,
) -> Path:
    """Writes a part to disk and returns its path.

    `is_last` marks the manifest's last part; a resumed run then knows that the whole source has
    been read.
    """
    rows = [_to_row(pair) for pair in pairs]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    return write_table(folder, index, table, fingerprint, is_last=is_last)


def write_table(
    folder: Path, index: int, table: pa.Table, fingerprint: str, *, is_last: bool = False
) -> Path:
    """Writes a part, as `write_part` does, from a table in the part's schema."""
    if not table.num_rows:
        raise ValueError("a part without pairs; `datasets` cannot load one")
    own = {"format": FORMAT_VERSION, "fingerprint": fingerprint, "is_last": is_last}
    metadata = {**(SCHEMA.metadata or {}), _META: _canonical_json(own).encode()}
    buffer = BytesIO()
    pq.write_table(
        table.replace_schema_metadata(metadata),
        buffer,
        compression="zstd",
        write_page_checksum=True,
    )
    path = part_path(folder, index)
    write_file(path, buffer.getvalue())
    return path


def read_part(path: Path) -> list[Pair]:
    """The pairs of a part, in order."""
    rows = _read_table(path, SCHEMA.names).to_pylist()
    try:
        return [_from_row(row) for row in rows]
    # Invalid cells: the file was changed since.
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _cannot_read(path, error) from error


def read_table(path: Path) -> pa.Table:
    """A part as a table, without building pairs."""
    return _read_table(path, SCHEMA.names)


def read_columns(path: Path, names: Sequence[str]) -> pa.Table:
    """Some columns of a part."""
    return _read_table(path, list(names))


def read_pairs(folder: Path) -> Iterator[Pair]:
    """Pairs of a manifest, part by part."""
    for path in part_paths(folder):
        yield from read_part(path)


def part_fingerprint(path: Path) -> str:
    """Fingerprint that a part was written with."""
    return _own_metadata(path)["fingerprint"]


def is_last_part(path: Path) -> bool:
    """True if the part is marked as the last of its manifest."""
    return _own_metadata(path)["is_last"]


def check_format(written: Any, run_folder: Path) -> None:
    """Raises `RunError` unless a run's files have the current format version."""
    if written == FORMAT_VERSION:
        return
    if isinstance(written, int) and written > FORMAT_VERSION:
        raise RunError(f"{run_folder} was written by a later PairAug; update this one to read it")
    raise RunError(
        f"{run_folder} was written by an earlier PairAug, in a layout that cannot "
        "be read any more. Run all stages again, from read on, with settings named as they "
        f"are now: pairaug run {run_folder / 'run.yaml'} --out NEW_FOLDER"
    )


def _read_table(path: Path, columns: list[str]) -> pa.Table:
    metadata = _metadata(path)
    own = (metadata.metadata or {}).get(_META)
    if own is not None:
        _checked(own, path)
    try:
        present = metadata.schema.to_arrow_schema()
        for name in columns:
            _check_column(path, name, present)
        table = pq.read_table(path, columns=columns, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise _cannot_read(path, error) from error
    for name in _KNOWN.keys() & set(columns):
        if not set(table[name].unique().to_pylist()) <= _KNOWN[name]:
            raise _foreign(path, name)
    for name in _NEEDED & set(columns):
        if table[name].null_count:
            raise _foreign(path, name)
    return table


def _check_column(path: Path, name: str, present: pa.Schema) -> None:
    if name not in present.names:
        raise RunError(f"{path} is not a part of a PairAug run: it has no column {name}")
    if not present.field(name).type.equals(SCHEMA.field(name).type):
        raise _foreign(path, name)


def _foreign(path: Path, name: str) -> RunError:
    return _cannot_read(path, TypeError(f"other values in {name}"))


def _metadata(path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise _cannot_read(path, error) from error


def _own_metadata(path: Path) -> dict[str, Any]:
    own = (_metadata(path).metadata or {}).get(_META)
    if own is None:
        raise RunError(f"{path} was not written by PairAug; move it out of the run folder")
    return _checked(own, path)


def _checked(own: bytes, path: Path) -> dict[str, Any]:
    """A part's metadata from `own`: format, fingerprint, and `is_last`.

    Raises `RunError` for another format version or other content.
    """
    try:
        content = parse_json(own)
    except JSONTextError as error:
        raise _cannot_read(path, error) from error
    if not isinstance(content, dict):
        raise _cannot_read(path, TypeError("not a JSON object"))
    check_format(content.get("format"), path.parent.parent)
    if not (
        isinstance(content.get("fingerprint"), str) and isinstance(content.get("is_last"), bool)
    ):
        raise _cannot_read(path, TypeError("values of other types"))
    return content


def trace_in(cell: str | None) -> dict[str, Any]:
    """The trace in a cell of a part; `RunError` if it was not written by PairAug."""
    try:
        return _trace(cell)
    except (JSONTextError, TypeError) as error:
        raise RunError(
            "a trace in a part of the run is not in PairAug's format; delete the stage's folder "
            "and those of the stages after it, and run the same command again"
        ) from error


def _trace(cell: str | None) -> dict[str, Any]:
    trace = parse_json(cell or "{}")
    if not isinstance(trace, dict) or not all(isinstance(one, dict) for one in trace.values()):
        raise TypeError("a trace that is not a JSON object of objects")
    return trace


def _to_row(pair: Pair) -> dict[str, Any]:
    _check_names(pair.labels, FINDINGS, "label")
    _check_names(pair.scores, SCORES, "score")
    image = pair.image
    return {
        "id": pair.id,
        "parent_id": pair.parent_id,
        "branch": pair.branch.value,
        "patient_id": pair.patient_id,
        "source_patient_id": pair.source_patient_id,
        "split": pair.split,
        "findings": pair.report.findings,
        "impression": pair.report.impression,
        "source_report": pair.source_report,
        "image": {"bytes": image.png, "path": image.path} if image else None,
        "image_sha256": image.sha256 if image else None,
        "image_height": image.height if image else None,
        "image_width": image.width if image else None,
        "labels": {name: _as_int(state) for name, state in pair.labels.items()},
        "scores": dict(pair.scores),
        "image_embedding": pair.image_embedding,
        "report_embedding": pair.report_embedding,
        "source_report_embedding": pair.source_report_embedding,
        "drop_stage": pair.drop.stage if pair.drop else None,
        "drop_reason": pair.drop.reason if pair.drop else None,
        "drop_detail": pair.drop.detail if pair.drop else None,
        "trace": _canonical_json(pair.trace),
    }


def bare_pair(row: Mapping[str, Any], image: ImageRef | None) -> Pair:
    """The pair of a row, in a part or an export, without scores, embeddings, trace and drop."""
    return Pair(
        id=row["id"],
        branch=Branch(row["branch"]),
        patient_id=row["patient_id"],
        report=Report(row["findings"] or "", row["impression"] or ""),
        split=row["split"],
        parent_id=row["parent_id"],
        source_patient_id=row["source_patient_id"],
        image=image,
        labels={name: bool(state) for name, state in _stated(row["labels"])},
    )


def _from_row(row: Mapping[str, Any]) -> Pair:
    return replace(
        bare_pair(row, _image_of(row)),
        scores=dict(_stated(row["scores"])),
        image_embedding=_vector(row["image_embedding"]),
        source_report=row["source_report"],
        report_embedding=_vector(row["report_embedding"]),
        source_report_embedding=_vector(row["source_report_embedding"]),
        trace=_trace(row["trace"]),
        drop=_drop_of(row),
    )


def _image_of(row: Mapping[str, Any]) -> ImageRef | None:
    image = row["image"]
    if image is None:
        return None
    return ImageRef(
        path=image["path"],
        png=image["bytes"],
        sha256=row["image_sha256"],
        height=row["image_height"],
        width=row["image_width"],
    )


def _drop_of(row: Mapping[str, Any]) -> Drop | None:
    if row["drop_stage"] is None:
        return None
    return Drop(row["drop_stage"], row["drop_reason"], row["drop_detail"] or "")


def _stated(values: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in (values or {}).items() if value is not None]


def _vector(values: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(values)


def _as_int(state: bool | None) -> int | None:
    return None if state is None else int(state)


def _check_names(values: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    for name in values:
        if name not in known:
            raise ValueError(f"unknown {what} {name!r}; the names are: {', '.join(known)}")


def _canonical_json(value: Any) -> str:
    """JSON with one form for equal values, so that equal pairs have equal bytes."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _cannot_read(path: Path, error: Exception) -> RunError:
    if isinstance(error, FileNotFoundError):
        return RunError(f"{path} does not exist")
    return RunError(
        f"{path} is damaged or cut short. Delete it and run the same command again: "
        "only this part is written again."
    )
