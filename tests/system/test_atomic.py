"""What is written is there in full or not at all, flushed before it is renamed; nothing stays."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pairaug.errors import RunError
from pairaug.system import atomic


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
    (tmp_path / ".run.json.writing-pairaug").write_bytes(b"half")
    (tmp_path / "run.json").write_bytes(b"whole")
    (tmp_path / ".vae.partial-pairaug" / "inner").mkdir(parents=True)
    atomic.remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (
            errno.ENOSPC,
            r"the disk is full: a\.bin does not fit in .* Free some space and run the same",
        ),
        (errno.EDQUOT, r"the disk is full: a\.bin "),
        (errno.EROFS, r"cannot write .*a\.bin: Read-only file system"),
        (errno.EIO, r"cannot write .*a\.bin: Input/output error"),
    ],
)
def test_full_disk_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def refused(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refused)
    with pytest.raises(RunError, match=message) as raised:
        atomic.write_file(tmp_path / "a.bin", b"content")
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_new_folder_replaces_old(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    for word in ("old", "new"):
        with atomic.new_folder(folder) as partial:
            (partial / word).write_text(word)
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [folder]


def fill_badly(partial: Path) -> None:
    (partial / "new").touch()
    raise KeyboardInterrupt


def test_failed_folder_keeps_old(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    with atomic.new_folder(folder) as partial:
        (partial / "old").touch()
    with pytest.raises(KeyboardInterrupt), atomic.new_folder(folder) as partial:
        fill_badly(partial)
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [folder]


PARTIAL, OLD = ".export.partial-pairaug", ".export.old-pairaug"


@pytest.mark.parametrize(
    ("there", "stays"),
    [
        ({PARTIAL}, None),
        ({"export", PARTIAL}, "export"),
        ({"export", OLD}, "export"),
        ({OLD, PARTIAL}, OLD),
        ({OLD}, OLD),
        ({"export", OLD, PARTIAL}, "export"),
    ],
)
def test_settle_after_kill(tmp_path: Path, there: set[str], stays: str | None) -> None:
    for name in there:
        (tmp_path / name).mkdir()
        (tmp_path / name / "from").write_text(name)
    atomic.settle(tmp_path / "export")
    assert [path.name for path in tmp_path.iterdir()] == ([] if stays is None else ["export"])
    assert stays is None or (tmp_path / "export" / "from").read_text() == stays


def test_user_files_are_kept(tmp_path: Path) -> None:
    """The names that a person gives to a copy are not taken for those of a killed process."""
    own = ("export.old", "export.partial", "export.bak", ".export.old", "thesis.writing")
    for name in own:
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes").write_text("mine")
    (tmp_path / "draft.writing").write_text("mine")
    (tmp_path / "run.json.writing").write_text("mine")
    atomic.remove_leftovers(tmp_path)
    with atomic.new_folder(tmp_path / "export") as partial:
        (partial / "new").touch()
    atomic.write_file(tmp_path / "run.json", b"{}")
    there = {path.name for path in tmp_path.iterdir()}
    assert there == {*own, "draft.writing", "run.json.writing", "export", "run.json"}
    assert all((tmp_path / name / "notes").read_text() == "mine" for name in own)


def test_new_files_join_others_and_marker_is_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    for name in ("config.json", "weights", "README.md"):
        (folder / name).write_text("old")
    replace, seen = Path.replace, []

    def noted(path: Path, target: Path) -> None:
        seen.append((path.name, (folder / "config.json").exists()))
        replace(path, target)

    with pytest.raises(KeyboardInterrupt), atomic.new_files(folder, "config.json") as partial:
        fill_badly(partial)
    assert {path.read_text() for path in folder.iterdir()} == {"old"}
    monkeypatch.setattr(Path, "replace", noted)
    with atomic.new_files(folder, "config.json") as partial:
        for name in ("config.json", "weights"):
            (partial / name).write_text("new")
    assert seen == [("weights", False), ("config.json", False)]
    texts = {path.name: path.read_text() for path in folder.iterdir()}
    assert texts == {"config.json": "new", "weights": "new", "README.md": "old"}
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_behind_a_link_is_replaced_where_it_is(tmp_path: Path) -> None:
    """As where a large disk is mounted elsewhere."""
    disk, link = tmp_path / "disk", tmp_path / "export"
    (disk / "export").mkdir(parents=True)
    link.symlink_to(disk / "export", target_is_directory=True)
    for word in ("one", "two"):
        with atomic.new_folder(link) as partial:
            (partial / word).touch()
            assert partial.parent == disk
        assert [path.name for path in link.iterdir()] == [word]
    assert link.is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"disk", "export"}
    assert [path.name for path in disk.iterdir()] == ["export"]


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
    assert disk.steps == [
        ("flush", str(tmp_path / ".a.writing-pairaug")),
        ("rename", at),
        ("flush", str(tmp_path)),
    ]


@needs_proc
def test_all_of_a_folder_is_flushed_before_its_rename_and_its_parent_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    with atomic.new_folder(tmp_path / "store") as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "images.bin").write_bytes(b"content")
    at = str(tmp_path / "store")
    before = {
        f"{tmp_path}/.store.partial-pairaug{name}" for name in ("", "/inner", "/inner/images.bin")
    }
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
