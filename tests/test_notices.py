"""What a reader must know is said where they look: doctor, terminal, page, card, run.json."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Sequence
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pairaug.cli import app
from pairaug.hub.provenance import saw_phantoms_only
from pairaug.manifest import read_pairs
from pairaug.notices import copies_messages, notices
from pairaug.pair import Branch
from pairaug.run import RunFolder

_FOREIGN = "Trained on simulated radiographs (phantoms) only: "


def _study(folder: Path, count: int) -> list[str]:
    """Settings that read images of noise, which are no phantoms, with a report each."""
    rng = np.random.default_rng(0)
    places = ("left base", "right base", "left apex", "right apex", "lingula")
    folder.mkdir()
    with (folder / "reports.csv").open("w", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("id", "file", "findings", "impression", "patient_id"))
        for row in range(count):
            pixels = rng.integers(0, 255, (40, 40), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{row}.png")
            text = f"Patchy opacity of {row + 2} mm at the {places[row % 5]}. No pneumothorax."
            rows.writerow((row, f"{row}.png", text, "Opacity.", f"p{row}"))
    return ["read.layout=table", f"read.table={folder / 'reports.csv'}", f"read.root={folder}"]


def _do(*words: object, sets: Sequence[str] = ()) -> str:
    given = [str(word) for word in words] + [part for each in sets for part in ("--set", each)]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    return re.sub(r"\s+", " ", result.output)


@pytest.fixture(scope="module")
def on_real_images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run with the bundled models on images that are no phantoms, and what it printed."""
    folder = tmp_path_factory.mktemp("real")
    settings = folder / "mine.yaml"
    settings.write_text("preset: demo\n", encoding="utf-8")
    sets = [
        *_study(folder / "study", 22),
        "generate.num_inference_steps=1",
        "edit.num_inference_steps=1",
    ]
    return folder / "run", _do("run", settings, "--out", folder / "run", sets=sets)


def test_bundled_models_on_real_images_are_said_everywhere(
    on_real_images: tuple[Path, str],
) -> None:
    run, printed = on_real_images
    page = unescape((run / "summary.html").read_text(encoding="utf-8"))
    card = (run / "export" / "README.md").read_text(encoding="utf-8")
    for text in (printed, _do("doctor", run), _do("score", run), page, card):
        assert _FOREIGN + "generate.model bundled" in text
        assert "score.model bundled" in text
    verdict = "This scorer cannot tell matching from mismatched reports: AUROC 0."
    for text in (printed, _do("score", run), page, card):
        assert verdict in text.replace("\\", "")
        assert "on 22 real pairs of 22 patients" in text
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert record["phantom_models"].keys() == {"generate", "edit", "score"}
    assert record["gate"]["result"] == "failed"
    synthetic = [pair for pair in read_pairs(run / "prune") if pair.branch is not Branch.REAL]
    assert {pair.drop.reason for pair in synthetic if pair.drop} <= {
        "scorer_cannot_tell",
        "nothing_to_change",
        "unchanged",
    }
    assert all(pair.drop for pair in synthetic)


def test_prune_again_says_what_changed(on_real_images: tuple[Path, str], tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(on_real_images[0], folder.path)
    assert not (folder.path / "decisions").exists()
    lenient = ["prune.gate.when_failed=warn", "prune.inter={rule: quantile, quantile: 0.5}"]
    printed = _do("prune", folder.path, sets=lenient)
    assert "prune.gate.when_failed is warn" in printed
    record = folder.load_record()
    before, after = record.decisions
    assert before["kept"] == {"inter": 0, "intra": 0}
    kept = [pair for pair in read_pairs(folder.stage("prune")) if pair.drop is None]
    for branch in (Branch.INTER, Branch.INTRA):
        assert after["kept"][branch.value] == sum(pair.branch is branch for pair in kept)
    assert after["kept"]["inter"] > 0
    assert f"inter 0 → {after['kept']['inter']}" in printed
    with (folder.path / "decisions" / "changes-00001.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["id"] for row in rows} == {p.id for p in kept if p.branch is not Branch.REAL}
    assert {(row["before"], row["now"]) for row in rows} == {("scorer_cannot_tell", "kept")}
    assert after["changed"] == {"newly_kept": len(rows), "no_longer_kept": 0}
    assert "no change: the same pairs are kept" in _do("prune", folder.path)
    # A decision that was stopped is noted once it is complete, whichever command completes it.
    _do("prune", folder.path, sets=["prune.gate.when_failed=drop"])
    (folder.stage("prune") / "part-00000.parquet").unlink()
    content = json.loads(folder.record_path.read_text(encoding="utf-8"))
    content["decisions"].pop()
    folder.record_path.write_text(json.dumps(content), encoding="utf-8")
    _do("run", folder.path)
    assert [entry["kept"]["inter"] for entry in folder.load_record().decisions] == [
        0,
        after["kept"]["inter"],
        0,
    ]


def test_a_run_of_nothing_usable_is_an_error_with_its_reasons(tmp_path: Path) -> None:
    sets = [
        *_study(tmp_path / "study", 4),
        "generate.num_inference_steps=1",
        "edit.num_inference_steps=1",
    ]
    for name in ("0.png", "1.png", "2.png"):
        (tmp_path / "study" / name).unlink()
    (tmp_path / "study" / "3.png").write_bytes(b"no image")
    (tmp_path / "mine.yaml").write_text("preset: demo\n", encoding="utf-8")
    words = ["run", str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "run")]
    given = [*words, *(part for each in sets for part in ("--set", each))]
    for _ in range(2):  # resumed, too
        result = CliRunner().invoke(app, given)
        assert result.exit_code == 1
        printed = re.sub(r"\s+", " ", result.output)
        assert "none of the 4 pairs of" in printed
        assert "missing_image 3, for example" in printed
        assert "unreadable_image 1" in printed
        assert not (tmp_path / "run" / "export").exists()


def test_doctor_looks_at_the_disk_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []

    def usage(path: Path) -> object:
        looked.append(Path(path))
        return shutil._ntuple_diskusage(9, 0, 3 * 1024**3)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    printed = _do("doctor", "--out", tmp_path / "other" / "run", sets=["read.num_patients=2"])
    assert looked == [tmp_path]
    assert f"3.0 GB free for {tmp_path / 'other' / 'run'}" in printed
    assert "warning" not in printed


def test_a_model_says_what_it_was_trained_on(tmp_path: Path) -> None:
    def trained_on(recipe: object) -> bool:
        (tmp_path / "training.json").write_text(json.dumps({"recipe": recipe}), encoding="utf-8")
        return saw_phantoms_only(tmp_path)

    assert not saw_phantoms_only(tmp_path)
    assert trained_on({"data": {"layout": "phantom"}})
    assert trained_on({"data": {"layout": "phantom"}, "sources": []})
    assert not trained_on({"data": {"layout": "phantom"}, "sources": [{"run": "runs/mine"}]})
    assert not trained_on({"data": {"layout": "run"}})
    assert not trained_on("else")
    for content in (b"\xff", b"[1]", b"{", b'{"recipe": ' + b"[" * 9000):
        (tmp_path / "training.json").write_bytes(content)
        assert not saw_phantoms_only(tmp_path)
    (tmp_path / "training.json").write_text("not JSON", encoding="utf-8")
    assert not saw_phantoms_only(tmp_path)


def test_phantoms_and_scorers_that_pass_need_no_notice() -> None:
    facts = {
        "source": {"layout": "phantom", "name": "phantoms"},
        "phantom_models": {"score": "bundled"},
        "gate": {"result": "passed"},
    }
    assert notices(facts) == []
    facts["source"] = {"layout": "table", "name": "study"}
    facts["phantom_models"] = {"score": "/home/somebody/models/mine"}
    (sentence,) = notices(facts)
    assert "score.model mine" in sentence
    assert "somebody" not in sentence


def test_a_search_for_copies_that_finds_none_says_how_near_they_are() -> None:
    found = {"bound": 0.93, "num_found": 0, "num_compared": 28, "num_sampled": 60}
    (printed,) = copies_messages({"rule": {"memorised": {**found, "nearest": 0.871}}})
    assert printed.startswith("memorised: 0 of 28 kept images")
    assert "than 0.9300" in printed
    assert "highest similarity is 0.8710" in printed
