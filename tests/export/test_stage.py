"""Exports as a whole: selection of pairs, replacement of earlier exports, and the card.

For the contents of each layout, see test_layouts.py.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import yaml
from pydantic import ValidationError

from pairaug.errors import MissingExtraError, RunError
from pairaug.export import DROP_REASONS, Export, ExportSettings, formats_in
from pairaug.export.subset import Subset
from pairaug.imaging.io import png_ref
from pairaug.pair import Branch, ImageRef, Pair, Report
from pairaug.stage import RunContext
from support.export_pairs import (
    ALL,
    PUBLIC,
    RECIPE,
    Pairs,
    contents,
    export,
    families,
    family,
    grey,
    real,
)


def _ids(folder: Path) -> set[str]:
    return {row["id"] for row in _rows(folder)}


def _rows(folder: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet

    paths = sorted((folder / "parquet").glob("*.parquet"))
    return [row for path in paths for row in pyarrow.parquet.read_table(path).to_pylist()]


def test_sizes_and_splits_of_files(tmp_path: Path) -> None:
    report = export(
        tmp_path / "export", families(tmp_path / "images"), pairs_per_shard=4, pairs_per_parquet=2
    )
    assert [name for name in report.files if name.endswith(".tar")] == [
        "webdataset/test-000000.tar",
        "webdataset/train-000000.tar",
        "webdataset/train-000001.tar",
        "webdataset/train-000002.tar",
        "webdataset/validation-000000.tar",
    ]
    parquet = [name for name in report.files if name.endswith(".parquet")]
    assert [name for name in parquet if "train" in name] == [
        f"parquet/train-0000{number}.parquet" for number in range(5)
    ]
    assert len(_rows(tmp_path / "export")) == 15


def test_dropped_pairs_stay_out_and_real_ones_on_request(tmp_path: Path) -> None:
    pairs = families(tmp_path / "images")
    pairs[1] = pairs[1].dropped("prune", "below_threshold")
    report = export(tmp_path / "export", pairs)
    assert report.num_pairs == 14
    assert report.counts["train"] == {"real": 3, "inter": 2, "intra": 3}
    only = export(tmp_path / "synthetic", pairs, include_real=False, formats=["webdataset"])
    assert only.counts == {
        "train": {"inter": 2, "intra": 3},
        "validation": {"inter": 1, "intra": 1},
        "test": {"inter": 1, "intra": 1},
    }
    assert not (tmp_path / "synthetic" / "parquet").exists()
    assert (only.lost, only.left_out) == ({}, {"real_excluded": 5})


def test_branches_and_splits_are_chosen(tmp_path: Path) -> None:
    pairs = families(tmp_path / "images")
    report = export(tmp_path / "export", pairs, branches=["intra"], splits=["train", "test"])
    assert report.counts == {"train": {"real": 3, "intra": 3}, "test": {"real": 1, "intra": 1}}
    assert report.left_out == {"branch_excluded": 4, "split_excluded": 3}
    assert _ids(tmp_path / "export") == {
        pair.id for pair in pairs if pair.branch != "inter" and pair.split != "validation"
    }
    trained = export(tmp_path / "trained", pairs, synthetic_splits=["train"], formats=["parquet"])
    assert trained.counts == {
        "train": {"real": 3, "inter": 3, "intra": 3},
        "validation": {"real": 1},
        "test": {"real": 1},
    }
    assert trained.left_out == {"split_excluded": 4}
    none = export(tmp_path / "real", pairs, branches=[])
    assert none.by_branch == {"real": 5, "inter": 0, "intra": 0}


def _many(num: int, variants: int) -> list[Pair]:
    """Families without images, in two splits."""
    pairs: list[Pair] = []
    for index in range(num):
        split = "test" if index % 4 == 0 else "train"
        parent = Pair(f"a/{index}", Branch.REAL, f"p{index}", Report("x"), split=split)
        pairs.append(parent)
        for variant in range(variants):
            branch = Branch.INTRA if variant % 2 else Branch.INTER
            pairs.append(
                parent.child(
                    f"c{variant}",
                    branch=branch,
                    source_report=parent.report.text,
                    report=Report("y"),
                )
            )
    return pairs


def _choose(pairs: list[Pair], seed: int = 0, **settings: Any) -> list[str]:
    choice = Subset(ExportSettings.model_validate(settings), Pairs(pairs).outlines(), seed)
    return [pair.id for pair in pairs if pair.drop is None and choice.why_not(pair) is None]


@pytest.mark.parametrize("ratio", [0, 0.29, 0.5, 1, 1.7, 3, 9])
def test_the_ratio_holds_in_every_split(ratio: float) -> None:
    pairs = _many(400, 3)
    by_id = {pair.id: pair for pair in pairs}
    counts = Counter(
        (by_id[id_].split, by_id[id_].branch != "real")
        for id_ in _choose(pairs, synthetic_per_real=ratio)
    )
    for split, num_real in (("train", 300), ("test", 100)):
        assert counts[split, False] == num_real
        assert counts[split, True] == min(round(ratio * num_real), 3 * num_real)


def test_the_ratio_counts_living_pairs_of_the_chosen_branches() -> None:
    pairs = _many(40, 4)
    pairs = [
        pair.dropped("prune", "why") if pair.branch == "real" and index % 2 else pair
        for index, pair in enumerate(pairs)
    ]
    living = sum(pair.branch == "real" and pair.drop is None for pair in pairs)
    chosen = _choose(pairs, synthetic_per_real=1, branches=["inter"], include_real=False)
    assert len(chosen) == living
    assert all("~c0" in id_ or "~c2" in id_ for id_ in chosen)


def test_the_sample_depends_on_the_seed_alone() -> None:
    pairs = _many(100, 3)
    chosen = _choose(pairs, synthetic_per_real=1)
    assert set(_choose(pairs[::-1], synthetic_per_real=1)) == set(chosen)
    assert set(_choose(pairs, seed=1, synthetic_per_real=1)) != set(chosen)
    # A larger ratio adds pairs and removes none.
    assert set(chosen) < set(_choose(pairs, synthetic_per_real=2))
    # A fair sample has pairs of both branches.
    branches = Counter(id_[-1] for id_ in chosen if "~" in id_)
    assert all(branches[variant] > 15 for variant in "012")


def test_the_ratio_applies_to_the_files(tmp_path: Path) -> None:
    report = export(tmp_path / "export", families(tmp_path / "images"), synthetic_per_real=0.7)
    assert report.by_branch["inter"] + report.by_branch["intra"] == 2  # of three; of one and one
    assert report.left_out == {"beyond_ratio": 8}
    card = (tmp_path / "export" / "README.md").read_text()
    assert "Excluded by the export's settings: beyond_ratio 8." in card
    assert "export.synthetic_per_real: 0.7" in card


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ["No change. Größe normal.", "new patient", "Worse. changed"]),
        ("impression+findings", ["No change. Größe normal.", "new patient", "Worse. changed"]),
        ("impression", ["No change.", "new patient", "Worse."]),
        ("findings", ["Größe normal.", "new patient", "changed"]),
    ],
)
def test_the_other_section_is_used_if_the_chosen_one_is_empty(
    tmp_path: Path, text: str | None, expected: list[str]
) -> None:
    report = export(tmp_path / "export", family(tmp_path, 0), text=text)
    rows = _rows(tmp_path / "export")
    assert [row["report"] for row in rows] == expected
    assert report.lost == {}
    wanted = {"inter": 1} if text == "impression" else {}
    assert all(counted == wanted for counted in report.other_section.values())
    card = (tmp_path / "export" / "README.md").read_text()
    assert ("- `parquet`: inter 1" in card) == (text == "impression")
    # The sections stay unchanged.
    assert rows[0]["findings"] == "Größe normal."


@pytest.mark.parametrize("text", [None, "impression", "findings"])
def test_no_layout_writes_the_same_text_for_several_pairs(tmp_path: Path, text: str | None) -> None:
    """One text for many images would teach that they are alike; the other section is better."""
    reports = [Report(f"Effusion {n}."[: 99 * (n != 3)], f"Edema {n}." * (n % 2)) for n in range(6)]
    pairs = [
        Pair(f"a/{n}", Branch.INTRA, f"p{n}", report, image=png_ref(grey(n)))
        for n, report in enumerate(reports)
    ]
    formats = ["webdataset", "parquet", "huggingface", "folder", "chexzero"]
    report = export(tmp_path / "export", pairs, formats=formats, text=text)
    chexzero = pandas.read_csv(tmp_path / "export" / "chexzero" / "train-impressions.csv")
    folder = pandas.read_csv(tmp_path / "export" / "folder" / "train.csv")
    for column in (chexzero["impression"], folder["report"]):
        assert column.is_unique
        assert column.notna().all()
    assert list(chexzero["impression"]) == [one.text_of(text or "impression") for one in reports]
    assert report.other_section["chexzero"] == {"intra": 1 if text == "findings" else 3}
    card = (tmp_path / "export" / "README.md").read_text()
    assert "## Pairs whose text is the other section" in card


def test_an_export_replaces_an_earlier_one_and_its_leftovers(tmp_path: Path) -> None:
    pairs, folder = families(tmp_path / "images"), tmp_path / "export"
    export(tmp_path / "expected", pairs)
    partial = tmp_path / ".export.partial-pairaug" / "webdataset"
    partial.mkdir(parents=True)
    (partial / "train-000000.tar").write_bytes(b"cut short")
    export(folder, pairs[:3])
    (tmp_path / ".export.old-pairaug").mkdir()
    export(folder, pairs)
    assert contents(folder) == contents(tmp_path / "expected")
    assert {path.name for path in tmp_path.iterdir()} == {"images", "expected", "export"}


def test_an_interruption_leaves_the_earlier_export_whole(tmp_path: Path) -> None:
    pairs, folder = families(tmp_path / "images"), tmp_path / "export"
    export(folder, pairs[:3], formats=ALL)
    before = contents(folder)

    class Interrupted(Pairs):
        def __iter__(self) -> Iterator[Pair]:
            yield pairs[0]
            raise KeyboardInterrupt

    settings = ExportSettings(formats=ALL)
    with pytest.raises(KeyboardInterrupt):
        Export(settings, RunContext(seed=0)).write(Interrupted(pairs), folder, PUBLIC)
    assert contents(folder) == before
    assert {path.name for path in tmp_path.iterdir()} == {"images", "export"}
    export(folder, pairs, formats=ALL)
    assert len(_rows(folder)) == 15


def test_an_export_that_was_moved_aside_comes_back(tmp_path: Path) -> None:
    pairs, folder = families(tmp_path / "images"), tmp_path / "export"
    export(folder, pairs)
    before = contents(folder)
    folder.rename(tmp_path / ".export.old-pairaug")  # as after a kill between the two renames

    class Broken(Pairs):
        def __iter__(self) -> Iterator[Pair]:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Export(ExportSettings(), RunContext(seed=0)).write(Broken(pairs), folder, PUBLIC)
    assert contents(folder) == before


def test_other_folders_are_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    export(folder, [], formats=ALL)  # an empty folder and zero pairs are fine
    (folder / "export.json").unlink()
    with pytest.raises(RunError, match="thesis contains files that are not an export"):
        export(folder, [])
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="is a file"):
        export(tmp_path / "file", [])
    with pytest.raises(RunError, match=r"cannot write .*file/export"):
        export(tmp_path / "file" / "export", [])


def _inodes(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_ino
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_layout_is_added_to_an_earlier_export(tmp_path: Path) -> None:
    pairs, folder = families(tmp_path / "images"), tmp_path / "export"
    export(folder, pairs, formats=["huggingface", "parquet"])
    before = _inodes(folder)
    report = export(folder, pairs, again=["folder"], formats=["huggingface", "parquet", "folder"])
    after = _inodes(folder)
    kept = [name for name in before if name.endswith((".arrow", ".parquet"))]
    assert len(kept) == 6
    assert all(after[name] == before[name] for name in kept)
    assert formats_in(folder) == report.formats == ("huggingface", "parquet", "folder")
    # The same as an export of all layouts at once, the card included.
    export(tmp_path / "once", pairs, formats=["huggingface", "parquet", "folder"])
    assert contents(folder) == contents(tmp_path / "once")


@pytest.mark.parametrize("change", ["pairs", "settings", "access", "image"])
def test_all_layouts_of_an_export_hold_the_same_pairs(tmp_path: Path, change: str) -> None:
    pairs, folder = families(tmp_path / "images"), tmp_path / "export"
    export(folder, pairs, formats=["parquet", "webdataset"])
    recipe: Mapping[str, Any] = PUBLIC
    settings: dict[str, Any] = {}
    if change == "pairs":
        pairs = pairs[:-3]
    elif change == "settings":
        settings = {"text": "findings"}
    elif change == "access":
        recipe = RECIPE
    else:
        Path(str(pairs[0].image and pairs[0].image.path)).unlink()
    formats = ["parquet", "webdataset", "folder"]
    export(folder, pairs, recipe, again=["folder"], formats=formats, **settings)
    export(tmp_path / "once", pairs, recipe, formats=formats, **settings)
    assert contents(folder) == contents(tmp_path / "once")


def test_a_layout_taken_over_leaves_the_earlier_export_unchanged(tmp_path: Path) -> None:
    """The exports share files until the new one is complete, so none may be written into."""
    pairs, folder = families(tmp_path / "images"), tmp_path / "export"
    export(folder, pairs, formats=["huggingface"])
    before = contents(folder)
    recipe = {**PUBLIC, "pairaug": {"version": "another"}}  # another card, the same pairs
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, copy_function=lambda a, b: Path(b).hardlink_to(a))
    export(folder, pairs, recipe, again=["folder"], formats=["huggingface", "folder"])
    assert contents(copy) == before
    assert b"PairAug another" in contents(folder)["huggingface/README.md"]


def test_without_links_a_kept_layout_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, folder = families(tmp_path / "images"), tmp_path / "export"
    export(folder, pairs, formats=["parquet"])
    before = contents(folder / "parquet")

    def no_links(*_: object) -> None:
        raise PermissionError("the file system has no links")

    monkeypatch.setattr("os.link", no_links)
    export(folder, pairs, again=["folder"], formats=["parquet", "folder"])
    assert contents(folder / "parquet") == before


def test_a_damaged_report_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    export(folder, [])
    good = json.loads((folder / "export.json").read_text())
    for content, image_defect in (
        ("{", r"cannot be read: not JSON"),
        ("[1]", r"has no JSON object"),
        (json.dumps({**good, "formats": "parquet"}), r"is damaged at formats"),
        (json.dumps({**good, "formats": ["parquet", "lmdb"]}), r"is damaged at formats"),
        (json.dumps({**good, "edition": None}), r"is damaged at edition"),
        (json.dumps({"formats": ["parquet"]}), r"is damaged at edition"),
    ):
        (folder / "export.json").write_text(content)
        with pytest.raises(
            RunError, match=rf"export\.json {image_defect}.*; delete .*export and export"
        ):
            export(folder, [])


def test_missing_and_changed_images_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone, changed, bare, broken, good = (real(tmp_path, index) for index in range(5))
    Path(str(gone.image and gone.image.path)).unlink()
    Path(str(changed.image and changed.image.path)).write_bytes(b"\xff\xd8\xff other image")
    (tmp_path / "broken.gif").write_bytes(b"GIF89a no image")
    broken = broken.with_image(ImageRef(path=str(tmp_path / "broken.gif")))
    (tmp_path / "folder.png").mkdir()
    folder = good.with_image(ImageRef(path=str(tmp_path / "folder.png")))
    pairs = [gone, changed, replace(bare, image=None), broken, replace(folder, id="a/b"), good]
    report = export(tmp_path / "export", pairs, formats=ALL)
    assert report.lost == {
        "changed_image": 1,
        "missing_image": 1,
        "no_image": 1,
        "unreadable_image": 2,
    }
    assert report.num_pairs == 1
    assert "5 kept pairs were not exported" in caplog.text
    assert "image 0" not in caplog.text
    card = (tmp_path / "export" / "README.md").read_text()
    assert "Could not be exported: changed_image 1, missing_image 1" in card
    assert json.loads((tmp_path / "export" / "export.json").read_text())["lost"] == report.lost


@pytest.mark.parametrize("formats", [["parquet"], ["chexzero"]])
def test_an_image_without_a_hash_is_decoded(tmp_path: Path, formats: list[str]) -> None:
    pair = real(tmp_path, 0)
    path = Path(str(pair.image and pair.image.path))
    path.write_bytes(path.read_bytes()[:200])
    # Without a hash, the image may never have been decoded.
    report = export(
        tmp_path / "export", [pair.with_image(ImageRef(path=str(path)))], formats=formats
    )
    assert report.lost == {"unreadable_image": 1}


def test_drop_reasons_are_complete(tmp_path: Path) -> None:
    """The reasons of the tests above are all reasons that the reference lists."""
    assert set(DROP_REASONS) == {
        *("no_image", "missing_image", "changed_image", "unreadable_image", "empty_text"),
        *("real_excluded", "branch_excluded", "split_excluded", "beyond_ratio"),
    }


def test_the_card_states_models_settings_and_terms(tmp_path: Path) -> None:
    export(tmp_path / "export", families(tmp_path / "images"), RECIPE, formats=ALL)
    card = (tmp_path / "export" / "README.md").read_text()
    for line in (
        "| train | 3 | 3 | 3 |",
        "- license, of every pair: CC BY-NC-SA 4.0",
        "- cite: Somebody 2020",
        "- read from `reports.csv`, SHA-256 `feed`",
        "**Restricted.**",
        "- score: `bundled`, SHA-256 `abc123`",
        "- edit: `roentgen`, SHA-256 `def`",
        "- kept of inter, by threshold: image_report > 0.3000",
        "edit.num_inference_steps: 50",
        "edit.model: roentgen",
        "Not for clinical use",
        "PairAug 0.1.0, seed 7",
        "| read | 9 | 9 | real 8 | empty_report 1 |",
        "| prune | 16 | 0 | real 8 | below_threshold 5 |",
        "| export | 15 |  | real 5, inter 5, intra 5 |  |",
        "| intra | directional | 5 |" + " 0.5000 |" * 7,
        "| edema | 5 / 0 / 0 | 0 / 0 / 5 | 0 / 0 / 5 |",
        "| fracture | 0 / 5 / 0 | 0 / 0 / 5 | 0 / 0 / 5 |",
        "chexzero/restricted-train-cxr.h5",
    ):
        assert line in card, line
    # No time, no folder and no internal server.
    for word in ("12.5", "/home", "somebody", "hospital", str(tmp_path)):
        assert word not in card
    head = yaml.safe_load(card.split("---")[1])
    assert {"synthetic", "restricted"} <= set(head["tags"])
    export(tmp_path / "public", [], {"source": {"access": "public", "license": "CC0"}})
    assert "estricted" not in (tmp_path / "public" / "README.md").read_text()
    export(tmp_path / "unknown", [], {})
    unknown = (tmp_path / "unknown" / "README.md").read_text()
    assert "license is not recorded" in unknown
    assert "**Restricted.**" in unknown


def test_scores_are_reported_by_quantiles(tmp_path: Path) -> None:
    values = np.linspace(-1, 1, 41)
    image = png_ref(grey(0))
    pairs = [
        Pair(f"a/{i}", Branch.INTER, "p", Report("x"), image=image, scores={"directional": value})
        for i, value in enumerate(values)
    ]
    report = export(tmp_path / "export", [*pairs, replace(pairs[0], id="b", scores={})])
    assert report.scores == {
        "inter": {
            "directional": {
                **{"pairs": 41, "lowest": -1.0, "5 %": -0.9, "25 %": -0.5, "50 %": 0.0},
                **{"75 %": 0.5, "95 %": 0.9, "highest": 1.0},
            }
        }
    }


def test_wrong_settings_are_errors() -> None:
    for wrong, message in (
        ({"formats": ["zip"]}, "'webdataset', 'parquet', 'huggingface', 'folder' or 'chexzero'"),
        ({"formats": []}, "at least 1 item"),
        ({"formats": ["parquet", "parquet"]}, "formats contains a duplicate"),
        ({"splits": []}, "at least 1 item"),
        ({"branches": [], "include_real": False}, "there is nothing to write"),
        ({"branches": ["real"]}, "'inter' or 'intra'"),
        ({"synthetic_per_real": -1}, "greater than or equal to 0"),
        ({"text": "all"}, "'impression\\+findings', 'impression' or 'findings'"),
    ):
        with pytest.raises(ValidationError, match=message):
            ExportSettings.model_validate(wrong)


def test_a_missing_library_is_an_error_before_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r'chexzero needs h5py: pip .*"pairaug\[hdf5\]"'):
        export(tmp_path / "export", [], formats=["chexzero"])
    assert not list(tmp_path.iterdir())
    export(tmp_path / "export", [], formats=["parquet"])


def test_progress_counts_every_living_pair(tmp_path: Path) -> None:
    done: list[int] = []
    pairs = families(tmp_path / "images")
    settings = ExportSettings(branches=("inter",), splits=("train",))
    stage = Export(settings, RunContext(seed=0, report_progress=done.append))
    stage.write(Pairs(pairs), tmp_path / "export", PUBLIC)
    assert sum(done) == 15


def test_names_are_escaped_in_the_card(tmp_path: Path) -> None:
    name = "a|b <img src=x> `c`\n# d [e](f)"
    recipe = {
        "source": {"name": name, "access": "public", "license": name, "hashes": {name: "0"}},
        "weights": {"score": {name: "1"}},
        "counts": {"read": {"in": 4, "dropped": {name: 1}}},
        "fingerprints": {"score": {"inputs": {"score.model": "```\n# d"}}},
    }
    export(tmp_path / "export", families(tmp_path / "images"), recipe=recipe)
    card = (tmp_path / "export" / "README.md").read_text().split("---\n", 2)[2]
    outside = re.sub(r"(?<!\\)`[^`\n]*`", "", card)
    assert "<img" not in outside.replace("\\<img", "")
    assert "\n# d" not in card
    assert "a\\|b \\<img src=x\\> \\`c\\` # d \\[e\\](f)" in card
    assert "`a|b <img src=x> 'c' # d [e](f)`" in card
    assert card.count("\n````") == 2
