"""What the tests of exports share: families of pairs, a recipe, and an export of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pairaug.export import Export, ExportReport, ExportSettings
from pairaug.export.subset import Outline
from pairaug.imaging.io import png_ref, sha256
from pairaug.pair import Branch, ImageRef, Pair, Report
from pairaug.stage import RunContext

RECIPE: Mapping[str, Any] = {
    "pairaug": {"version": "0.1.0"},
    "seed": 7,
    "source": {
        "name": "covid",
        "license": "CC BY-NC-SA\n4.0",
        "access": "credentialed",
        "citation": "Somebody 2020",
        "hashes": {"reports.csv": "feed"},
    },
    "weights": {"score": {"bundled": "abc123"}, "edit": {"/home/somebody/models/roentgen": "def"}},
    "rule": {"inter": {"rule": "threshold", "bounds": {"image_report": 0.3}}},
    "counts": {
        "read": {"in": 9, "created": 9, "living": {"real": 8}, "dropped": {"empty_report": 1}},
        "prune": {"in": 16, "created": 0, "living": {"real": 8}, "dropped": {"below_threshold": 5}},
    },
    "fingerprints": {
        "edit": {
            "inputs": {
                "edit.num_inference_steps": 50,
                "edit.model": "/home/somebody/models/roentgen",
                "seed": 7,
            }
        },
        "rewrite": {"inputs": {"rewrite.base_url": "https://llm.hospital.example"}},
    },
    "seconds": {"edit": 12.5},
}
PUBLIC: Mapping[str, Any] = {
    **RECIPE,
    "source": {"name": "open", "license": "CC0", "access": "public"},
}
ALL = ("webdataset", "parquet", "huggingface", "folder", "chexzero")


@dataclass(frozen=True)
class Pairs:
    """Pairs in memory, as an export wants them."""

    pairs: Sequence[Pair]

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.pairs)

    def outlines(self) -> Iterator[Outline]:
        for pair in self.pairs:
            if pair.drop is None:
                yield Outline(pair.id, pair.branch.value, pair.split)


def grey(seed: int, height: int = 24, width: int = 20) -> np.ndarray:
    """An image of noise."""
    return np.random.default_rng(seed).random((height, width)).astype(np.float32)


def real(folder: Path, index: int, split: str = "train", suffix: str = "jpg") -> Pair:
    """A real pair with an image on disk."""
    path = folder / f"image {index}.{suffix}"
    Image.fromarray((grey(index) * 255).astype(np.uint8)).save(path)
    return Pair(
        f"covid/{index:04d}.1",
        Branch.REAL,
        f"p{index}",
        Report("Größe normal.", "No change."),
        split=split,
        image=ImageRef(path=str(path), sha256=sha256(path.read_bytes())),
        labels={"edema": True, "fracture": False, "pneumonia": None},
        scores={"image_report": 0.41},
    )


def family(folder: Path, index: int, split: str = "train") -> list[Pair]:
    """A real pair and a child of each branch."""
    parent = real(folder, index, split)
    inter = parent.child(
        "inter-0",
        branch=Branch.INTER,
        source_report=parent.report.text,
        report=Report("new patient"),
    )
    intra = parent.child(
        "intra-0",
        branch=Branch.INTRA,
        source_report=parent.report.text,
        report=Report("changed", "Worse."),
    )
    scores = {"image_report": 0.3, "image_image": 0.9, "directional": 0.5}
    return [
        parent,
        inter.with_image(png_ref(grey(100 + index))),
        replace(intra, scores=scores).with_image(png_ref(grey(200 + index))),
    ]


def families(folder: Path) -> list[Pair]:
    """Five families: three to train on, one for validation, one to test on."""
    folder.mkdir(parents=True, exist_ok=True)
    splits = ("train", "train", "validation", "train", "test")
    return [pair for index, split in enumerate(splits) for pair in family(folder, index, split)]


def export(
    folder: Path,
    pairs: Sequence[Pair],
    recipe: Mapping[str, Any] = PUBLIC,
    again: Sequence[str] | None = None,
    **settings: Any,
) -> ExportReport:
    """An export of `pairs` to `folder`."""
    stage = Export(ExportSettings.model_validate(settings), RunContext(seed=0))
    return stage.write(Pairs(pairs), folder, recipe, again)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
