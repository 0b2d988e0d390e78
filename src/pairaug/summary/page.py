"""The page: a run folder's results rendered as one HTML file."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from pairaug.notices import copies_messages, gate_message, keeps_nothing, notices
from pairaug.pair import Branch
from pairaug.summary import SummarySettings
from pairaug.summary.audit import audit_of
from pairaug.summary.borderline import strips
from pairaug.summary.charts import mark
from pairaug.summary.examples import (
    ExampleChoice,
    GalleryExample,
    choose,
    inter_example,
    intra_example,
)
from pairaug.summary.figures import (
    RuleLines,
    flow_figure,
    label_figure,
    losses,
    map_figures,
    score_figures,
)
from pairaug.summary.mismatches import mismatches_of
from pairaug.summary.records import RunPairs, load_facts, load_pairs
from pairaug.summary.thumbnails import DIFFERENCE_LIMIT
from pairaug.system.atomic import write_file

_log = logging.getLogger(__name__)

_BEFORE_IMAGES = ("read", "rewrite")
"""A pair dropped by one of these stages has a report at most."""

_WITHOUT_IMAGE = (*_BEFORE_IMAGES, "generate", "edit")
"""A pair dropped by one of these stages has no synthetic image."""


def write_page(run_folder: Path, settings: SummarySettings) -> Path:
    """The path of `summary.html`, written in one step."""
    facts = load_facts(run_folder)
    pairs = load_pairs(run_folder / "prune")
    html = render_page(run_folder.resolve().name, facts, pairs, settings)
    path = run_folder / "summary.html"
    write_file(path, html.encode())
    _log.info("wrote %s: %d pairs", path, len(pairs.ids))
    return path


def render_page(
    name: str, facts: Mapping[str, Any], pairs: RunPairs, settings: SummarySettings
) -> str:
    """The HTML of the page; a browser needs no network to show it."""
    choice = ExampleChoice(
        settings.max_examples, settings.dropped_fraction, int(facts.get("seed", 0))
    )
    examples = {
        branch: _examples(pairs, branch, settings, choice)
        for branch in (Branch.INTER, Branch.INTRA)
    }
    rules = rules_of(facts)
    template = _environment().get_template("page.html")
    return template.render(
        name=name,
        difference_limit=DIFFERENCE_LIMIT,
        facts=facts,
        is_phantom=facts.get("source", {}).get("layout") == "phantom",
        notices=notices(facts),
        gate=gate_message(facts["gate"]) if facts.get("gate") else "",
        copies=copies_messages(facts),
        counts=_counts(pairs),
        quality=facts.get("quality") or None,
        flow=flow_figure(pairs),
        losses=losses(pairs),
        stages=_stage_times(facts),
        scores=score_figures(pairs, rules, mismatches_of(pairs, choice.seed)),
        # A scorer that failed its gate decided nothing, so there is no threshold to be close to.
        strips=[] if keeps_nothing(facts) else strips(pairs, rules, settings),
        score_losses=[loss for loss in losses(pairs) if loss[0] in ("score", "prune")],
        audit=audit_of(pairs, facts),
        labels=label_figure(pairs),
        maps=map_figures(pairs, settings.max_points, choice.seed),
        inter=examples[Branch.INTER],
        intra=examples[Branch.INTRA],
    )


def rules_of(facts: Mapping[str, Any]) -> RuleLines:
    """The bounds that pruning fitted for each branch and score, from `run.json`."""
    return {
        (branch, score): float(bound)
        for branch, rule in facts.get("rule", {}).items()
        for score, bound in rule.get("bounds", {}).items()
    }


def _examples(
    pairs: RunPairs, branch: Branch, settings: SummarySettings, choice: ExampleChoice
) -> list[GalleryExample]:
    chosen = choose(pairs, branch, ~np.isin(pairs.drop_stages, _BEFORE_IMAGES), choice)
    parents = {pair_id: pairs.parents[pairs.row_of[pair_id]] for pair_id in chosen}
    whole = pairs.whole([*chosen, *(parent for parent in parents.values() if parent)])
    make = intra_example if branch is Branch.INTRA else inter_example
    return [
        make(whole[pair_id], whole[parent], settings.image_pixels)
        for pair_id, parent in parents.items()
        if parent
    ]


def _counts(pairs: RunPairs) -> dict[str, dict[str, int]]:
    """Branch → {all, generated, kept}; `generated` counts pairs with an image."""
    is_generated = ~np.isin(pairs.drop_stages, _WITHOUT_IMAGE)
    return {
        branch.value: {
            "all": pairs.num(pairs.of(branch)),
            "generated": pairs.num(pairs.of(branch) & is_generated),
            "kept": pairs.num(pairs.of(branch) & pairs.is_living),
        }
        for branch in Branch
    }


def _stage_times(facts: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """(stage, seconds, fraction of the slowest stage's seconds) in the order of execution."""
    seconds: Mapping[str, float] = facts.get("seconds", {})
    slowest = max(seconds.values(), default=0.0)
    return [(stage, spent, spent / slowest if slowest else 0.0) for stage, spent in seconds.items()]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pairaug.summary", "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["thousands"] = lambda count: f"{count:,}"
    environment.filters["duration"] = _duration
    environment.filters["percent"] = lambda fraction: f"{fraction:.0%}"
    environment.globals["key_mark"] = lambda name: mark(name, 7, 7, radius=4.5)
    return environment


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
