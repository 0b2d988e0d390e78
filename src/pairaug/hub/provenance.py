"""Training data of a model, from its `training.json`."""

from __future__ import annotations

from pathlib import Path

from pairaug.errors import ModelError
from pairaug.system.json_text import read_json_object


def saw_phantoms_only(folder: Path) -> bool:
    """True if `pairaug train` wrote the model's folder, and trained on simulated patients alone."""
    try:
        content = read_json_object(folder / "training.json", ModelError, "train the model again")
    except (FileNotFoundError, ModelError):
        return False  # missing, or another program's file of that name
    recipe = content.get("recipe")
    images = recipe.get("data") if isinstance(recipe, dict) else None
    if not isinstance(recipe, dict) or not isinstance(images, dict):
        return False
    # If CLIP was trained on sources, its settings still name phantoms.
    return images.get("layout") == "phantom" and not recipe.get("sources")
