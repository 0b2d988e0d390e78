from __future__ import annotations

from pathlib import Path

import pytest

from pairaug import bundled
from pairaug.errors import ModelError


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ModelError, match=r"no bundled model 'scorrer'; .* generator, scorer"):
        bundled.folder("scorrer")


def test_a_folder_without_weights_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "scorer").mkdir()
    monkeypatch.setattr(bundled, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(ModelError, match="the bundled scorer is not in"):
        bundled.folder("scorer")
    (tmp_path / "scorer" / "model.safetensors").touch()
    assert bundled.folder("scorer") == tmp_path / "scorer"
