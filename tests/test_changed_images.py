"""An image file that is not what was read is used by no stage, nor is one that is missing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pairaug.edit import DROP_REASONS as EDIT_REASONS
from pairaug.edit import Edit, EditSettings
from pairaug.errors import DataError
from pairaug.evaluate.data.cases import Case
from pairaug.evaluate.data.features import _image_of
from pairaug.export import Export, ExportSettings
from pairaug.export.pair_stream import PartPairs
from pairaug.imaging.files import ChangedImageError, MissingImageError
from pairaug.imaging.io import encode_png, load_image, png_ref, sha256
from pairaug.manifest import write_part
from pairaug.pair import Branch, ImageRef, Pair, Report
from pairaug.score import DROP_REASONS as SCORE_REASONS
from pairaug.score import Score, ScoreSettings
from pairaug.stage import RunContext, apply
from pairaug.summary.examples import _image
from pairaug.train.clip.sources import PairSource
from pairaug.train.clip.store import StoreSettings, open_store
from pairaug.train.image_dataset import ImageDatasetSettings, open_dataset

REASONS = ["changed_image", "missing_image"]


def image(number: int) -> np.ndarray:
    return np.random.default_rng(number).random((32, 32), dtype=np.float32)


def real(folder: Path, number: int) -> Pair:
    """A real pair whose image is a file, with its hash."""
    path, content = folder / f"{number}.png", encode_png(image(number))
    path.write_bytes(content)
    ref = ImageRef(path=str(path), sha256=sha256(content), height=32, width=32)
    report = Report("", f"Small nodule {number}.")
    return Pair(f"t/{number}", Branch.REAL, f"p{number}", report, image=ref)


def child(parent: Pair, branch: Branch, number: int | None = None) -> Pair:
    made = parent.child(
        f"{branch.value}-0",
        branch=branch,
        source_report=parent.report.text,
        report=Report("", "Large nodule."),
    )
    return made if number is None else made.with_image(png_ref(image(number)))


def spoil(pair: Pair, reason: str) -> None:
    """Exchanges the file of a pair's image, or takes it away."""
    assert pair.image is not None
    path = Path(str(pair.image.path))
    if reason == "changed_image":
        path.write_bytes(encode_png(image(99)))
    else:
        path.unlink()


def reasons(pairs: Iterable[Pair]) -> list[str | None]:
    return [pair.drop.reason if pair.drop else None for pair in pairs]


@pytest.mark.parametrize("reason", REASONS)
def test_changed_and_missing_files_raise(tmp_path: Path, reason: str) -> None:
    pair = real(tmp_path, 0)
    assert pair.image is not None
    assert load_image(pair.image).shape == (32, 32)
    spoil(pair, reason)
    kind = {"changed_image": ChangedImageError, "missing_image": MissingImageError}[reason]
    with pytest.raises(kind) as caught:
        load_image(pair.image)
    assert caught.value.reason == reason
    assert str(tmp_path) not in str(caught.value)


def test_bytes_in_a_pair_are_checked() -> None:
    ref = png_ref(image(0))
    with pytest.raises(ChangedImageError):
        load_image(replace(ref, png=encode_png(image(1))))


def test_rewritten_file_with_same_content(tmp_path: Path) -> None:
    pair = real(tmp_path, 0)
    assert pair.image is not None
    path = Path(str(pair.image.path))
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    assert load_image(pair.image).shape == (32, 32)


@pytest.mark.parametrize("reason", REASONS)
def test_edits_of_it_are_dropped(tmp_path: Path, tiny_generator_folder: Path, reason: str) -> None:
    spoilt, good = real(tmp_path, 0), real(tmp_path, 1)
    spoil(spoilt, reason)
    pairs = [pair for each in (spoilt, good) for pair in (each, child(each, Branch.INTRA))]
    settings = EditSettings(model=str(tiny_generator_folder), num_inference_steps=2)
    after = list(apply(Edit(settings, RunContext(seed=0)), pairs))
    assert reasons(after) == [None, reason, None, None]
    assert reason in EDIT_REASONS


@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize("reason", REASONS)
def test_its_pair_and_children_are_dropped_by_score(
    tmp_path: Path, tiny_scorer_folder: Path, reason: str, batch_size: int
) -> None:
    pairs: list[Pair] = []
    for number in range(2):
        parent = real(tmp_path, number)
        pairs += [parent, child(parent, Branch.INTRA, 10 + number)]
        pairs += [child(parent, Branch.INTER, 20 + number)]
    spoil(pairs[0], reason)
    settings = ScoreSettings(model=str(tiny_scorer_folder), batch_size=batch_size)
    after = list(apply(Score(settings, RunContext(seed=0)), pairs))
    # What was rewritten from the report alone is void only if nothing of the pair is known.
    of_report = reason if reason == "changed_image" else None
    assert reasons(after) == [reason, reason, of_report, None, None, None]
    assert reason in SCORE_REASONS


def test_changed_copy_is_dropped(tmp_path: Path, tiny_scorer_folder: Path) -> None:
    first = real(tmp_path, 0)
    (tmp_path / "again").mkdir()
    second = replace(real(tmp_path / "again", 0), id="t/again")
    spoil(first, "changed_image")
    settings = ScoreSettings(model=str(tiny_scorer_folder))
    after = list(apply(Score(settings, RunContext(seed=0)), [first, second]))
    assert reasons(after) == ["changed_image", None]


@pytest.mark.parametrize("reason", REASONS)
def test_export_leaves_it_out_and_counts_it(tmp_path: Path, reason: str) -> None:
    parent, other = real(tmp_path, 0), real(tmp_path, 1)
    pairs = [parent, child(parent, Branch.INTRA, 10), other, child(other, Branch.INTRA, 11)]
    write_part(tmp_path / "parts", 0, pairs, "any", is_last=True)
    spoil(parent, reason)
    recipe = {"source": {"name": "t", "access": "public"}}
    export = Export(ExportSettings(formats=("parquet",)), RunContext(seed=0))
    report = export.write(PartPairs(tmp_path / "parts"), tmp_path / "out", recipe)
    assert report.lost == {reason: 2 if reason == "changed_image" else 1}


def _run(folder: Path) -> list[Pair]:
    """A run folder of four real pairs."""
    pairs = [real(folder, number) for number in range(4)]
    write_part(folder / "run" / "read", 0, pairs, "any", is_last=True)
    return pairs


@pytest.mark.parametrize("reason", REASONS)
def test_training_of_models_leaves_it_out_and_counts_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, reason: str
) -> None:
    pairs = _run(tmp_path)
    spoil(pairs[1], reason)
    settings = ImageDatasetSettings(layout="run", run=tmp_path / "run", size=32)
    assert len(open_dataset(settings, tmp_path / "out").images) == 3
    assert f"1 of 4 images cannot be read and are left out ({reason} 1)" in caplog.text


@pytest.mark.parametrize("reason", REASONS)
def test_training_of_clip_leaves_it_out_and_counts_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, reason: str
) -> None:
    pairs = _run(tmp_path)
    spoil(pairs[1], reason)
    store_of = StoreSettings(size=32, fit="crop", streamed=False, num_workers=1, seed=0)
    store = open_store(PairSource(run=tmp_path / "run"), store_of, tmp_path / "cache")
    assert [row["id"] for row in store.rows] == ["t/0", "t/2", "t/3"]
    assert f"1 images cannot be read and are left out ({reason} 1)" in caplog.text


@pytest.mark.parametrize("reason", REASONS)
def test_images_that_are_streamed_are_checked_whenever_they_are_read(
    tmp_path: Path, reason: str
) -> None:
    pairs = _run(tmp_path)
    store_of = StoreSettings(size=32, fit="crop", streamed=True, num_workers=1, seed=0)
    store = open_store(PairSource(run=tmp_path / "run"), store_of, tmp_path / "cache")
    assert store.images(np.arange(4)).shape == (4, 32, 32)
    spoil(pairs[1], reason)
    with pytest.raises(DataError, match="streamed image can no longer be read: the image file"):
        store.images(np.array([1]))


@pytest.mark.parametrize("reason", REASONS)
def test_evaluation_and_summary_note_it(tmp_path: Path, reason: str) -> None:
    pair = real(tmp_path, 0)
    spoil(pair, reason)
    ref = pair.image
    assert ref is not None
    assert _image_of(Case(lambda: load_image(ref), "p", {}, "")) == reason
    tile = _image("real", ref, 32)
    assert json.dumps(str(tile)).find("the image file ") > 0
