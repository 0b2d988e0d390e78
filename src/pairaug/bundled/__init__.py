"""The small models that come with the package, trained on phantoms by this project's own commands.

`generator` is a diffusers folder, `scorer` a transformers CLIP folder and `classifier` a
transformers image classifier; each has a `training.json` that says how it was made.
"""

from __future__ import annotations

from pathlib import Path

from pairaug.errors import ModelError

BUNDLED = "bundled"
"""How settings name the model of each kind that comes with the package."""

NAMES = ("generator", "scorer", "classifier")


def folder(name: str) -> Path:
    """The folder of the bundled model `name`, one of `NAMES`."""
    if name not in NAMES:
        raise ModelError(f"there is no bundled model {name!r}; the bundled models are {_listed()}")
    place = Path(__file__).parent / name
    if not any(place.rglob("*.safetensors")):
        raise ModelError(
            f"the bundled {name} is not in {place}: this copy of PairAug was installed without it. "
            f"Reinstall the package, or name a local folder or hub id (bundled are {_listed()})"
        )
    return place


def _listed() -> str:
    return ", ".join(NAMES)
