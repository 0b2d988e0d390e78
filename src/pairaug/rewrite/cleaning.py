"""Cleans reports for prompting: this image's findings, without history, earlier images or marks.

Use `source_report` wherever a report is rewritten, prompted or compared with its rewrite. Cleaning
only leaves text out; it adds no statement.
"""

from __future__ import annotations

import re
from functools import lru_cache
from html import unescape
from itertools import pairwise

from pairaug.findings.extract import extract
from pairaug.findings.sentences import sentences
from pairaug.findings.statement import Statement
from pairaug.rewrite.cleaning_patterns import (
    ASIDES,
    DATES,
    DE_IDENTIFIED,
    HEADING,
    MARKED_ADJECTIVE,
    MARKED_FINDING,
    MARKED_GUESS,
    MARKED_ITEM,
    NOT_THIS_IMAGE,
    NOTED_ELSEWHERE,
    ONE_SENTENCE,
    OPENINGS,
    OTHER_IMAGING,
    REMARKS,
    REMOVED_DEVICE,
    RESOLVED,
    SECTIONS_LEFT_OUT,
)
from pairaug.rewrite.comparisons import without_comparisons
from pairaug.rewrite.mending import (
    as_noun_phrase,
    finished,
    is_bare,
    is_fragment,
    is_stated_by,
    without_bare_tail,
)

MAX_PROMPT_WORDS = 50
"""The paper's limit for a report in a prompt."""

# Remains of an export's markup: "normal.&gt;]".
_STRAY = re.compile(
    r"\[[ ]?[xX\u2713\u2714]?[ ]?\]|[\u2610-\u2612]|[\[\]{}|*#`~^]|(?<!\w)[<>]|[<>](?!\w)"
)
_MARK = (
    r"(?:(?:see|white|black|red|yellow|blue|green|open|solid|curved|long|short|thin|thick) )*"
    r"(?:arrow ?heads?|arrows?|asterisks?|stars?|circles?|(?:figs?|figures?|panels?)(?![a-z])\.?)"
    r"(?: ?\d{1,2} ?[a-z]?| [a-z])?"
)
# "Opacities (white arrows) in both bases": the mark does not end a sentence.
_FIGURE_MARK = re.compile(
    rf" ?\( ?{_MARK}(?:(?:,|;| and| in) ?{_MARK})* ?\)(?=[\s.,;:)]|$)", re.IGNORECASE
)
_PARENTHESES = re.compile(r"\s*\(([^()]*)\)")
_CLAUSE = re.compile(r"\s*(?:[,;:]|\b(?:and|but|with|however|which|although|while|where)\b)\s*")
# "Views show the heart to be enlarged" becomes "the heart is enlarged".
_TO_BE = re.compile(r"(?<=[a-rt-z] )to be\b")
_WITHOUT = re.compile(
    r"^\s*without (?:(?:any|definite|convincing|clear) )?(?:evidence (?:of|for) )?", re.I
)
_OTHERWISE = re.compile(r"\botherwise\b", re.IGNORECASE)
_VERBS_OF_A_TAIL = ("shows", "showed", "indicates", "started", "could", "represents", "needs")


def source_report(report: str, max_words: int = MAX_PROMPT_WORDS) -> str:
    """`report` cleaned and shortened for prompts. Empty if nothing is left."""
    return shorten(clean(report), max_words)


def clean(report: str) -> str:
    """`report` reduced to sentences about this image.

    Removes history, indication, technique and comparison, both sections and words; other imaging;
    advice; dates; and de-identification marks with their clause. A finding that has resolved is
    denied. Repeated sentences are kept once. A sentence that would become a fragment, or change its
    meaning, is removed whole. Cleaning is idempotent.
    """
    text = _sections_kept(report)
    kept: list[str] = []
    for start, end in sentences(text):
        sentence = _clean_sentence(text[start:end])
        if sentence and sentence.lower() not in (other.lower() for other in kept):
            kept.append(sentence)
    return " ".join(_with_their_exceptions(kept, text) if _OTHERWISE.search(text) else kept)


def _with_their_exceptions(kept: list[str], text: str) -> list[str]:
    """The sentences without "Otherwise clear" if its exception was removed."""
    stated = extract(text)
    if is_stated_by(extract(" ".join(kept)), stated):
        return kept
    return [sentence for sentence in kept if is_stated_by(extract(sentence), stated)]


def shorten(text: str, max_words: int = MAX_PROMPT_WORDS) -> str:
    """`text` with whole sentences removed until it has at most `max_words` words.

    Order of removal: sentences without findings, repetitions, general denials, named denials, open
    questions, and last findings, later ones before earlier ones. From a single sentence that is too
    long, clauses without findings are removed.
    """
    kept = [text[start:end] for start, end in sentences(text)]
    while len(kept) > 1 and _num_words(kept) > max_words:
        stated = [extract(sentence) for sentence in kept]
        del kept[min(range(len(kept)), key=lambda index: (_worth(index, stated), -index))]
    if _num_words(kept) > max_words:
        kept = [_shorten_sentence(kept[0], max_words)]
    return " ".join(kept)


def shorten_both(before: str, after: str, max_words: int) -> tuple[str, str]:
    """Both texts, shortened by their common sentences until `after` fits.

    Sentences are removed from both in the order of `shorten`, so that the difference between the
    texts stays the same. If that is not enough, only `after` is shortened further.
    """
    old, new = ([text[start:end] for start, end in sentences(text)] for text in (before, after))
    while _num_words(new) > max_words and len(old) > 1:
        stated = [extract(sentence) for sentence in new]
        common = [index for index, sentence in enumerate(new) if sentence in old]
        if not common:
            break
        gone = new.pop(min(common, key=lambda index: (_worth(index, stated), -index)))
        old.remove(gone)
    return " ".join(old), shorten(" ".join(new), max_words)


def _num_words(parts: list[str]) -> int:
    return sum(len(part.split()) for part in parts)


def _worth(index: int, stated: list[list[Statement]]) -> int:
    """The loss from removing the sentence at `index`: 0 for none."""
    own = stated[index]
    if not own:
        return 0
    others = {_key(s) for other, some in enumerate(stated) if other != index for s in some}
    if all(_key(statement) in others for statement in own):
        return 1
    strongest = max(
        (
            {"absent": 1, "uncertain": 3, "present": 4}[statement.presence]
            for statement in own
            if statement.finding != "no finding"
        ),
        default=1,
    )
    if strongest == 1 and any(s.presence == "absent" and not s.implied for s in own):
        strongest = 2
    return strongest + 1


def _key(statement: Statement) -> tuple[str | None, ...]:
    return (
        statement.finding,
        statement.presence,
        statement.detail,
        statement.side,
        statement.zone,
        statement.severity,
    )


def _shorten_sentence(sentence: str, max_words: int) -> str:
    """The first clauses that state something and fit; otherwise the first words."""
    pieces = [piece for piece in _CLAUSE.split(sentence.rstrip(".")) if piece]
    telling = [piece for piece in pieces if extract(piece)]
    kept: list[str] = []
    for piece in telling:
        if _num_words([*kept, piece]) > max_words:
            break
        kept.append(piece)
    if not kept:
        words = (telling or pieces or [sentence])[0].split()
        return finished(" ".join(words[:max_words]))
    return finished(", ".join(kept))


def _sections_kept(report: str) -> str:
    """The report without headings, and without sections that are not about this image.

    A section without a heading after it counts as one sentence: "TECHNIQUE: Portable view. The
    heart is enlarged." keeps the heart.
    """
    text = re.sub(r"[ \t]+", " ", unescape(report).replace("\r", ""))
    text = _FIGURE_MARK.sub("", text) if "(" in text else text
    headings = list(HEADING.finditer(text))
    starts = [heading.start() for heading in headings] + [len(text)]
    parts = [text[: starts[0]]]
    for heading, end in zip(headings, starts[1:], strict=True):
        section = text[heading.end() : end]
        if not SECTIONS_LEFT_OUT.match(heading.group()):
            parts.append(section)
        elif heading is headings[-1] and ONE_SENTENCE.match(heading.group()):
            own = sentences(section)
            parts.append(section[own[0].end :] if own else "")
    # The end of a section ends a sentence, even without a full stop.
    return "\n\n".join(part.strip() for part in parts if part.strip())


# Cached: reports of one hospital share most of their sentences.
@lru_cache(maxsize=8192)
def _clean_sentence(sentence: str) -> str:
    """One sentence cleaned; empty if nothing about this image is left."""
    whole = text = " ".join(_STRAY.sub(" ", sentence).split())
    has_box = "[" in sentence or "\u2610" in sentence
    if has_box and _presences(extract(whole)) != _presences(extract(sentence)):
        return ""  # "Pneumothorax [ ]" without its empty box would state one
    text = _PARENTHESES.sub(lambda match: match.group() if extract(match.group(1)) else "", text)
    text = ASIDES.sub("", DATES.sub(" ", text))
    text = _without_opening(text)
    text = _without_marks(text)
    text = _without_other_things(text)
    if not text:
        return ""
    text = _resolved_as_denied(text)
    text = without_comparisons(text)
    if not _WITHOUT.match(whole):
        text = _WITHOUT.sub("no ", text, count=1)
    is_cut = text != whole
    text = finished(text)
    if is_cut:
        text = as_noun_phrase(without_bare_tail(text, whole))
    own = extract(text)
    if not (own or _is_remark(text)):
        return ""
    return "" if is_cut and not _still_says_it(text, own, whole) else text


def _still_says_it(part: str, own: list[Statement], whole: str) -> bool:
    """True if the rest of a sentence is not a fragment and states only what `whole` states."""
    return not is_fragment(part, whole) and is_stated_by(own, extract(whole))


def _is_remark(text: str) -> bool:
    """True for a sentence on another structure of the image, such as the aorta."""
    return bool(REMARKS.search(text)) and not is_bare(text)


def _without_opening(text: str) -> str:
    """The sentence without an opening such as "Chest X-ray on admission shows"."""
    for pattern in OPENINGS:
        match = pattern.match(text)
        if match and match.end() < len(text):
            text = _TO_BE.sub("is", text[match.end() :].lstrip(" ,:;-"), count=1)
    return text


def _without_marks(text: str) -> str:
    """The sentence without clauses with a de-identification mark, where words are missing."""
    if not DE_IDENTIFIED.search(text):
        return text
    text = MARKED_ADJECTIVE.sub("", NOTED_ELSEWHERE.sub(" ", text))
    text = MARKED_GUESS.sub("", MARKED_FINDING.sub(r"\1 ", text))
    if not DE_IDENTIFIED.search(text):
        return text
    return _clauses_without(DE_IDENTIFIED, MARKED_ITEM.sub("", text))


def _without_other_things(text: str) -> str:
    """Without clauses on history, treatment or advice; empty if about other imaging."""
    if OTHER_IMAGING.search(text):
        return ""
    return _clauses_without(NOT_THIS_IMAGE, text) if NOT_THIS_IMAGE.search(text) else text


def _clauses_without(pattern: re.Pattern[str], text: str, later: bool = True) -> str:
    """The clauses before the first match of `pattern` if they state anything, else later clauses.

    Clauses on both sides of a removed one are not joined: the rest must be one contiguous stretch.
    """
    stretches: list[tuple[int, int]] = []
    start: int | None = None
    for clause_start, clause_end in _clauses(text):
        if pattern.search(text, clause_start, clause_end):
            if start is not None:
                stretches.append((start, clause_start))
            if not later:
                break
            start = None
        elif start is None:
            start = clause_start
    else:
        if start is not None:
            stretches.append((start, len(text)))
    found = (_alone(text, *stretch) for stretch in stretches)
    return next((stretch for stretch in found if stretch), "")


def _clauses(text: str) -> list[tuple[int, int]]:
    bounds = [0, *(match.start() for match in _CLAUSE.finditer(text)), len(text)]
    return [(one, two) for one, two in pairwise(bounds) if two > one]


def _alone(text: str, start: int, end: int) -> str:
    """A stretch of clauses as a sentence; empty if its meaning would change.

    A list that has lost its "without" would state the denied findings, so it is prefixed by "no".
    """
    stretch = finished(_WITHOUT.sub("no ", text[start:end], count=1))
    words = stretch.split()
    if len(words) < 2 or words[0].lower() in _VERBS_OF_A_TAIL:
        return ""
    own = extract(stretch)
    before = [s for s in extract(text) if start <= s.start and s.end <= end]
    if own and _presences(own) == _presences(before):
        return "" if is_fragment(stretch, text) else stretch
    return _denial(text, before)


def _presences(statements: list[Statement]) -> list[tuple[str, str]]:
    return [(statement.finding, statement.presence) for statement in statements]


def _denial(text: str, statements: list[Statement]) -> str:
    """ "No A or B." for the denials in `text`; empty if one does not name its finding."""
    if not statements or any(s.presence != "absent" or s.implied for s in statements):
        return ""
    named = [
        " ".join(filter(None, (s.side, text[s.start : s.end].lower())))
        # A side also applies to the findings named after it.
        for s in sorted(statements, key=lambda s: s.side is not None)
        if s.finding not in ("cardiomegaly", "enlarged cardiomediastinum")
    ]
    if not named:
        return ""
    return f"No {' or '.join(filter(None, (', '.join(named[:-1]), named[-1])))}."


def _resolved_as_denied(text: str) -> str:
    """A resolved finding as a denial; a removed device is left out."""
    if REMOVED_DEVICE.search(text):
        return _clauses_without(REMOVED_DEVICE, text, later=False)
    if not RESOLVED.search(text):
        return text
    return _denial(text, extract(text)) or text
