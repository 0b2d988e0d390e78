"""Paths of images as tables have them, and what is said of those that lead to nothing."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from urllib.parse import quote

import pytest

from pairaug.errors import DataError
from pairaug.pair import Pair
from pairaug.readers import TableSource, open_reader
from pairaug.readers.listing import one_file
from pairaug.stage import RunContext
from support.layout_trees import csv, image, write


def _read(
    root: Path, *rows: tuple[str, str, str], num_workers: int = 1, **settings: object
) -> list[Pair]:
    table = csv(
        root.parent / "t.csv", "id,file,patient,findings", *[(*row, "Clear.") for row in rows]
    )
    columns = {"impression": None, "patient_id": "patient"}
    source = TableSource.model_validate(
        {"table": table, "root": root, "columns": columns, **settings}
    )
    return list(open_reader(source, RunContext(seed=0, num_workers=num_workers)))


def _paths(pairs: list[Pair]) -> list[str | None]:
    return [pair.image.path if pair.image else None for pair in pairs]


def test_unambiguous_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    monkeypatch.setenv("HOME", str(root))
    written_image = write(root / "été 1" / "Müller é.png", image())
    name = "été 1/Müller é.png"
    written = [
        name,
        unicodedata.normalize("NFD", name),
        name.replace("/", "\\"),
        quote(name),
        f"file://{root}/{quote(name)}",
        f"file://localhost{root}/{name}",
        f"~/{name}",
        f".\\{name}",
    ]
    pairs = _read(root, *[(str(n), text, "p") for n, text in enumerate(written)])
    assert _paths(pairs) == [str(written_image)] * len(written)


def test_decomposed_accents(tmp_path: Path) -> None:
    root = tmp_path / "root"
    written_image = write(root / unicodedata.normalize("NFD", "été") / "é.png", image())
    assert _paths(_read(root, ("1", "été/é.png", "p"))) == [str(written_image)]


def test_exact_path_first_and_ambiguous_path_missing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    odd = write(root / "a%20b.png", image(1))
    write(root / "a b.png", image(2))
    write(root / "c d%20e.png", image(3))
    assert _paths(_read(root, ("1", "a%20b.png", "p"))) == [str(odd)]
    write(root / "x" / "y z.png", image(4))
    write(root / "x\\y z.png", image(5))
    (pair,) = _read(root, ("1", "x\\y%20z.png", "p"))
    assert pair.drop
    assert pair.drop.reason == "missing_image"
    assert "the path has a backslash" in pair.drop.detail


def test_paths_stay_in_root(tmp_path: Path) -> None:
    write(tmp_path / "outside.png", image())
    root = tmp_path / "root"
    root.mkdir()
    pairs = _read(root, ("1", "..\\outside.png", "p"), ("2", "%2e%2e/outside.png", "p"))
    assert _paths(pairs) == [None, None]


@pytest.mark.parametrize(
    ("root", "file", "said"),
    [
        ("data/images", "images/{}.png", "it is there from {tmp}/data: set read.root"),
        ("data", "{}.png", "it is there from {tmp}/data/images: set read.root"),
        ("data", "CheXpert-v1/images/{}.png", "without the first 1 folders of the path"),
        ("data", "pngs/{}.png", "no file at pngs/….png in {tmp}/data, which has no folder pngs"),
    ],
)
def test_wrong_root_suggests_the_right_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, root: str, file: str, said: str
) -> None:
    for number in range(3):
        write(tmp_path / "data" / "images" / f"{number}.png", image(number))
    rows = [(str(number), file.format(number), f"p{number}") for number in range(3)]
    pairs = _read(tmp_path / root, *rows)
    details = [pair.drop.detail if pair.drop else "" for pair in pairs]
    assert details[0].startswith("row 2, no file at ")
    assert said.format(tmp=tmp_path) in details[0]
    assert said.format(tmp=tmp_path) in caplog.text


def test_patient_folders_are_not_shown(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root / "files" / "there.png", image())
    rows = [
        (f"s{number}", f"files/{folder}/p1000{number}/x.png", f"1000{number}")
        for number, folder in enumerate(["wardA", "wardA", "wardA", "smith", "smith"])
    ]
    details = [pair.drop.detail for pair in _read(root, *rows) if pair.drop]
    assert "no file at files/wardA/…/….png in" in details[2]
    assert "no file at files/…/…/….png in" in details[4]
    again = _read(root, *rows, num_workers=3)
    assert [pair.drop.detail for pair in again if pair.drop] == details
    said = " ".join(details)
    assert "smith" not in said
    assert "1000" not in said
    # Not known whose they are: nothing but what datasets commonly have is shown.
    alone = _read(root, *rows, columns={"impression": None})
    assert "ward" not in " ".join(pair.drop.detail for pair in alone if pair.drop)
    assert alone[0].trace["read"]["tried"] == "files/wardA/p10000/x.png"


def test_table_in_neighbouring_folder_is_suggested(tmp_path: Path) -> None:
    write(tmp_path / "data" / "list-1.csv", "a\n1\n")
    for folder in (tmp_path, tmp_path / "data" / "files"):
        with pytest.raises(DataError, match=rf"{tmp_path}/data has it: set read.root to that"):
            one_file(folder, "list-*.csv*", "list", "fetch it")
