"""One class name has one meaning in the whole package."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "pairaug"

KEPT = {
    "Images": "the shape of a batch of images, as each module of diffusion declares it",
    "Latents": "the shape of a batch of latents, as each module of diffusion declares it",
}
"""Names that stand more than once, and why."""


def definitions() -> dict[str, list[str]]:
    """Class name or type alias → the files that define it."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(str(path.relative_to(PACKAGE)))
        for node in tree.body:
            for name in _aliases(node):
                found[name].append(str(path.relative_to(PACKAGE)))
    return found


def _aliases(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        is_alias = getattr(node.annotation, "id", "") == "TypeAlias"
        return [node.target.id] if is_alias else []
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.BinOp):
        names = [each.id for each in node.targets if isinstance(each, ast.Name)]
        return [name for name in names if name[:1].isupper() and not name.isupper()]
    return []


def test_no_class_name_or_alias_is_defined_twice() -> None:
    twice = {name: files for name, files in definitions().items() if len(files) > 1}
    assert {name: files for name, files in twice.items() if name not in KEPT} == {}


def test_names_that_are_kept_still_stand_more_than_once() -> None:
    found = definitions()
    assert [name for name in KEPT if len(found[name]) < 2] == []
