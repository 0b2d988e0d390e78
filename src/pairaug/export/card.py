"""The dataset card of an export: what is in it, how it was made, and on what terms it may be used.

It is made from the run's own record, and says nothing that is not in there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

# The name that the ecosystem has for our split.
_HUB_SPLITS = {"train": "train", "validate": "validation", "test": "test"}

_STAGES = ("rewrite", "generate", "edit", "score", "prune")


def card_of(
    counts: Mapping[str, Mapping[str, int]],
    lost: Mapping[str, int],
    formats: Iterable[str],
    recipe: Mapping[str, Any],
    edition: str,
) -> str:
    """The card as Markdown with the YAML head that `datasets.load_dataset(folder)` reads.

    `counts` is split → branch → pairs, `recipe` the contents of the run's `run.json`, `edition` a
    name that no other contents have.
    """
    source = recipe.get("source") or {}
    sections = (
        _head(counts, formats, source, edition),
        "# Real and synthetic image-report pairs\n",
        _contents(counts, lost),
        _terms(source),
        _making(recipe),
        _LIMITS,
    )
    return "\n".join(sections)


_LIMITS = """\
## Limits
Synthetic films and reports are model output: a report may state what its film does not show. Not
for clinical use. Scores are cosines of one encoder, comparable within this export only.
"""


def _head(
    counts: Mapping[str, Mapping[str, int]],
    formats: Iterable[str],
    source: Mapping[str, Any],
    edition: str,
) -> str:
    head: dict[str, Any] = {
        "license": "other",
        "license_name": str(source.get("licence") or "not stated"),
        "tags": ["synthetic", "radiology", "image-text", "pairaug"],
    }
    if "parquet" in formats and counts:
        head["configs"] = [
            {
                # `datasets` keeps what it has read under this name, and does not look whether the
                # files behind it have changed: another export needs another name.
                "config_name": edition,
                "data_files": [
                    {"split": _HUB_SPLITS[split], "path": f"parquet/{split}-*.parquet"}
                    for split in counts
                ],
            }
        ]
    text = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    return f"---\n{text}---\n"


def _contents(counts: Mapping[str, Mapping[str, int]], lost: Mapping[str, int]) -> str:
    rows = [
        f"| {split} | {by.get('real', 0)} | {by.get('inter', 0)} | {by.get('intra', 0)} |"
        for split, by in counts.items()
    ]
    lines = [
        "## Contents",
        "| split | real | inter (synthetic: new patient) | intra (synthetic: same patient) |",
        "|---|---|---|---|",
        *rows,
        "",
        "Splits are by patient; a synthetic pair is in its source's split. `synthetic` is true for",
        "every pair that is not a real film with its real report.",
    ]
    if lost:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(lost.items()))
        lines.append(f"Left out while exporting: {reasons}.")
    return "\n".join([*lines, ""])


def _terms(source: Mapping[str, Any]) -> str:
    lines = ["## Licence and access"]
    if not source:
        lines.append("The source's licence is not recorded; ask whoever made this export.")
    else:
        lines += [
            f"- source: {source.get('name', 'not stated')}",
            f"- licence, inherited by every pair: {source.get('licence') or 'not stated'}",
            f"- access: {source.get('access', 'not stated')}",
        ]
        if source.get("citation"):
            lines.append(f"- to be cited: {source['citation']}")
    if source.get("access") != "public":
        lines += [
            "",
            "**Restricted.** The source's terms of access hold for synthetic pairs too, which were",
            "made from its reports and films. Do not pass this export on beyond them.",
        ]
    return "\n".join([*lines, ""])


def _making(recipe: Mapping[str, Any]) -> str:
    lines = ["## How it was made"]
    version = (recipe.get("pairaug") or {}).get("version")
    if version:
        lines.append(f"- PairAug {version}, seed {recipe.get('seed')}")
    for stage, models in (recipe.get("weights") or {}).items():
        lines += [f"- {stage}: `{model}`, SHA-256 `{sha}`" for model, sha in models.items()]
    for branch, fitted in (recipe.get("rule") or {}).items():
        if isinstance(fitted, Mapping) and "bounds" in fitted:
            bounds = ", ".join(f"{name} > {bound:.4f}" for name, bound in fitted["bounds"].items())
            without = "by rank, without a bound" if fitted.get("num_pairs") else "no pairs"
            lines.append(f"- kept of {branch}, by {fitted.get('rule')}: {bounds or without}")
    for stage, counted in (recipe.get("counts") or {}).items():
        dropped = counted.get("dropped") or {}
        if dropped:
            reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(dropped.items()))
            lines.append(f"- dropped at {stage}: {reasons}")
    settings = _settings(recipe)
    if settings:
        lines += ["", "Settings:", "", "```yaml", settings.rstrip(), "```"]
    return "\n".join([*lines, ""])


def _settings(recipe: Mapping[str, Any]) -> str:
    """The settings of the stages after reading, whose own name folders of this machine."""
    covered = {
        name: value
        for stage in _STAGES
        for name, value in (recipe.get("fingerprints") or {})
        .get(stage, {})
        .get("covers", {})
        .items()
        if name.startswith(f"{stage}.")
    }
    return yaml.safe_dump(covered, sort_keys=False, allow_unicode=True) if covered else ""
