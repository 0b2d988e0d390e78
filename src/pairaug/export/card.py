"""The dataset card of an export: its contents, how they were generated, and the terms of use.

It is built from the run's record alone. It has no time and no path of the machine, so that the same
run gives the same card.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Literal

import yaml

from pairaug.export.record import Terms
from pairaug.export.tally import QUANTILES, ExportReport
from pairaug.notices import copies_messages, gate_message, notices

_STAGES = ("read", "rewrite", "generate", "edit", "score", "prune")

# Addresses of servers, which may be internal.
_ADDRESSES = ("rewrite.base_url", "rewrite.azure.endpoint")

_LOADING = {
    "webdataset": 'open_clip: `--dataset-type webdataset --train-data "webdataset/{stem}-*.tar"`, '
    "with the shard numbers in braces in place of `*`",
    "parquet": '`datasets.load_dataset("FOLDER")`, where FOLDER is the folder of this card',
    "huggingface": '`datasets.load_from_disk("FOLDER/huggingface")`',
    "folder": "`pandas.read_csv`; images in the column `file`, from `folder/`; "
    "`{stem}-open_clip.tsv` is for open_clip",
    "chexzero": "CheXzero's `run_train.py --cxr_filepath chexzero/{stem}-cxr.h5 "
    "--txt_filepath chexzero/{stem}-impressions.csv`",
}

_LIMITS = """\
## Limits
- Synthetic images and reports are model output: a report may state findings that its image does not
  show, and an image may show findings that its report leaves out. Not for clinical use.
- Labels are extracted from the reports by a program, or taken from the source; no radiologist has
  checked those of synthetic pairs.
- Scores are cosine similarities of one encoder's embeddings, comparable within this export only.
  Pruning keeps the pairs that this encoder prefers.
- A generator can reproduce images that it was trained on, so synthetic images can still identify
  patients.
- A test on synthetic pairs measures the models that generated them. Test on real pairs.
"""


def head_of(report: ExportReport, terms: Terms, layout: Literal["parquet", "huggingface"]) -> str:
    """The YAML header that `datasets.load_dataset(folder)` reads, for one layout's files."""
    tags = ["synthetic", "radiology", "chest-x-ray", "image-text", "pairaug"]
    head: dict[str, Any] = {
        "license": "other",
        "license_name": terms.license,
        "pretty_name": f"Real and synthetic image-report pairs of {terms.source}",
        "task_categories": ["zero-shot-image-classification", "image-to-text"],
        "tags": [*tags, "restricted"] if terms.restricted else tags,
    }
    if layout in report.formats and report.counts:
        head["configs"] = [
            {
                # `datasets` caches what it has read under this name and does not check whether the
                # files have changed, so each export needs its own name.
                "config_name": report.edition[:12],
                "data_files": [
                    {"split": split, "path": _pattern(layout, split, terms)}
                    for split in report.counts
                ],
            }
        ]
    text = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    return f"---\n{text}---\n"


def card_of(
    report: ExportReport, terms: Terms, recipe: Mapping[str, Any], settings: Mapping[str, Any]
) -> str:
    """The card as Markdown, without its YAML header.

    `recipe` is the contents of the run's `run.json`, `settings` are those of the export.
    """
    mark = "RESTRICTED: " if terms.restricted else ""
    sections = (
        f"# {mark}Real and synthetic image-report pairs of {_plain(terms.source)}\n",
        _notices(recipe),
        _contents(report),
        _layouts(report, terms),
        _other_sections(report),
        _terms(terms, recipe.get("source") or {}),
        _making(recipe, settings),
        _dropping(report, recipe),
        _scores(report),
        _labels(report),
        _LIMITS,
    )
    return "\n".join(section for section in sections if section)


def _pattern(layout: str, split: str, terms: Terms) -> str:
    if layout == "parquet":
        return f"parquet/{terms.stem(split)}-*.parquet"
    return f"{split}/*.arrow"


def _notices(recipe: Mapping[str, Any]) -> str:
    """Warnings to read before using the synthetic pairs."""
    lines = [f"> **Warning.** {_plain(sentence)}\n" for sentence in notices(recipe)]
    return "\n".join(["## Before you use it", *lines]) if lines else ""


def _contents(report: ExportReport) -> str:
    rows = [
        [split, *(by_branch.get(name, 0) for name in ("real", "inter", "intra"))]
        for split, by_branch in report.counts.items()
    ]
    heads = ("split", "real", "inter (synthetic: new patient)", "intra (synthetic: same patient)")
    lines = [
        "## Contents",
        *_table(heads, rows),
        "",
        "Splits are by patient; a synthetic pair is in its source's split. `synthetic` is true for",
        "every pair except a real image with its real report; `source_patient_id` is the patient",
        "of the source pair.",
    ]
    return "\n".join([*lines, ""])


def _layouts(report: ExportReport, terms: Terms) -> str:
    stem = terms.stem(next(iter(report.counts), "train"))
    rows = [[f"`{name}/`", _LOADING[name].format(stem=stem)] for name in report.formats]
    return "\n".join(["## Layouts", *_table(("folder", "how to load it"), rows, _as_is), ""])


def _other_sections(report: ExportReport) -> str:
    """The number of pairs in each layout whose text is not the section that was asked for."""
    lines = [
        f"- `{layout}`: {_living(by_branch)}"
        for layout, by_branch in report.other_section.items()
        if any(by_branch.values())
    ]
    if not lines:
        return ""
    return "\n".join(["## Pairs whose text is the other section", *lines, ""])


def _terms(terms: Terms, source: Mapping[str, Any]) -> str:
    lines = ["## License and access"]
    if not source:
        lines.append("The source's license is not recorded; ask the author of this export.")
    else:
        lines += [
            f"- source: {_plain(terms.source)}",
            f"- license, of every pair: {_plain(terms.license)}",
            f"- access: {_plain(terms.access)}",
        ]
        if source.get("citation"):
            lines.append(f"- cite: {_plain(source['citation'])}")
        for name, value in (source.get("hashes") or {}).items():
            lines.append(f"- read from {_code(_without_folders(name))}, SHA-256 {_code(value)}")
    if terms.restricted:
        lines += [
            "",
            "**Restricted.** The source's terms of access also apply to the synthetic pairs, which",
            "are derived from its reports and images. Do not share this export beyond those terms.",
            "Files are named `restricted-…`, and `restricted` is true in every pair's record.",
        ]
    return "\n".join([*lines, ""])


def _making(recipe: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    lines = ["## How it was generated"]
    version = (recipe.get("pairaug") or {}).get("version")
    if version:
        lines.append(f"- PairAug {version}, seed {recipe.get('seed')}")
    for stage, models in (recipe.get("weights") or {}).items():
        lines += [
            f"- {stage}: {_code(_without_folders(model))}, SHA-256 {_code(sha)}"
            for model, sha in models.items()
        ]
    for branch, fitted in (recipe.get("rule") or {}).items():
        if isinstance(fitted, Mapping) and "bounds" in fitted:
            bounds = ", ".join(f"{name} > {bound:.4f}" for name, bound in fitted["bounds"].items())
            without = "by rank, without a bound" if fitted.get("num_pairs") else "no pairs"
            lines.append(f"- kept of {branch}, by {fitted.get('rule')}: {bounds or without}")
    gate = recipe.get("gate") or {}
    if gate.get("result") == "passed":
        lines.append(f"- {_plain(gate_message(gate))}")
    lines += [f"- {sentence}" for sentence in copies_messages(recipe)]
    written = _settings(recipe, settings).rstrip()
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", written)), default=0))
    lines += ["", "Settings:", "", f"{fence}yaml", written, fence]
    return "\n".join([*lines, ""])


def _dropping(report: ExportReport, recipe: Mapping[str, Any]) -> str:
    counts = recipe.get("counts") or {}
    rows = [
        [
            stage,
            counted.get("in", ""),
            counted.get("created", ""),
            _living(counted.get("living") or {}),
            _reasons(counted.get("dropped") or {}),
        ]
        for stage, counted in ((stage, counts[stage]) for stage in _STAGES if stage in counts)
    ]
    left_out = _reasons({**report.left_out, **report.lost})
    num_in = report.num_pairs + sum(report.left_out.values()) + sum(report.lost.values())
    rows.append(["export", num_in, "", _living(report.by_branch), left_out])
    heads = ("stage", "pairs in", "pairs created", "pairs out", "dropped, by reason")
    lines = ["## Kept and dropped", *_table(heads, rows)]
    if report.left_out:
        lines += ["", f"Excluded by the export's settings: {_reasons(report.left_out)}."]
    if report.lost:
        lines += ["", f"Could not be exported: {_reasons(report.lost)}."]
    return "\n".join([*lines, ""])


def _scores(report: ExportReport) -> str:
    rows = [
        [branch, name, spread["pairs"], *(f"{spread[point]:.4f}" for point in QUANTILES)]
        for branch, by_score in report.scores.items()
        for name, spread in by_score.items()
    ]
    if not rows:
        return ""
    heads = ("branch", "score", "pairs", *QUANTILES)
    return "\n".join(["## Scores of the exported pairs", *_table(heads, rows), ""])


def _labels(report: ExportReport) -> str:
    branches = list(report.labels)
    if not branches:
        return ""
    rows = [
        [name, *(" / ".join(map(str, report.labels[branch][name].values())) for branch in branches)]
        for name in report.labels[branches[0]]
    ]
    lines = ["## Label balance", "Pairs that state a finding / deny it / do not mention it.", ""]
    return "\n".join([*lines, *_table(("finding", *branches), rows), ""])


def _settings(recipe: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """The settings of all stages but `read`, whose settings are folders of this machine."""
    covered = {
        name: _without_folders(value)
        for stage in _STAGES[1:]
        for name, value in (recipe.get("fingerprints") or {})
        .get(stage, {})
        .get("inputs", {})
        .items()
        if name.startswith(f"{stage}.") and name not in _ADDRESSES
    }
    covered |= {f"export.{name}": value for name, value in own.items() if name != "formats"}
    return yaml.safe_dump(covered, sort_keys=False, allow_unicode=True)


def _without_folders(value: Any) -> Any:
    """The last part of an absolute path: the rest may name the machine's user."""
    return PurePath(value).name if isinstance(value, str) and value.startswith("/") else value


def _living(living: Mapping[str, int]) -> str:
    names = [name for name in ("real", "inter", "intra") if living.get(name)]
    return ", ".join(f"{name} {living[name]}" for name in names)


def _reasons(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))


def _plain(value: Any) -> str:
    """`value` on one line, escaped for Markdown: names come from data and settings."""
    text = " ".join(str(value).split())
    return re.sub(r"[\\|<>`\[\]*]", r"\\\g<0>", text)


def _code(value: Any) -> str:
    """`value` as code on one line, with backticks replaced."""
    return f"`{' '.join(str(value).replace('`', chr(39)).split())}`"


def _as_is(value: Any) -> str:
    return str(value)


def _table(
    heads: Sequence[str], rows: Sequence[Sequence[Any]], cell: Callable[[Any], str] = _plain
) -> list[str]:
    return [
        f"| {' | '.join(map(cell, heads))} |",
        "|---" * len(heads) + "|",
        *(f"| {' | '.join(map(cell, row))} |" for row in rows),
    ]
