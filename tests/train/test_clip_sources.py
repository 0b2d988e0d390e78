"""Pairs from runs, exports and readers; patients that stay in their split."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairaug.errors import DataError, SettingsError
from pairaug.export import Export, ExportSettings
from pairaug.export.pair_stream import PartPairs
from pairaug.imaging.io import fit_square, load_image, png_ref
from pairaug.manifest import write_part
from pairaug.pair import Branch, Pair, Report
from pairaug.stage import RunContext
from pairaug.train.clip import ClipSettings
from pairaug.train.clip.pairs import TrainingPairs, open_pairs
from pairaug.train.clip.sources import PairSource, pairs_of
from pairaug.train.image_dataset import as_bytes


def pair(number: int, split: str = "train", size: int = 32) -> Pair:
    image = np.random.default_rng(number).random((size, size + 8), dtype=np.float32)
    return Pair(
        id=f"made/{number}",
        branch=Branch.REAL,
        patient_id=f"p{number}",
        report=Report(f"Findings {number}.", f"Impression {number}."),
        split=split,
        image=png_ref(image),
    )


def synthetic_pairs() -> list[Pair]:
    """Six real pairs, of which one is for validation, and their children."""
    real = [pair(number, "validation" if number == 5 else "train") for number in range(6)]
    children = []
    for number, parent in enumerate(real[:4]):
        for branch in (Branch.INTER, Branch.INTRA):
            child = parent.child(
                f"{branch.value}-0",
                branch=branch,
                source_report=parent.report.text,
                report=Report("", "New."),
            )
            child = child.with_image(pair(100 + number).image)
            children.append(child.dropped("prune", "below_mean") if number == 0 else child)
    broken = real[1].child(
        "inter-1", branch=Branch.INTER, source_report=real[1].report.text, report=Report("", "New.")
    )
    return [*real, *children, broken.dropped("generate", "image_constant")]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    for stage in ("read", "prune"):
        write_part(folder / stage, 0, synthetic_pairs(), "print", is_last=True)
    return folder


def opened(sources: list[dict], out: Path, **changes: object) -> TrainingPairs:
    settings = ClipSettings.model_validate({
        "preset": "tiny", "sources": sources, "cache": out / "cache", **changes
    })  # fmt: skip
    return open_pairs(settings, 16, out)


def test_run_gives_kept_pairs_and_validation(run: Path, tmp_path: Path):
    pairs = opened([{"run": run}], tmp_path)
    assert pairs.num_train == 5 + 6
    assert np.bincount(pairs.branches).tolist() == [5, 3, 3]
    assert [pairs.reports[index] for index in pairs.validation] == [("Impression 5. Findings 5.",)]


def test_keep_all_adds_pruned_pairs_only(run: Path, tmp_path: Path):
    pairs = opened([{"run": run, "keep": "all"}], tmp_path)
    assert np.bincount(pairs.branches).tolist() == [5, 4, 4]


def test_branches_of_one_run_are_two_sources_with_weights(run: Path, tmp_path: Path):
    sources = [
        {"run": run, "branches": ["real"]},
        {"run": run, "branches": ["inter"], "weight": 2},
    ]
    pairs = opened(sources, tmp_path)
    assert pairs.weights.tolist() == [1.0] * 5 + [2.0] * 3
    assert len(pairs.validation) == 1


@pytest.mark.parametrize("layout", ["parquet", "webdataset"])
def test_an_export_gives_the_pairs_that_its_run_does(run: Path, tmp_path: Path, layout: str):
    settings = ExportSettings.model_validate({"formats": [layout]})
    Export(settings, RunContext(0)).write(PartPairs(run / "prune"), tmp_path / "export", {})
    ours = opened([{"export": tmp_path / "export"}], tmp_path)
    theirs = opened([{"run": run}], tmp_path)
    every = np.arange(len(theirs.reports))
    assert ours.reports == theirs.reports
    assert ours.fingerprint == theirs.fingerprint
    assert np.array_equal(ours.images(every), theirs.images(every))


def test_images_are_those_of_the_pairs_decoded_once_or_at_each_use(run: Path, tmp_path: Path):
    kept = opened([{"run": run}], tmp_path)
    streamed = opened([{"run": run}], tmp_path, streamed=True)
    padded = opened([{"run": run}], tmp_path, fit="pad")
    image = load_image(pair(2).image)  # type: ignore[arg-type]
    indices = np.array([2, 9])
    assert np.array_equal(kept.images(indices)[0], as_bytes(fit_square(image, 16)))
    assert np.array_equal(padded.images(indices)[0], as_bytes(fit_square(image, 16, "pad")))
    assert np.array_equal(kept.images(indices), streamed.images(indices))


def test_cache_is_shared_by_settings(run: Path, tmp_path: Path):
    opened([{"run": run}], tmp_path)
    opened([{"run": run, "branches": ["real"], "keep": "all"}], tmp_path)
    assert len(list((tmp_path / "cache").glob("*/rows.jsonl"))) == 1
    opened([{"run": run}], tmp_path, fit="pad")
    assert len(list((tmp_path / "cache").glob("*/rows.jsonl"))) == 2
    write_part(run / "prune", 0, synthetic_pairs()[:6], "other", is_last=True)
    assert opened([{"run": run}], tmp_path).num_train == 5
    assert len(list((tmp_path / "cache").glob("*/rows.jsonl"))) == 3


def test_subsets_are_nested(run: Path, tmp_path: Path):
    def chosen(count: int, seed: int) -> set[tuple[str, ...]]:
        source = {"run": run, "branches": ["real"], "max_pairs": count}
        pairs = opened([source], tmp_path, seed=seed)
        assert pairs.num_train == count
        return set(pairs.reports[:count])

    assert chosen(2, 0) < chosen(4, 0)
    assert len({frozenset(chosen(3, seed)) for seed in range(6)}) > 1


def test_a_synthetic_pair_of_another_splits_patient_is_refused(tmp_path: Path):
    real = [pair(0), pair(1, "test")]
    leaked = replace(
        real[1].child(
            "inter-0",
            branch=Branch.INTER,
            source_report=real[1].report.text,
            report=Report("", "New."),
        ),
        split="train",
    ).with_image(pair(9).image)  # type: ignore[arg-type]
    for stage in ("read", "prune"):
        write_part(tmp_path / "run" / stage, 0, [*real, leaked], "print", is_last=True)
    with pytest.raises(DataError, match=r"1 of 2 pairs, 1 of them synthetic, are of patients") as e:
        opened([{"run": tmp_path / "run"}], tmp_path)
    assert "p1" not in str(e.value)
    assert "made/" not in str(e.value)


def test_a_patient_of_two_sources_in_two_splits_is_refused(tmp_path: Path):
    read = {"layout": "phantom", "num_patients": 12, "size": 32, "seed": 0}
    moved = {**read, "split": {"validation_fraction": 0.5, "test_fraction": 0.0}}
    sources = [{"read": read}, {"read": moved, "weight": 2}]
    with pytest.raises(DataError, match="0 of them synthetic, are of patients with real pairs in"):
        opened(sources, tmp_path)


def test_the_same_pair_twice_is_refused(run: Path, tmp_path: Path):
    sources = [{"run": run}, {"run": run, "branches": ["inter"]}]
    with pytest.raises(SettingsError, match="3 pairs are in two entries of sources and validation"):
        opened(sources, tmp_path)


def test_source_needs_exactly_one_kind(run: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="give one of the three, not run and export"):
        opened([{"run": run, "export": run}], tmp_path)
    with pytest.raises(DataError, match="has no pairs of split test and of branches real, inter"):
        opened([{"run": run, "split": "test"}], tmp_path)
    with pytest.raises(DataError, match="is it an export"):
        opened([{"export": run}], tmp_path)


def test_settings_need_no_tensor_library():
    program = (
        "import sys; from pairaug.train.clip import ClipSettings; ClipSettings(preset='chexzero');"
        "print(sorted({'torch', 'transformers', 'diffusers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_rejects_other_parquet_files(tmp_path: Path) -> None:
    path = tmp_path / "train-00000.parquet"
    pq.write_table(pa.table({"id": ["SECRET"], "image": [3]}), path)
    whole = path.read_bytes()
    for content in (whole, whole[:40], b"PAR1"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="is damaged or not a PairAug export") as error:
            list(pairs_of(PairSource(export=tmp_path), 0))
        assert "SECRET" not in str(error.value)
