"""Accepts or rejects a rewrite, and lists its changes.

Reports are compared by their statements on each topic (`topics.py`), not by their words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pairaug.findings import Statement, extract, is_english
from pairaug.pair import Branch
from pairaug.rewrite.cleaning_patterns import DATES, DE_IDENTIFIED
from pairaug.rewrite.reasons import Reason
from pairaug.rewrite.targets import is_met
from pairaug.rewrite.topics import (
    Change,
    changes_between,
    contradictions_in,
    denies_normality,
    lost_topics,
)

# More changes mean another patient, or another report.
MAX_INTRA_CHANGES = 3

_REFUSAL = re.compile(
    r"\b(?:sorry|i can(?:no|')t|i am unable|i'm unable|unable to (?:assist|comply|provide|help)|"
    r"as an ai|language model|i cannot|cannot assist|not able to (?:assist|provide)|openai)\b",
    re.IGNORECASE,
)
_MARKUP = re.compile(
    r"[*#`{}|\\~^=\[\]]|</?\w+>|^\s*[-•]|\n\s*(?:[-•]|\d+[.)])|"
    r"\b(?:here(?:'s| is)|augmentation|augmented|rewritten|original report|word count)\b|"
    r"^(?:findings|impression|report|note)\s*:",
    re.IGNORECASE | re.MULTILINE,
)
_NAME = re.compile(
    r"\b(?:[Dd]r|[Mm]rs?|[Mm]s|[Pp]rof|[Dd]octor|[Nn]urse)\.?\s+[A-Z][a-z]+|"
    r"\b(?:[Ss]igned|[Dd]ictated|[Rr]ead|[Rr]eported|[Ii]nterpreted)(?: electronically)? by\b|"
    r"\b(?:[Pp]atient name|[Nn]ame of patient|MRN|DOB|[Mm]edical record|[Aa]ccession)\b|"
    r"\[(?:[Nn]ame|[Dd]ate|[Pp]atient|[Aa]ge)[^\]]*\]"
)
_COMPARES = re.compile(
    r"\b(?:compar(?:ed|ison)|prior|previous(?:ly)?|interval|unchanged|stable|again|persistent|"
    r"worsen(?:ed|ing)|improv(?:ed|ing|ement)|resolv(?:ed|ing)|resolution|no longer|remains?|"
    r"since the|earlier|new(?:ly)?|decreased|now)\b",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"^(?:(?:augmented|revised|new|modified|updated|rewritten)\s+)?(?:chest\s+x-?ray\s+)?"
    r"(?:report|findings|impression|augmentation)\s*:\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`reason` is None if the rewrite is accepted; `detail` quotes no report text."""

    reason: Reason | None
    detail: str = ""
    changes: tuple[Change, ...] = ()


def tidy(answer: str) -> str:
    """An answer without the quotes or the label that language models often add."""
    text = answer.strip()
    if len(text) > 1 and text[0] in "\"'“`" and text[-1] in "\"'”`":
        text = text.strip("\"'“”`").strip()
    text = _LABEL.sub("", text)
    if _MARKUP.search(text):
        return text  # unchanged, for the check
    return " ".join(text.split())


def check(
    branch: Branch,
    stated: Sequence[Statement],
    answer: str,
    max_words: int,
    target: str | None = None,
) -> CheckResult:
    """Checks `answer` as a rewrite of a report with the statements `stated`.

    With a `target`, that finding must be stated (inter) or be among the changes (intra).
    """
    problem = _problem_of_form(branch, answer, max_words)
    if problem:
        return problem
    after = extract(answer)
    if not after:
        return CheckResult(Reason.EMPTY_ANSWER, "it states no finding")
    # Contradictions of the source ("clear lungs; basal scarring") are not the rewrite's fault.
    contradicted = set(contradictions_in(after)) - set(contradictions_in(stated))
    if contradicted:
        named = ", ".join(sorted(contradicted))
        return CheckResult(Reason.CONTRADICTION, f"it contradicts itself on {named}")
    changes = changes_between(stated, after)
    if branch is Branch.INTER:
        result = _check_inter(changes, denies_normality(stated, after))
    else:
        result = _check_intra(changes, lost_topics(stated, after))
    if result.reason is None and target and not is_met(target, branch, after, changes):
        what = "state" if branch is Branch.INTER else "change"
        return CheckResult(Reason.OFF_TARGET, f"it does not {what} {target}, which was asked for")
    return result


def _problem_of_form(branch: Branch, answer: str, max_words: int) -> CheckResult | None:
    num_words = len(answer.split())
    if not any(character.isalpha() for character in answer):
        return CheckResult(Reason.EMPTY_ANSWER, "it has no text")
    if _REFUSAL.search(answer):
        return CheckResult(Reason.REFUSAL, "it declines instead of reporting")
    if not is_english(answer):
        return CheckResult(Reason.ANSWER_NOT_ENGLISH, "it is not in English")
    if DE_IDENTIFIED.search(answer) or DATES.search(answer) or _NAME.search(answer):
        return CheckResult(
            Reason.IDENTIFYING, "it holds a name, a date or a de-identification mark"
        )
    if _MARKUP.search(answer):
        return CheckResult(Reason.MARKUP, "it holds markup, a heading or a remark on itself")
    if num_words > max_words:
        return CheckResult(
            Reason.TOO_LONG, f"it has {num_words} words; at most {max_words} are allowed"
        )
    if branch is Branch.INTER and _COMPARES.search(answer):
        return CheckResult(Reason.COMPARES, "it speaks of an earlier image")
    return None


def _check_inter(changes: Sequence[Change], is_no_longer_normal: bool) -> CheckResult:
    if not is_no_longer_normal and not any(change.is_reversal for change in changes):
        return CheckResult(
            Reason.UNCHANGED, "it reverses no finding that the report states or denies"
        )
    return CheckResult(None, changes=tuple(changes))


def _check_intra(changes: Sequence[Change], lost: Sequence[str]) -> CheckResult:
    if lost:
        missing = ", ".join(lost)
        return CheckResult(Reason.CHANGED_TOO_MUCH, f"it no longer mentions: {missing}")
    if not changes:
        return CheckResult(
            Reason.UNCHANGED, "no finding appears, resolves, moves, worsens or improves"
        )
    if len(changes) > MAX_INTRA_CHANGES:
        return CheckResult(
            Reason.CHANGED_TOO_MUCH,
            f"it changes {len(changes)} findings; at most {MAX_INTRA_CHANGES} change at once",
        )
    return CheckResult(None, changes=tuple(changes))
