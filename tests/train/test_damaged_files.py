"""Damaged files of a training: caches are rebuilt, checkpoints are refused in one line."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pairaug.errors import RunError
from pairaug.system.locks import hold_lock
from pairaug.train.arrays import open_array
from pairaug.train.checkpoint import load_state, save_state, saving
from pairaug.train.clip.sources import PairSource
from pairaug.train.clip.store import StoreSettings, open_store
from pairaug.train.image_dataset import ImageDatasetSettings, open_dataset

SOURCE = PairSource.model_validate(
    {"read": {"layout": "phantom", "num_patients": 5, "size": 32, "seed": 2}}
)


def settings(streamed: bool = False) -> StoreSettings:
    return StoreSettings(32, "crop", streamed, 1, 0)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


def replaced(path: Path) -> None:
    path.write_bytes(b"[1, 2, 3]\n")


@pytest.mark.parametrize("harm", [cut, emptied, flipped, replaced])
def test_a_damaged_checkpoint_is_one_line(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    path = tmp_path / "checkpoint.pt"
    save_state({"step": 3, "weights": torch.arange(4000.0)}, path)
    harm(path)
    with pytest.raises(RunError, match=r"checkpoint\.pt .*; delete it and so on$") as raised:
        load_state(path, "cpu", ["step"], "delete it and so on")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [{"weights": 1}, {}])
def test_a_checkpoint_that_lacks_something_is_one_line(tmp_path: Path, content: dict) -> None:
    save_state(content, tmp_path / "checkpoint.pt")
    with pytest.raises(RunError, match=r"not a checkpoint of this version: step is missing; then"):
        load_state(tmp_path / "checkpoint.pt", "cpu", ["step"], "then")


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"the disk is full: checkpoint\.pt does not fit"):
        save_state({"step": 3}, tmp_path / "checkpoint.pt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("harm", [cut, emptied, replaced, Path.unlink])
@pytest.mark.parametrize("name", ["rows.jsonl", "images.u8"])
def test_damaged_cache_is_rebuilt_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, harm: Callable[[Path], None]
) -> None:
    whole = open_store(SOURCE, settings(), tmp_path)
    images = whole.images(np.arange(len(whole.rows))).copy()
    (path,) = tmp_path.glob(f"*/{name}")
    harm(path)
    with caplog.at_level(logging.WARNING):
        again = open_store(SOURCE, settings(), tmp_path)
    assert "is damaged" in caplog.text
    assert "is built again" in caplog.text
    assert again.rows == whole.rows
    assert np.array_equal(again.images(np.arange(len(images))), images)
    assert len([each for each in tmp_path.iterdir() if each.name != ".lock"]) == 1


def test_leftovers_of_a_killed_training_are_removed(tmp_path: Path) -> None:
    open_store(SOURCE, settings(), tmp_path)
    left = tmp_path / ".0123.partial-pairaug"
    left.mkdir()
    (left / "images.u8").write_bytes(b"half")
    open_store(SOURCE, settings(), tmp_path)
    assert len([each for each in tmp_path.iterdir() if each.name != ".lock"]) == 1


@pytest.mark.parametrize("harm", [cut, emptied, replaced, Path.unlink])
def test_damaged_images_are_rendered_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None]
) -> None:
    chosen = ImageDatasetSettings(num_patients=3, num_validation=2, size=16, num_workers=1)
    whole = np.array(open_dataset(chosen, tmp_path).images)
    harm(tmp_path / "cache" / "images.npy")
    with caplog.at_level(logging.WARNING):
        again = open_dataset(chosen, tmp_path)
    assert "are damaged and are rendered or read again" in caplog.text
    assert np.array_equal(again.images, whole)


@pytest.mark.parametrize(
    "row",
    [
        {"reports": "no list", "labels": [1.0]},
        {"reports": [], "labels": [1.0]},
        {"reports": [3], "labels": [1.0]},
        {"reports": ["Clear."], "labels": [1.0, "no"]},
        {"reports": ["Clear."], "labels": [0.0, None]},  # another number of findings
        {"reports": ["Clear."], "labels": [0.0, None], "more": 1},
        [],
    ],
)
def test_damaged_row_renders_images_again(tmp_path: Path, row: Any) -> None:
    chosen = ImageDatasetSettings(num_patients=3, num_validation=2, size=16, num_workers=1)
    whole = open_dataset(chosen, tmp_path)
    path = tmp_path / "cache" / "reports.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("".join(f"{line}\n" for line in [*lines[:2], json.dumps(row), *lines[3:]]))
    assert open_dataset(chosen, tmp_path).reports == whole.reports


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": 3},
        {"branch": "zqxj"},
        {"findings": None},
        {"split": 1},
        {"image": {"start": "0", "length": 3}},
        {"image": {"start": 0, "length": -3}},
        {"image": {"path": 4}},
        {"more": 1},
    ],
)
def test_damaged_pair_row_rebuilds_the_cache(tmp_path: Path, wrong: dict) -> None:
    whole = open_store(SOURCE, settings(streamed=True), tmp_path)
    (path,) = tmp_path.glob("*/rows.jsonl")
    first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([json.dumps({**json.loads(first), **wrong}) + "\n", *rest]))
    assert open_store(SOURCE, settings(streamed=True), tmp_path).rows == whole.rows


@pytest.mark.parametrize("harm", [cut, emptied, flipped, replaced])
def test_images_of_unknown_settings_are_rendered_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None]
) -> None:
    chosen = ImageDatasetSettings(num_patients=3, num_validation=2, size=16, num_workers=1)
    whole = np.array(open_dataset(chosen, tmp_path).images)
    path = tmp_path / "cache" / "cache.json"
    content = path.read_bytes()
    harm(path)
    # Whatever they are, they are not taken for those of these settings.
    (tmp_path / "cache" / "images.npy").write_bytes(b"of others")
    with caplog.at_level(logging.WARNING):
        again = open_dataset(chosen, tmp_path)
    assert "cache.json" in caplog.text
    assert "its images are rendered or read again" in caplog.text
    assert np.array_equal(again.images, whole)
    assert path.read_bytes() == content


def test_unknown_images_are_left_alone(tmp_path: Path) -> None:
    chosen = ImageDatasetSettings(
        num_patients=3, num_validation=2, size=16, num_workers=1, cache=tmp_path
    )
    (tmp_path / "images.npy").write_bytes(b"a user's own")
    with pytest.raises(RunError, match=r"has images\.npy without the cache\.json .* name another"):
        open_dataset(chosen, tmp_path / "out")
    assert (tmp_path / "images.npy").read_bytes() == b"a user's own"


def test_trainings_that_share_images_wait(tmp_path: Path) -> None:
    chosen = ImageDatasetSettings(
        num_patients=3, num_validation=2, size=16, num_workers=1, cache=tmp_path
    )
    with ThreadPoolExecutor(1) as pool:
        with hold_lock(tmp_path):
            opening = pool.submit(open_dataset, chosen, tmp_path / "out")
            with pytest.raises(TimeoutError):
                opening.result(timeout=0.5)
            assert not (tmp_path / "images.npy").exists()
        assert len(opening.result().images) == 5


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_array_without_disk_space_fails_before_filling(
    small_disk: Path,
) -> None:
    """Filled through memory, a file that finds the disk full ends the process by SIGBUS."""
    filling = "array = open_array(path, np.uint8, (4, 1 << 20)); array[:] = 1"
    code = f"""if True:
        import pathlib
        import numpy as np
        from pairaug.errors import RunError
        from pairaug.train.arrays import open_array
        path = pathlib.Path({str(small_disk / "images.npy")!r})
        try:
            {filling}
        except RunError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("the disk is full: images.npy does not fit in "), done
    assert not list(small_disk.iterdir())


def test_an_array_without_room_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, start: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(RunError, match=r"the disk is full: images\.npy does not fit"):
        open_array(tmp_path / "images.npy", np.uint8, (4, 8))
    assert not list(tmp_path.iterdir())


def test_array_is_reused_if_it_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_supported(descriptor: int, start: int, length: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    path = tmp_path / "mean.npy"
    array = open_array(path, np.float16, (3, 2))
    assert not array.any()
    array[:] = 7
    array.flush()
    assert (open_array(path, np.float16, (3, 2)) == 7).all()
    cut(path)
    monkeypatch.setattr(os, "posix_fallocate", not_supported, raising=False)
    assert not open_array(path, np.float16, (3, 2)).any()
    assert open_array(path, np.uint8, (3, 2)).dtype == np.uint8
    assert open_array(path, np.uint8, (0, 2)).shape == (0, 2)


def test_saving_to_a_full_disk_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    with pytest.raises(RunError, match=r"cannot write the weights in .*clip: "):
        save_into(tmp_path / "clip")


def save_into(folder: Path) -> None:
    with saving(folder):
        save_file({"a": torch.zeros(3)}, folder / "gone" / "model.safetensors")
