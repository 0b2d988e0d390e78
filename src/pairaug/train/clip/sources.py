"""Sources of training pairs: runs, exports and readers, and the choice of their pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from pairaug.errors import DataError
from pairaug.manifest import (
    bare_pair,
    is_last_part,
    part_fingerprint,
    part_index,
    part_paths,
    read_pairs,
)
from pairaug.pair import Drop, ImageRef, Pair
from pairaug.readers import ReadSettings, open_reader
from pairaug.readers.tars import items_of
from pairaug.settings import StageSettings
from pairaug.stage import RunContext
from pairaug.system.json_text import JSONTextError, parse_json

BranchName = Literal["real", "inter", "intra"]
BRANCHES: tuple[BranchName, ...] = ("real", "inter", "intra")
_IMAGES = ("png", "jpg", "jpeg")
STAGES = ("prune", "score", "edit", "generate", "rewrite", "read")


class PairSource(StageSettings):
    """Pairs of a run, of an export or of a dataset."""

    run: Path | None = Field(
        default=None, description="Run folder; its last complete stage supplies the pairs."
    )
    export: Path | None = Field(
        default=None, description="Folder of an export, Parquet or WebDataset."
    )
    read: ReadSettings | None = Field(
        default=None, description="Dataset, with the settings of `read` in a run."
    )
    branches: tuple[BranchName, ...] = Field(
        default=BRANCHES, min_length=1, description="Branches to use."
    )
    split: Literal["train", "validation", "test"] = Field(
        default="train", description="Split to use."
    )
    keep: Literal["kept", "all"] = Field(
        default="kept",
        description="Pairs to use: `kept`, or `all`, which adds synthetic pairs dropped by "
        "pruning; pairs dropped by an earlier stage are never used.",
    )
    weight: float = Field(
        default=1.0, gt=0, description="Number of times each pair is in an epoch, on average."
    )
    max_pairs: int | None = Field(
        default=None, ge=1, description="Use at most N pairs, chosen by a hash of their ids."
    )
    subset_seed: int | None = Field(
        default=None,
        ge=0,
        description="Seed of the choice for `max_pairs`; null: that of training.",
    )

    @model_validator(mode="after")
    def _is_one(self) -> PairSource:
        given = [name for name in ("run", "export", "read") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "each of sources is a run, an export or a read: give one of the three, "
                f"not {' and '.join(given) or 'none'}"
            )
        return self

    @property
    def where(self) -> str:
        """Name of the source for messages."""
        if self.read is not None:
            return f"the {self.read.layout} source"
        return str(self.run or self.export)


def identity_of(source: PairSource, seed: int) -> dict[str, Any]:
    """Identity of a source's pairs before filtering."""
    if source.run is not None:
        stage = run_stage(source.run)
        fingerprints = sorted({part_fingerprint(path) for path in part_paths(stage)})
        return {
            "run": str(stage.resolve()),
            "parts": len(part_paths(stage)),
            "fingerprints": fingerprints,
        }
    if source.export is not None:
        files = _export_files(source.export)
        records = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
        return {"export": str(source.export.resolve()), "files": records}
    assert source.read is not None
    provenance = open_reader(source.read, RunContext(seed)).describe()
    identity = {"read": source.read.model_dump(mode="json"), "hashes": dict(provenance.hashes)}
    # Phantoms without a seed are sampled from that of training.
    randomness = getattr(source.read, "seed", 0) is None
    return {**identity, "seed": seed} if randomness else identity


def pairs_of(source: PairSource, seed: int) -> Iterator[Pair]:
    """All pairs of a source, including dropped ones and those of other splits."""
    if source.run is not None:
        return read_pairs(run_stage(source.run))
    if source.export is not None:
        return _read_export(source.export)
    assert source.read is not None
    return iter(open_reader(source.read, RunContext(seed)))


def run_stage(run: Path) -> Path:
    """Folder of the last complete stage of a run."""
    for name in STAGES:
        parts = part_paths(run / name)
        if parts and is_last_part(parts[-1]) and part_index(parts[-1]) + 1 == len(parts):
            return run / name
    raise DataError(f"{run} has no stage folder with pairs: is it a run folder?")


def is_used(row: Mapping[str, Any], source: PairSource) -> bool:
    """True if the source's settings select the pair of a row."""
    if row["split"] != source.split or row["branch"] not in source.branches:
        return False
    if row["drop_stage"] is None:
        return True
    return source.keep == "all" and row["drop_stage"] == "prune" and row["branch"] != "real"


def subset(ids: list[str], count: int, seed: int) -> list[int]:
    """Positions of `count` ids by the order of their hashes: smaller subsets are in larger ones."""

    def digest(position: int) -> bytes:
        return blake2b(f"{seed}\0{ids[position]}".encode(), digest_size=16).digest()

    return sorted(sorted(range(len(ids)), key=digest)[:count])


def _export_files(export: Path) -> list[Path]:
    parquet = sorted(export.glob("parquet/*.parquet")) or sorted(export.glob("*.parquet"))
    files = parquet or sorted(export.glob("webdataset/*.tar")) or sorted(export.glob("*.tar"))
    if not files:
        raise DataError(
            f"{export} has neither Parquet files nor WebDataset shards: is it an export?"
        )
    return files


def _read_export(export: Path) -> Iterator[Pair]:
    for path in _export_files(export):
        if path.suffix == ".parquet":
            yield from _of_parquet(path)
        else:
            yield from _of_shard(path)


def _of_parquet(path: Path) -> Iterator[Pair]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=64):
                for row in batch.to_pylist():
                    yield _exported_pair(row, row["image"]["bytes"])
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
        # Not chained: the error may quote a row.
        raise DataError(
            f"{path} is damaged or not a PairAug export; export the run again"
        ) from None


def _of_shard(path: Path) -> Iterator[Pair]:
    """Pairs of a tar; the members of a pair are adjacent, in any order."""
    for item in items_of(path, frozenset({"json", *_IMAGES})):
        image = next((item.members[name] for name in _IMAGES if name in item.members), None)
        try:
            record = parse_json(item.members.get("json", b"null"))
        except JSONTextError:
            record = None
        if item.is_too_large or not isinstance(record, dict):
            raise DataError(f"{item.where} is not from a PairAug export; export the run again")
        if image is not None:
            yield _exported_pair(record, image)


def _exported_pair(row: Mapping[str, Any], image: bytes) -> Pair:
    return bare_pair(row, ImageRef(png=image, sha256=sha256(image).hexdigest()))


def drop_of(pair: Pair) -> Drop | None:
    """The reason why a pair is never used for training, or why it was dropped from its run."""
    if pair.drop is None and pair.image is None:
        return Drop("train", "no_image")
    if pair.drop is None and not pair.report.text:
        return Drop("train", "empty_report")
    return pair.drop
