"""What is written is there in full or not at all, flushed before it is renamed; nothing stays."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pairaug import atomic
from pairaug.errors import RunError


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    atomic.write_file(path, b"old")

    def stopped(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        atomic.write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_name_of_a_killed_write_is_removed(tmp_path: Path) -> None:
    (tmp_path / "run.json.writing").write_bytes(b"half")
    (tmp_path / "run.json").write_bytes(b"whole")
    atomic.remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, r"the disk is full: a\.bin does not fit in .* Make room and run the same"),
        (errno.EDQUOT, r"the disk is full: a\.bin "),
        (errno.EROFS, r"cannot write .*a\.bin: Read-only file system"),
        (errno.EIO, r"cannot write .*a\.bin: Input/output error"),
    ],
)
def test_a_disk_that_takes_no_more_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def refused(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refused)
    with pytest.raises(RunError, match=message) as raised:
        atomic.write_file(tmp_path / "a.bin", b"content")
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_a_new_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    for word in ("old", "new"):
        with atomic.new_folder(folder) as partial:
            (partial / word).write_text(word)
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [folder]


def fill_badly(partial: Path) -> None:
    (partial / "new").touch()
    raise KeyboardInterrupt


def test_a_folder_that_was_not_filled_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    with atomic.new_folder(folder) as partial:
        (partial / "old").touch()
    with pytest.raises(KeyboardInterrupt), atomic.new_folder(folder) as partial:
        fill_badly(partial)
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(
    ("there", "stays"),
    [
        ({"export.partial"}, None),
        ({"export", "export.partial"}, "export"),
        ({"export", "export.old"}, "export"),
        ({"export.old", "export.partial"}, "export.old"),
        ({"export.old"}, "export.old"),
        ({"export", "export.old", "export.partial"}, "export"),
    ],
)
def test_whatever_a_kill_left_is_settled(
    tmp_path: Path, there: set[str], stays: str | None
) -> None:
    for name in there:
        (tmp_path / name).mkdir()
        (tmp_path / name / "from").write_text(name)
    atomic.settle(tmp_path / "export")
    assert [path.name for path in tmp_path.iterdir()] == ([] if stays is None else ["export"])
    assert stays is None or (tmp_path / "export" / "from").read_text() == stays


class Disk:
    """Notes in which order files are flushed and renamed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[tuple[str, str]] = []
        fsync, replace, rename = os.fsync, os.replace, os.rename

        def noted_fsync(descriptor: int) -> None:
            self.steps.append(("flush", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
            fsync(descriptor)

        def noted_replace(source: os.PathLike[str], target: os.PathLike[str]) -> None:
            self.steps.append(("rename", os.fspath(target)))
            replace(source, target)

        def noted_rename(source: os.PathLike[str], target: os.PathLike[str]) -> None:
            self.steps.append(("rename", os.fspath(target)))
            rename(source, target)

        monkeypatch.setattr(os, "fsync", noted_fsync)
        monkeypatch.setattr(os, "replace", noted_replace)
        monkeypatch.setattr(os, "rename", noted_rename)


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")


@needs_proc
def test_a_file_is_flushed_before_its_rename_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    atomic.write_file(tmp_path / "a", b"content")
    at = str(tmp_path / "a")
    assert disk.steps == [("flush", f"{at}.writing"), ("rename", at), ("flush", str(tmp_path))]


@needs_proc
def test_all_of_a_folder_is_flushed_before_its_rename_and_its_parent_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    with atomic.new_folder(tmp_path / "store") as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "films.bin").write_bytes(b"content")
    at = str(tmp_path / "store")
    before = {f"{at}.partial{name}" for name in ("", "/inner", "/inner/films.bin")}
    assert set(disk.steps[:3]) == {("flush", name) for name in before}
    assert disk.steps[3:] == [("rename", at), ("flush", str(tmp_path))]


def test_a_file_system_that_flushes_no_folders_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def files_only(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").resolve().is_dir():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    atomic.write_file(tmp_path / "a", b"content")
    assert (tmp_path / "a").read_bytes() == b"content"
