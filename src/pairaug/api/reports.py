"""Reports rewritten, and the findings that a report states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from pairaug.api.html import table
from pairaug.api.inputs import read_reports, read_seed
from pairaug.errors import DataError, SettingsError
from pairaug.pair import Branch, Pair, Report

BackendName = Literal["rules", "openai", "azure", "transformers", "replay"]


@dataclass(frozen=True, slots=True)
class RewrittenReport:
    """One rewritten report."""

    report: str
    """The new report; of a rejected answer, its text or nothing."""
    source_report: str
    """The text that was rewritten: the given report without headings, history and comparisons, at
    most 50 words. Edit the image from this text to `report`."""
    changes: tuple[str, ...]
    """The findings that differ, such as `right pleural effusion: moderate → mild`."""
    drop_reason: str | None = None
    """The reason for which a run would drop this rewrite; None where it is accepted."""
    trace: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Backend, model, seed and attempts: `trace.rewrite` of a run's pair."""


class RewrittenReports(Sequence[RewrittenReport]):
    """Rewritten reports, one for each variant.

    `len`, indexing and iterating go over `RewrittenReport`. `.reports` lists the accepted texts;
    `.report`, `.source_report` and `.changes` are those of the first accepted one.
    """

    def __init__(self, items: Sequence[RewrittenReport]) -> None:
        self._items = tuple(items)

    @overload
    def __getitem__(self, index: int) -> RewrittenReport: ...
    @overload
    def __getitem__(self, index: slice) -> RewrittenReports: ...
    def __getitem__(self, index: int | slice) -> RewrittenReport | RewrittenReports:
        found = self._items[index]
        return RewrittenReports(found) if isinstance(found, tuple) else found

    def __len__(self) -> int:
        return len(self._items)

    @property
    def reports(self) -> list[str]:
        """The accepted texts."""
        return [item.report for item in self._items if item.drop_reason is None]

    @property
    def report(self) -> str:
        """The first accepted text."""
        return self._first.report

    @property
    def source_report(self) -> str:
        """The text that it was rewritten from."""
        return self._first.source_report

    @property
    def changes(self) -> tuple[str, ...]:
        """The findings that differ between the two."""
        return self._first.changes

    @property
    def _first(self) -> RewrittenReport:
        return next(item for item in self._items if item.drop_reason is None)

    def __repr__(self) -> str:
        return f"RewrittenReports({self.reports})"

    def _repr_html_(self) -> str:
        rows = [(each.report, "; ".join(each.changes or [each.drop_reason or ""])) for each in self]
        return table(("report", "changes"), rows)


def rewrite(
    report: str,
    branch: Literal["inter", "intra"] = "intra",
    *,
    backend: BackendName = "rules",
    seed: int = 0,
    variants: int = 1,
    settings: Mapping[str, Any] | None = None,
) -> RewrittenReports:
    """A report rewritten for the same patient, changed, or for a new one.

    Each answer is checked as in a run: it must be English, short, free of names and dates, and
    change what its branch asks for.

    Args:
        report: The radiologist's text. Headings, history and comparisons are removed first.
        branch: `"intra"` changes one to three findings of the same patient; `"inter"` writes a new
            patient's report.
        backend: `"rules"` works offline. `"openai"` is any server with OpenAI's interface (vLLM,
            llama.cpp, Ollama), `"azure"` Azure OpenAI, `"transformers"` a local chat model.
        seed: The same seed gives the same rewrites by rules.
        variants: Rewrites of the report.
        settings: Further settings of `rewrite`, as in a YAML file, such as
            `{"model": "qwen", "base_url": "http://127.0.0.1:8000/v1"}`. A server that is not local
            needs `allow_remote` and `data_policy`.

    Returns:
        A sequence of `RewrittenReport`, with `.report` and `.changes` of the first.

    Raises:
        DataError: The report is missing, or no variant was accepted.
        SettingsError: A value is unknown or out of range.
        BackendError: The language model's server cannot be reached.

    Examples:
        >>> result = pairaug.rewrite("Moderate right pleural effusion. No pneumothorax.", seed=9)
        >>> result.report
        'Small right pleural effusion. No pneumothorax.'
        >>> result.changes
        ('right pleural effusion: moderate → mild',)
    """
    from pairaug.api.settings import checked
    from pairaug.rewrite import Rewrite, RewriteSettings
    from pairaug.stage import RunContext

    (text,) = read_reports([report])
    if not isinstance(settings, Mapping | None):
        raise SettingsError(f"settings is {type(settings).__name__}; pass a dictionary")
    given = {**(settings or {}), "backend": backend, "branches": (branch,), "variants": variants}
    stage = Rewrite(checked(RewriteSettings, "rewrite", **given), RunContext(read_seed(seed)))
    pair = Pair("report", Branch.REAL, "patient", Report(findings=text))
    stage.fit([pair])
    parent, *children = stage([pair])
    if parent.drop is not None:
        raise DataError(_refusal(parent))
    if all(child.drop is not None for child in children):
        raise DataError(_refusal(children[0]))
    return RewrittenReports([_rewritten(child) for child in children])


def extract_findings(report: str) -> dict[str, bool | None]:
    """The findings that a report speaks of: True if present, False if denied, None if uncertain.

    The names are CheXpert's 14 observations in lower case. A finding that the report says nothing
    of is left out. Read by rules, for English chest reports; another language gives `{}`.

    Args:
        report: The text, with or without headings.

    Raises:
        DataError: The report is missing or empty.

    Examples:
        >>> findings = pairaug.extract_findings("No effusion. Mild edema. Possible pneumonia.")
        >>> findings["pleural effusion"], findings["edema"], findings["pneumonia"]
        (False, True, None)
        >>> "fracture" in findings
        False
    """
    from pairaug.findings import extract, is_english, labels_of

    (text,) = read_reports([report])
    statements = extract(text) if is_english(text) else []
    stated = {statement.finding for statement in statements}
    labels = labels_of(statements)
    return {name: value for name, value in labels.items() if name in stated or value is not None}


def _rewritten(child: Pair) -> RewrittenReport:
    trace = child.trace.get("rewrite", {})
    return RewrittenReport(
        report=child.report.text,
        source_report=child.source_report or "",
        changes=tuple(_in_words(change) for change in trace.get("changes", ())),
        drop_reason=None if child.drop is None else child.drop.reason,
        trace=trace,
    )


def _in_words(change: Mapping[str, str | None]) -> str:
    named = (change["side"], change["finding"], f"({change['detail']})" if change["detail"] else "")
    return f"{' '.join(filter(None, named))}: {change['from']} → {change['to']}"


def _refusal(pair: Pair) -> str:
    from pairaug.rewrite import MEANINGS, Reason

    assert pair.drop is not None
    detail = f" ({pair.drop.detail})" if pair.drop.detail else ""
    meaning = MEANINGS[Reason(pair.drop.reason)].rstrip(".")
    return f"the report was not rewritten ({pair.drop.reason}): {meaning}{detail}"
