from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pairaug.clip.folder import model_folder, model_type, weights_sha256
from pairaug.errors import ModelError


def test_a_local_folder_is_itself(tiny_scorer_folder: Path) -> None:
    assert model_folder(str(tiny_scorer_folder)) == tiny_scorer_folder
    assert model_type(tiny_scorer_folder) == "clip"


def test_hash_follows_weights_configuration_and_names(
    tiny_scorer_folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_scorer_folder, copy)
    original = weights_sha256(tiny_scorer_folder)
    assert weights_sha256(copy) == original
    (copy / "notes.md").write_text("of no consequence")
    assert weights_sha256(copy) == original
    path = copy / "preprocessor_config.json"
    text = path.read_text()
    path.write_text(text.replace("0.48", "0.47"))
    changed = weights_sha256(copy)
    assert changed != original
    path.write_text(text)
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert weights_sha256(copy) not in (original, changed)


def test_no_model_and_no_hub_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"cannot load the scorer nobody/nothing at revision v2"):
        model_folder("nobody/nothing", "v2")
    with pytest.raises(ModelError, match=r"there is no folder .*not there; the nearest"):
        model_folder(str(tmp_path / "not there"))


def test_rejects_folder_without_model(tiny_scorer_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no config\.json"):
        model_folder(str(tmp_path))
    shutil.copy(tiny_scorer_folder / "config.json", tmp_path)
    with pytest.raises(ModelError, match="has no weights"):
        model_folder(str(tmp_path))


def test_pickled_weights_need_consent(tiny_scorer_folder: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_scorer_folder / "config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(ModelError, match="set allow_pickle: true"):
        model_folder(str(tmp_path))
    assert model_folder(str(tmp_path), allow_pickle=True) == tmp_path
