"""What every layout leaves to the intake: workers, films without files, text alone, drops."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import JPEG2000Lossless

from dicom_films import dataset_of, saved
from pairaug.errors import DataError, MissingExtraError
from pairaug.images import encode_png
from pairaug.pair import Pair, Report
from pairaug.readers import decoding
from pairaug.readers.intake import Intake, Listed
from pairaug.readers.reader import SplitShares
from pairaug.stage import Context

RNG = np.random.default_rng(0)


def film(seed: int = 0, side: int = 24) -> bytes:
    return encode_png(np.random.default_rng(seed).random((side, side)))


def listed(name: str, film: Path | bytes | None, **more: object) -> Listed:
    where = f"row {name}"
    return Listed(where=where, id=name, report=Report("Clear."), film=film, **more)  # type: ignore[arg-type]


def intake(root: Path, **more: object) -> Intake:
    return Intake(source="table", name="t", root=root, shares=SplitShares(), **more)  # type: ignore[arg-type]


def taken(root: Path, *items: Listed, num_workers: int = 2, **more: object) -> list[Pair]:
    return list(intake(root, **more).pairs(items, Context(seed=0, num_workers=num_workers)))


def mixed(root: Path) -> list[Listed]:
    """Forty films of all kinds, every third of them wrong in some way, slow ones first."""
    items = []
    for index in range(40):
        path = root / f"{index}.png"
        path.write_bytes(film(index, side=300 if index % 7 == 0 else 16))
        items.append(listed(str(index), Path(path.name)))
    (root / "3.png").write_bytes(b"nothing")
    (root / "6.png").unlink()
    items[9] = listed("9", saved(dataset_of(), JPEG2000Lossless))
    items[12] = listed("12", saved(dataset_of(), JPEG2000Lossless)[:700])
    items[15] = listed("15", film(99))
    items[18] = listed("18", Path("../18.png"))
    items[21] = listed("20", Path("20.png"))
    items[24] = listed("24", film(24), drop=("view_excluded", "lateral"))
    return items


def test_order_drops_and_pairs_are_the_same_whatever_the_number_of_workers(tmp_path: Path) -> None:
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


def test_an_error_comes_where_its_item_would_have_come(tmp_path: Path) -> None:
    def source() -> Iterator[Listed]:
        for index in range(5):
            yield listed(str(index), film(index))
        raise DataError("line 6 is no row")

    for number in (1, 2, 9):
        pairs = intake(tmp_path).pairs(source(), Context(seed=0, num_workers=number))
        assert [next(pairs).id for _ in range(5)] == [f"t/{index}" for index in range(5)]
        with pytest.raises(DataError, match="line 6 is no row"):
            next(pairs)


def test_only_a_few_films_are_under_way(tmp_path: Path) -> None:
    asked = []

    def source() -> Iterator[Listed]:
        for index in range(1000):
            asked.append(index)
            yield listed(str(index), film(0))

    pairs = intake(tmp_path).pairs(source(), Context(seed=0, num_workers=2))
    next(pairs)
    assert len(asked) <= 10
    pairs.close()  # type: ignore[attr-defined]
    assert len(asked) <= 10


def test_films_without_a_file_travel_as_grey_png(tmp_path: Path) -> None:
    own = film(1)
    colour = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(colour, "PNG")
    first, second, third = taken(
        tmp_path,
        listed("a", own),
        listed("b", colour.getvalue()),
        listed("c", saved(dataset_of(BurnedInAnnotation="YES"))),
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


def test_text_alone_is_a_pair_where_that_is_allowed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    items = [listed("a", None), listed("b", film()), listed("c", Path("gone.png"))]
    pairs = taken(tmp_path, *items, needs_film=False)
    assert [pair.drop.reason if pair.drop else None for pair in pairs] == [
        None,
        None,
        "missing_image",
    ]
    assert pairs[0].image is None
    assert "of 3 studies, 1 have a report and no film" in caplog.text
    (pair,) = taken(tmp_path, listed("a", None))
    assert pair.drop
    assert pair.drop.reason == "missing_image"


def test_a_patient_in_two_splits_is_an_error_or_divided_anew(tmp_path: Path) -> None:
    items = [
        listed("a", film(), patient_id="SECRET", split="train"),
        listed("b", film(), patient_id="SECRET", split="test"),
    ]
    message = "patient of row b is in two splits, train before and test here.* read.split.use"
    with pytest.raises(DataError, match=message) as caught:
        taken(tmp_path, *items)
    assert "SECRET" not in str(caught.value)
    hashed = Intake("table", "t", tmp_path, SplitShares(use="hashed"))
    assert len({pair.split for pair in hashed.pairs(items, Context(seed=0))}) == 1


def test_a_missing_extra_stops_the_run_out_of_every_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [listed("a", saved(dataset_of(), JPEG2000Lossless))]
    for module, number in ((decoding, 1), (decoding, 2)):
        monkeypatch.setattr(module, "examine", _without_extra)
        with pytest.raises(MissingExtraError, match=r"reading films needs x"):
            taken(tmp_path, *items, num_workers=number)


def _without_extra(content: bytes, suffix: str, *, keep: bool) -> None:
    raise MissingExtraError("reading films", "x", "dicom")


def test_a_film_that_breaks_its_decoder_is_a_drop_and_its_neighbours_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "examine", _breaks_down)
    good = saved(dataset_of(), JPEG2000Lossless)
    items = [listed(str(index), good + b"!" * (index == 2)) for index in range(5)]
    pairs = taken(tmp_path, *items)
    assert [pair.drop.detail if pair.drop else None for pair in pairs] == [
        None,
        None,
        "row 2, the decoder breaks down on the image",
        None,
        None,
    ]


def _breaks_down(content: bytes, suffix: str, *, keep: bool) -> object:
    from pairaug.examine import examine

    if content.endswith(b"!"):
        time.sleep(0.1)
        os._exit(1)
    return examine(content, suffix, keep=keep)
