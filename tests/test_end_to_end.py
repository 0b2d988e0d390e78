"""The demo with the bundled models, from phantoms to the page, in processes of its own."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pairaug.manifest import part_paths, read_pairs
from pairaug.pair import Branch
from pairaug.run import STAGES

# Small enough for a minute on two cores; four parts.
SMALL = (
    "read.num_patients=8",
    "part_size=2",
    "generate.num_inference_steps=6",
    "edit.num_inference_steps=6",
    "prune.inter.threshold=-1",
    "prune.intra.margin=0.2",
)


def command(out: Path, *more: str) -> list[str]:
    """A demo run as a user starts it."""
    words = ["demo", "--out", str(out)]
    for setting in (*SMALL, *more):
        words += ["--set", setting]
    return [sys.executable, "-c", "from pairaug.cli import main; main()", *words]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        f"{stage}/{path.name}": path.read_bytes()
        for stage in STAGES
        for path in part_paths(folder / stage)
    }


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A run that nobody disturbed, and what it said."""
    out = tmp_path_factory.mktemp("runs") / "demo"
    done = subprocess.run(command(out), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out, done


def test_it_ends_with_a_table_and_says_where_to_look(demo) -> None:
    out, done = demo
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line}
    assert {"read", "rewritten", "generated", "edited", "kept", "total"} <= rows.keys()
    assert rows["read"].split()[1] == "8"
    assert str(out / "summary.html") in done.stdout
    assert re.search(r"generate: done, \d+ pairs in ", done.stderr)
    # Nothing but our own lines: no bars or advice of libraries.
    assert all(re.match(r"\w+: ", line) for line in done.stderr.splitlines()), done.stderr


def test_both_branches_have_images_and_scores(demo) -> None:
    pairs = list(read_pairs(demo[0] / "prune"))
    for branch in Branch:
        living = [pair for pair in pairs if pair.branch is branch and pair.drop is None]
        assert living, branch
        assert all(pair.image is not None and pair.scores for pair in living)
        assert all(pair.image_embedding and pair.report_embedding for pair in living)
    kept = [pair for pair in pairs if pair.branch is Branch.INTRA and pair.drop is None]
    assert all(pair.trace["edit"]["cross_swapped"] > 0 for pair in kept)


def test_every_pair_is_accounted_for(demo) -> None:
    record = json.loads((demo[0] / "run.json").read_text())
    pairs = list(read_pairs(demo[0] / "prune"))
    living = sum(pair.drop is None for pair in pairs)
    dropped = sum(sum(counts["dropped"].values()) for counts in record["counts"].values())
    assert living + dropped == len(pairs)
    assert living == sum(record["counts"]["prune"]["living"].values())


def test_datasets_shows_the_pictures(demo, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.load_dataset(
        "parquet", data_files=str(demo[0] / "prune" / "*.parquet"), cache_dir=str(tmp_path)
    )["train"]
    pictures = [row["image"] for row in rows if row["image"] is not None]
    assert len(pictures) >= 16
    assert all(np.asarray(picture).std() > 0 for picture in pictures)


def test_the_export_reads_back(demo) -> None:
    shards = sorted((demo[0] / "export").rglob("*.tar"))
    assert shards
    names: list[str] = []
    for shard in shards:
        with tarfile.open(shard) as tar:
            for member in tar:
                names.append(member.name)
                if member.name.endswith(".png"):
                    file = tar.extractfile(member)
                    assert file is not None
                    Image.open(io.BytesIO(file.read())).verify()
    kept = sum(pair.drop is None for pair in read_pairs(demo[0] / "prune"))
    assert sum(name.endswith(".png") for name in names) == kept


def test_the_page_is_whole_and_asks_nothing_of_the_network(demo) -> None:
    page = (demo[0] / "summary.html").read_text()
    assert page.rstrip().endswith("</html>")
    assert page.count("<svg") >= 3
    assert "data:image/" in page
    assert not re.search(r'(?:src|href)="https?://', page)


def test_a_changed_setting_is_an_error_that_names_it(demo) -> None:
    before = bytes_of(demo[0])
    done = subprocess.run(
        command(demo[0], "edit.num_inference_steps=7"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "edit.num_inference_steps: 6 → 7" in done.stderr
    assert done.stderr.count("\n") == 1
    assert bytes_of(demo[0]) == before
