"""Small models shipped with the package, trained on phantoms with `pairaug train`.

`generator` is a diffusers folder, `scorer` a transformers CLIP folder and `classifier` a
transformers image classifier; each has a `training.json` with its training settings.
"""

from __future__ import annotations

from pathlib import Path

from pairaug.errors import ModelError

BUNDLED = "bundled"
"""Value of a model setting for the package's own model."""

NAMES = ("generator", "scorer", "classifier")


def folder(name: str) -> Path:
    """The folder of the bundled model `name`, one of `NAMES`."""
    if name not in NAMES:
        raise ModelError(f"there is no bundled model {name!r}; the bundled models are {_listed()}")
    path = Path(__file__).parent / name
    if not any(path.rglob("*.safetensors")):
        raise ModelError(
            f"the bundled {name} is not in {path}: this copy of PairAug was installed without it. "
            f"Reinstall the package, or name a local folder or hub id (bundled are {_listed()})"
        )
    return path


def _listed() -> str:
    return ", ".join(NAMES)
