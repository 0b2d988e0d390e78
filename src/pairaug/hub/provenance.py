"""What a model was trained on, as far as its own `training.json` says."""

from __future__ import annotations

from pathlib import Path

from pairaug.json_text import JSONTextError, parse_json


def saw_phantoms_only(folder: Path) -> bool:
    """True if `pairaug train` wrote the model's folder, and trained on simulated patients alone."""
    path = folder / "training.json"
    if not path.is_file():
        return False
    try:
        content = parse_json(path.read_bytes())
    except JSONTextError:
        return False  # another program's file of that name
    recipe = content.get("recipe") if isinstance(content, dict) else None
    films = recipe.get("films") if isinstance(recipe, dict) else None
    if not isinstance(recipe, dict) or not isinstance(films, dict):
        return False
    # Where CLIP was trained on sources, its settings name phantoms all the same.
    return films.get("source") == "phantom" and not recipe.get("sources")
