"""What every layout leaves to the intake: workers, images without files, text alone, drops."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import JPEG2000Lossless

from pairaug.errors import DataError, MissingExtraError
from pairaug.imaging import decode_pool
from pairaug.imaging.decode_pool import _batches
from pairaug.imaging.inspect import InspectionResult, inspect_all
from pairaug.imaging.io import encode_png
from pairaug.pair import Pair, Report
from pairaug.readers.normalize import RawRecord, RecordNormalizer
from pairaug.readers.splits import SplitFractions
from pairaug.stage import RunContext
from support.dicom_images import dataset_of, saved

RNG = np.random.default_rng(0)


def image(seed: int = 0, side: int = 24) -> bytes:
    return encode_png(np.random.default_rng(seed).random((side, side)))


def records(name: str, image: Path | bytes | None, **more: object) -> RawRecord:
    where = f"row {name}"
    return RawRecord(where=where, id=name, report=Report("Clear."), image=image, **more)  # type: ignore[arg-type]


def normalizer(root: Path, **more: object) -> RecordNormalizer:
    return RecordNormalizer(layout="table", name="t", root=root, fractions=SplitFractions(), **more)  # type: ignore[arg-type]


def taken(root: Path, *items: RawRecord, num_workers: int = 2, **more: object) -> list[Pair]:
    return list(normalizer(root, **more).pairs(items, RunContext(seed=0, num_workers=num_workers)))


def mixed(root: Path) -> list[RawRecord]:
    """Forty images of all kinds, every third of them wrong in some way, slow ones first."""
    items = []
    for index in range(40):
        path = root / f"{index}.png"
        path.write_bytes(image(index, side=300 if index % 7 == 0 else 16))
        items.append(records(str(index), Path(path.name)))
    (root / "3.png").write_bytes(b"nothing")
    (root / "6.png").unlink()
    items[9] = records("9", saved(dataset_of(), JPEG2000Lossless))
    items[12] = records("12", saved(dataset_of(), JPEG2000Lossless)[:700])
    items[15] = records("15", image(99))
    items[18] = records("18", Path("../18.png"))
    items[21] = records("20", Path("20.png"))
    items[24] = records("24", image(24), drop=("view_excluded", "lateral"))
    return items


def test_num_workers_does_not_change_pairs(tmp_path: Path) -> None:
    items = mixed(tmp_path)
    one, two, five = (taken(tmp_path, *items, num_workers=number) for number in (1, 2, 5))
    assert one == two == five
    assert [pair.id.split("#")[0] for pair in one] == [f"t/{item.id}" for item in items]
    drops = {index: pair.drop.reason for index, pair in enumerate(one) if pair.drop}
    assert drops == {
        3: "unreadable_image",
        6: "missing_image",
        12: "unreadable_image",
        18: "outside_root",
        21: "duplicate_id",
        24: "view_excluded",
    }


def test_error_is_raised_in_order(tmp_path: Path) -> None:
    def source() -> Iterator[RawRecord]:
        for index in range(5):
            yield records(str(index), image(index))
        raise DataError("line 6 is no row")

    for number in (1, 2, 9):
        pairs = normalizer(tmp_path).pairs(source(), RunContext(seed=0, num_workers=number))
        assert [next(pairs).id for _ in range(5)] == [f"t/{index}" for index in range(5)]
        with pytest.raises(DataError, match="line 6 is no row"):
            next(pairs)


def test_prefetch_is_bounded(tmp_path: Path) -> None:
    asked = []

    def source() -> Iterator[RawRecord]:
        for index in range(1000):
            asked.append(index)
            yield records(str(index), image(0))

    pairs = normalizer(tmp_path).pairs(source(), RunContext(seed=0, num_workers=2))
    list(itertools.islice(pairs, 100))
    pairs.close()  # type: ignore[attr-defined]
    assert 100 < len(asked) <= 200


def test_images_without_file_become_png(tmp_path: Path) -> None:
    own = image(1)
    colour = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(colour, "PNG")
    first, second, third = taken(
        tmp_path,
        records("a", own),
        records("b", colour.getvalue()),
        records("c", saved(dataset_of(BurnedInAnnotation="YES"))),
    )
    assert first.image is not None
    assert (first.image.png, first.image.path) == (own, None)
    assert second.image is not None
    assert second.image.png is not None
    with Image.open(io.BytesIO(second.image.png)) as opened:
        assert (opened.mode, opened.size) == ("L", (30, 20))
    assert third.image is not None
    assert (third.image.height, third.image.width) == (80, 60)
    assert third.trace["read"]["burnt_in_annotation"] == "YES"


def test_text_only_pairs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    items = [records("a", None), records("b", image()), records("c", Path("gone.png"))]
    pairs = taken(tmp_path, *items, needs_image=False)
    assert [pair.drop.reason if pair.drop else None for pair in pairs] == [
        None,
        None,
        "missing_image",
    ]
    assert pairs[0].image is None
    assert "of 3 studies, 1 have a report but no image" in caplog.text
    (pair,) = taken(tmp_path, records("a", None))
    assert pair.drop
    assert pair.drop.reason == "missing_image"


def test_patient_in_two_splits(tmp_path: Path) -> None:
    items = [
        records("a", image(), patient_id="SECRET", split="train"),
        records("b", image(), patient_id="SECRET", split="test"),
    ]
    message = "patient of row b is in two splits, train before and test here.* read.split.use"
    with pytest.raises(DataError, match=message) as caught:
        taken(tmp_path, *items)
    assert "SECRET" not in str(caught.value)
    hashed = RecordNormalizer("table", "t", tmp_path, SplitFractions(use="hashed"))
    assert len({pair.split for pair in hashed.pairs(items, RunContext(seed=0))}) == 1


@pytest.mark.parametrize("num_workers", [1, 2])
def test_missing_extra_raises_from_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_workers: int
) -> None:
    monkeypatch.setattr(decode_pool, "inspect_all", _without_extra)
    with pytest.raises(MissingExtraError, match=r"reading images needs x"):
        taken(tmp_path, records("a", image()), num_workers=num_workers)


def _without_extra(images: Sequence[Path | bytes]) -> list[InspectionResult]:
    return [MissingExtraError("reading images", "x", "dicom") for _ in images]


def test_decoder_crash_drops_only_its_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_pool, "inspect_all", _breaks_down)
    good = saved(dataset_of(), JPEG2000Lossless)
    fatal = (2, 11, 12)
    items = [records(str(index), good + b"!" * (index in fatal)) for index in range(20)]
    pairs = taken(tmp_path, *items)
    assert [pair.drop.detail if pair.drop else None for pair in pairs] == [
        f"row {index}, the decoder crashes on the image" if index in fatal else None
        for index in range(20)
    ]


def _breaks_down(images: Sequence[Path | bytes]) -> list[InspectionResult]:
    for each in images:
        if isinstance(each, bytes) and each.endswith(b"!"):
            time.sleep(0.1)
            os._exit(1)
    return inspect_all(images)


_UNGUARDED = """
import sys
from pathlib import Path
from pairaug.readers import CxrFolderSource, open_reader
from pairaug.stage import RunContext
pairs = iter(open_reader(CxrFolderSource(root=sys.argv[1]), RunContext(seed=0, num_workers=2)))
print(next(pairs).drop, sum(1 for _ in pairs))
again = iter(open_reader(CxrFolderSource(root=sys.argv[1]), RunContext(seed=0, num_workers=2)))
print(next(again).drop)
"""


def test_script_without_main_guard(tmp_path: Path) -> None:
    for index in range(30):
        (tmp_path / f"{index:02}.png").write_bytes(image(index))
        (tmp_path / f"{index:02}.txt").write_text("Clear.")
    script = tmp_path / "script.py"
    script.write_text(_UNGUARDED)
    done = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "None 29\nNone\n"
    assert done.stderr == ""


def test_batches_are_bounded_in_bytes() -> None:
    large, small = b"0" * (3 << 20), Path("image.png")
    batches = list(_batches((index, large if index < 20 else small) for index in range(90)))
    assert max(batch.num_bytes for batch in batches) <= 6 << 20
    assert [len(batch.items) for batch in batches[:3]] == [1, 2, 2]
    assert max(len(batch.items) for batch in batches) == 16
    assert [index for batch in batches for index, _ in batch.items] == list(range(90))
