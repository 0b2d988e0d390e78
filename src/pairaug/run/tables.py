"""Tables for the terminal: results, data quality, plans and checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.columns import Columns
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pairaug.manifest import part_paths
from pairaug.notices import copies_messages, notices
from pairaug.record import RunRecord
from pairaug.run.decisions import format_changes
from pairaug.run.doctor import Check, not_english_message
from pairaug.run.folder import RunFolder
from pairaug.run.plan import Plan
from pairaug.run.quality import list_unusable

# Stage → the state of a pair that it keeps, and the branches that the stage works on.
_ROWS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "read": ("read", ("real",)),
    "rewrite": ("rewritten", ("inter", "intra")),
    "generate": ("generated", ("inter",)),
    "edit": ("edited", ("intra",)),
    "score": ("scored", ("real", "inter", "intra")),
    "prune": ("kept", ("real", "inter", "intra")),
    "export": ("exported", ("real", "inter", "intra")),
    "summary": ("summarized", ()),
}


def print_result(
    console: Console,
    folder: RunFolder,
    record: RunRecord,
    *,
    only: str | None = None,
    num_decisions_before: int = 0,
) -> None:
    """Prints counts and times of the stages, warnings, and the paths of the results.

    `only` is the stage that was run, if not all were; `num_decisions_before` is the number of
    pruning decisions before it.
    """
    console.print(result_table(record, only))
    if only == "prune" and record.decisions:
        is_new = len(record.decisions) > num_decisions_before
        line = format_changes(folder, record) if is_new else "no change: the same pairs are kept"
        console.print(line, highlight=False, soft_wrap=True)
    for line in _warnings(record, only):
        console.print(line, highlight=False, soft_wrap=True)
    if folder.result("export").is_dir():
        console.print(f"export    {folder.result('export')}", highlight=False, soft_wrap=True)
    if folder.result("summary").is_file():
        console.print(f"summary   {folder.result('summary')}", highlight=False, soft_wrap=True)


def _warnings(record: RunRecord, only: str | None) -> Iterator[str | Text]:
    """Messages about copies, and warnings."""
    facts = record.as_json()
    if only in (None, "prune"):
        yield from copies_messages(facts)
    if only in (None, "generate", "edit", "score", "prune", "export"):
        yield from (Text(f"WARNING {message}", "yellow") for message in notices(facts))


def result_table(record: RunRecord, only: str | None = None) -> Table:
    """One row per finished stage: pairs by branch, drops by reason, seconds."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("pairs")
    for name in ("real", "inter", "intra"):
        table.add_column(name, justify="right")
    table.add_column("dropped", overflow="fold")
    table.add_column("seconds", justify="right")
    for stage, (done, branches) in _ROWS.items():
        if only not in (None, stage) or stage not in {*record.counts, *record.seconds}:
            continue
        counts = record.counts.get(stage, {})
        cells = [
            f"{counts.get('living', {}).get(branch, 0):,}" if branch in branches else ""
            for branch in ("real", "inter", "intra")
        ]
        seconds = f"{record.seconds.get(stage, 0.0):,.1f}"
        table.add_row(done, *cells, _format_drops(counts), seconds)
    if only is None:
        total = f"{sum(record.seconds.values()):,.1f}"
        table.add_row(Text("total", style="bold"), "", "", "", "", total)
    return table


_MAX_UNUSABLE = 3
"""Studies listed for each reason; the parts have all of them."""


def print_quality(
    console: Console, folder: RunFolder, record: RunRecord, *, show_ids: bool = False
) -> None:
    """Prints the data-quality table of the real pairs, and a few rejected studies."""
    quality = record.quality
    console.print(Text("data quality", style="bold"))
    console.print(
        Columns([_key_value_table(_quality_rows(quality)), _stated_table(quality)], padding=(0, 4))
    )
    if quality.get("not_english"):
        console.print(
            not_english_message(quality["not_english"], quality["usable"]), soft_wrap=True
        )
    if quality["dropped"]:
        console.print(_unusable_table(folder, quality["dropped"], show_ids))


def _quality_rows(quality: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, number) of every count; some counts are shown only if they are not 0."""
    always = [
        ("studies", f"{quality['studies']:,}"),
        ("pairs listed", f"{quality['records']:,}"),
        ("usable", f"{quality['usable']:,}"),
        ("images", f"{quality['images']:,}"),
        ("images missing", f"{quality['missing_images']:,}"),
        ("images unusable", f"{quality['unreadable_images']:,}"),
        ("duplicate images", f"{quality['duplicate_images']:,}"),
    ]
    sometimes = [
        ("images in two splits", quality["images_in_two_splits"]),
        ("text without image", quality["text_only"]),
        ("burnt-in annotation", quality["burnt_in"]),
        # Runs of earlier versions do not have these counts.
        ("16-bit images with fewer bits", quality.get("shallow", 0)),
        ("DICOM headers ignored", quality.get("ignored_headers", 0)),
        ("no findings section", quality["no_findings"]),
        ("no impression", quality["no_impression"]),
        ("no text", quality["no_text"]),
        ("not in English", quality.get("not_english", 0)),
    ]
    rows = always + [(name, f"{number:,}") for name, number in sometimes if number]
    rows += [(f"patients, {split}", f"{num:,}") for split, num in quality["patients"].items()]
    rows += [(f"view {view}", f"{number:,}") for view, number in quality["views"].items()]
    return rows + [(f"words, {name}", f"{num:,}") for name, num in quality["words"].items()]


def _key_value_table(rows: list[tuple[str, str]]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, number in rows:
        table.add_row(name, number)
    return table


def _stated_table(quality: Mapping[str, Any]) -> Table:
    by = "source's labels" if quality["stated_by"] == "labels" else "read from reports"
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"stated ({by})")
    for name in ("present", "absent", "not stated"):
        table.add_column(name, justify="right")
    for finding, counts in quality["stated"].items():
        table.add_row(finding, *(f"{number:,}" for number in counts.values()))
    return table


def _unusable_table(folder: RunFolder, dropped: Mapping[str, int], show_ids: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("rejected", "pairs", "id" if show_ids else "hash of id", "where and why"):
        table.add_column(name, justify="right" if name == "pairs" else "left", overflow="fold")
    named = list(list_unusable(part_paths(folder.stage("read")), _MAX_UNUSABLE, show_ids=show_ids))
    for reason, number in dropped.items():
        mine = [each for each in named if each.reason == reason]
        for index, each in enumerate(mine):
            first = (reason, f"{number:,}") if index == 0 else ("", "")
            table.add_row(*first, each.identifier, each.detail)
        if number > len(mine):
            table.add_row("", "", f"and {number - len(mine):,} more", f"in {folder.stage('read')}")
    return table


def print_plan(console: Console, plan: Plan) -> None:
    """Prints the plan of a run."""
    pairs = "?" if plan.num_pairs is None else f"{plan.num_pairs:,} pairs"
    parts = "" if plan.num_parts is None else f" in {plan.num_parts:,} part"
    parts += "s" if plan.num_parts not in (None, 1) else ""
    needed = (
        "" if plan.bytes_needed is None else f"about {_format_size(plan.bytes_needed)} of images, "
    )
    facts = Table(box=None, pad_edge=False, show_header=False)
    facts.add_row("folder", str(plan.folder))
    facts.add_row("disk", f"{needed}{_format_size(plan.bytes_free)} free")
    facts.add_row("read", f"{pairs} from {plan.source or '?'}{parts}")
    for reason, locations in plan.unusable.items():
        named = ", ".join(locations[:_MAX_UNUSABLE])
        more = (
            f" and {len(locations) - _MAX_UNUSABLE:,} more"
            if len(locations) > _MAX_UNUSABLE
            else ""
        )
        facts.add_row("rejected", f"{len(locations):,} {reason}: {named}{more}")
    if plan.rewriting:
        facts.add_row("rewrite", plan.rewriting)
    for stage, timing in plan.times.items():
        facts.add_row(stage, timing.format())
    facts.add_row("stages", ", ".join(_format_stage(stage, plan) for stage in plan.parts_done))
    for model, sha256 in plan.models.items():
        facts.add_row("model", f"{model}, SHA-256 {sha256[:12]}")
    if plan.warning:
        facts.add_row(Text("warning", style="yellow"), plan.warning)
    for problem in plan.problems:
        facts.add_row(Text("problem", style="bold red"), problem)
    console.print(facts)


def print_check(console: Console, check: Check) -> None:
    """Prints the result of one check."""
    label = Text("ok     ", "green") if check.is_ok else Text("problem", "bold red")
    if check.is_ok and check.is_warning:
        label = Text("warning", "yellow")
    console.print(label, f"{check.name}: {check.message}", soft_wrap=True)


def _format_stage(stage: str, plan: Plan) -> str:
    done = plan.parts_done[stage]
    return f"{stage} ({done} parts done)" if done else stage


def _format_drops(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{reason} {number:,}" for reason, number in counts.get("dropped", {}).items())


def _format_size(num_bytes: int) -> str:
    if num_bytes < 1024**3:
        return f"{num_bytes / 1024**2:,.0f} MB"
    return f"{num_bytes / 1024**3:,.1f} GB"
