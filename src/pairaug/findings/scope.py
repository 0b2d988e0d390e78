"""Words that locate, grade, join and separate findings, and the table of all terms.

Templates for `trie.expand`. Words of denial and doubt are in `triggers.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

from pairaug.findings.lexicon import (
    ANATOMY_PHRASES,
    FINDING_PHRASES,
    GENERAL_PHRASES,
    STATE_PHRASES,
)
from pairaug.findings.statement import Presence, Severity, Side, Zone
from pairaug.findings.trie import expand, pattern_of
from pairaug.findings.triggers import AFTER, BEFORE, CAUSES, EITHER, HISTORY, NOW, Table

Role = Literal[
    "finding",  # names a finding
    "general",  # names any abnormality: used only if denied
    "anatomy",  # a region that a remark may follow
    "state",  # such a remark: normal, clear, enlarged
    "before",  # sets the presence of what follows
    "after",  # sets the presence of what came before it
    "either",  # one or the other: "resolved effusion", "effusion resolved"
    "location",  # side, zone or severity of a finding near it
    "join",  # joins the items of a list
    "break",  # ends the reach of a denial
    "history",  # what follows is not about this image
    "cause",  # ends a history, an order or a limit of the view
    "again",  # stands for the finding named last: "but a small left one"
    "question",  # a question mark, before a finding or after it
    "answer",  # "(no)" after a finding; a check box, before all findings or after each
    "value",  # a colon or dash: what follows describes what is before it
    "ignore",  # would be misread otherwise
]


@dataclass(frozen=True, slots=True)
class Term:
    """Meaning of one phrase; `name` is its finding, region, state or joining word."""

    role: Role
    name: str = ""
    detail: str | None = None
    presence: Presence | None = None
    side: Side | None = None
    zone: Zone | None = None
    severity: Severity | None = None
    others: tuple[Term, ...] = ()  # findings that the same phrase names


class Token(NamedTuple):
    """One term at its position in the text."""

    term: Term
    start: int
    end: int


_SEVERITIES: dict[Severity, tuple[str, ...]] = {
    "mild": (
        "(mild|mildly|minimal|minimally|small|tiny|trace|slight|slightly|subtle|faint|minor)",
        "(very (small|mild|subtle)|small sized)",
    ),
    "moderate": (
        "(moderate|moderately|medium|moderate sized|medium sized)",
        "(mild|mildly|small|minimal|slight) to (moderate|moderately|moderate sized)",
    ),
    "severe": (
        "(severe|severely|large|extensive|massive|marked|markedly|huge|substantial|gross|grossly)",
        "(moderate|moderately) to (severe|severely|large|marked|markedly)",
    ),
}
_PLACES: dict[tuple[Side | None, Zone | None], tuple[str, ...]] = {
    ("left", None): ("left [sided]",),
    ("right", None): ("right [sided]",),
    ("bilateral", None): (
        "(bilateral|bilaterally|both|either side|either lung)",
        "(left|right) (greater|more|larger|worse) than [on the|the] (left|right)",
        "(greater|larger|worse|more|more prominent|more extensive) on the (left|right)",
    ),
    (None, "upper"): (
        "(upper|apical|apex|apices) [lobe|lobes|lung|lungs|zone|zones|lung zone|lung zones|"
        "lung field|lung fields]",
    ),
    (None, "middle"): (
        "(middle|mid|midlung|midzone|midzones|perihilar|parahilar|peri hilar) "
        "[lobe|lobes|lung|lungs|zone|zones|lung zone|lung zones|lung field|lung fields]",
    ),
    (None, "lower"): (
        "(lower|basal|basilar) [lobe|lobes|lung|lungs|zone|zones|lung zone|lung zones|"
        "lung field|lung fields]",
        "[lung] base",
        "retrocardiac",
    ),
    ("bilateral", "lower"): ("(bibasilar|bibasal|[lung] bases)",),
    ("bilateral", "upper"): ("biapical",),
    ("left", "upper"): ("lul",),
    ("left", "middle"): ("(lingula|lingular)",),
    ("left", "lower"): ("lll",),
    ("right", "upper"): ("rul",),
    ("right", "middle"): ("(rml|right middle lobe)",),
    ("right", "lower"): ("rll",),
}
_JOINS: dict[str, tuple[str, ...]] = {
    "and": ("(and|as well as|plus|along with|together with)",),
    "or": ("(or|and or)",),
    "with": ("(with|w) [associated|adjacent|overlying|underlying|superimposed]",),
}
_BREAKS: dict[str, tuple[str, ...]] = {
    "but": (
        "(but|however|except|except for|apart from|aside from|other than|yet|save for|besides)",
        "with [the] exception of",
    ),
    "": (
        "(although|though|while|whereas|which|despite|there is|there are|there has been)",
        "(shows|show|demonstrates|demonstrate|reveals)",
    ),
    "present": ("(is|are) [also|again] present",),
    "otherwise": ("otherwise",),
}
_IGNORED = (
    "(right|left) (atrium|ventricle|atrial|ventricular|heart border|cardiac border|"
    "[main|mainstem|main stem] bronchus|hemidiaphragm|diaphragm|arm|shoulder|neck|breast|axilla|"
    "upper quadrant|clavicle|paratracheal stripe)",
    "right atrium and [right] ventricle",
    "(soft tissue|subcutaneous|pedal|peripheral) (edema|oedema|emphysema|mass)",
    "(prior|previous|old) (pneumonia|tuberculosis|infection|granulomatous disease)",
    "pericardial (effusion|effusions)",
    "(bone|bony|soft tissue|breast|nipple) (density|densities|mass|masses|shadow|shadows)",
    "but not (diagnostic|specific|definite|definitive) (for|of)",
    "(left untreated|left in|right now|right clinical setting|right clinical context)",
    "(no|not|without) [yet|significant|significantly|interval|significant interval] "
    "(change|changed)",
    "(degenerative|chronic|postsurgical|postoperative|coronary artery|emphysematous|arthritic|"
    "senescent|granulomatous|obstructive pulmonary|atherosclerotic|reactive airways) "
    "[joint|disc|disk|bony] (disease|change|changes|process|finding|findings)",
    "(obstructive lung disease|chest wall)",
    "no longer",
    "(is|are|was|were|now|already) out of",
    "(upper|lower) (abdomen|extremity|thoracic|cervical|quadrant|chest wall)",
    "(mid|middle|upper|lower|proximal|distal) (svc|superior vena cava|trachea|thoracic spine)",
    "(mass effect|body mass|not optimal|not only|may have|convex to the (left|right))",
    "(left|right) convex[ity]",
)


@cache
def terms() -> dict[str, Term]:
    """Every phrase of the lexicon, without fillers → its meaning."""
    return {phrase.replace("~", ""): term for phrase, term in _phrases().items()}


@cache
def _phrases() -> dict[str, Term]:
    """Every phrase of the lexicon, with "~" for an optional filler word → its meaning."""
    found: dict[str, Term] = {}

    def add(templates: tuple[str, ...], term: Term) -> None:
        for template in templates:
            for phrase in expand(template):
                found[phrase] = term

    for name, details in FINDING_PHRASES.items():
        for detail, templates in details.items():
            add(templates, Term("finding", name, detail))
    fluid = Term("finding", "pleural effusion")
    add(
        ("(hydro|hemo|haemo|pyo)[ ](pneumothorax|pneumothoraces)",),
        Term("finding", "pneumothorax", others=(fluid,)),
    )
    tube = Term("finding", "support devices", "endotracheal tube", presence="absent")
    add(("(extubated|extubation)",), tube)
    for name, templates in GENERAL_PHRASES.items():
        add(templates, Term("general", name))
    for name, templates in ANATOMY_PHRASES.items():
        add(templates, Term("anatomy", name))
    for name, templates in STATE_PHRASES.items():
        add(templates, Term("state", name))
    for (side, zone), templates in _PLACES.items():
        add(templates, Term("location", side=side, zone=zone))
    for severity, templates in _SEVERITIES.items():
        add(templates, Term("location", severity=severity))
    for name, templates in _JOINS.items():
        add(templates, Term("join", name))
    for name, templates in _BREAKS.items():
        add(templates, Term("break", name))
    for name, templates in HISTORY.items():
        add(templates, Term("history", name))
    add((*CAUSES, *NOW), Term("cause"))
    add(("(one|ones)", "(component|portion) (persists|remains|is unchanged)"), Term("again"))
    add(_IGNORED, Term("ignore"))
    scopes: tuple[tuple[Role, Table], ...] = (
        ("before", BEFORE),
        ("after", AFTER),
        ("either", EITHER),
    )
    for role, table in scopes:
        for name, by_presence in table.items():
            for presence, templates in by_presence.items():
                add(templates, Term(role, name, presence=presence))
    return found


_DENIALS = "no|none|nil|neg|negative|absent|n|-|\u2013"
_ANSWER = (
    rf"\([ ]?(?:{_DENIALS}|yes|present|positive|pos|y|\+)[ ]?\)"
    r"|\[[ ]?[x\u2713\u2714]?[ ]?\]|[\u2610\u2611\u2612]"
)


@cache
def term_pattern() -> re.Pattern[str]:
    """One pattern for all phrases, and for the marks that join or separate them."""
    return re.compile(
        rf"{_ANSWER}|[,;:()/|?]|(?<=\s)[-\u2013\u2014](?=\s)|{pattern_of(_phrases())}"
    )


def answer_of(phrase: str) -> Term | None:
    """Term of an answer, "(no)" or "(+)", or of a check box; None for other phrases."""
    if phrase[0] not in "([\u2610\u2611\u2612" or phrase == "(":
        return None
    inner = phrase.strip("()[] ")
    is_denied = inner in ("", "\u2610") or (phrase[0] == "(" and inner in _DENIALS.split("|"))
    name = "word" if phrase[0] == "(" else "box"
    return Term("answer", name, presence="absent" if is_denied else "present")


@cache
def marks() -> dict[str, Term]:
    """Punctuation inside a sentence → its meaning."""
    comma, slash = Term("join", ","), Term("join", "/")
    stop = Term("break")
    # A colon after a region ("Heart: normal") joins the two, as a dash does.
    value = Term("value")
    question = Term("question", presence="uncertain")
    return {",": comma, "/": slash, ";": stop, "(": comma, ")": comma, "?": question} | (
        dict.fromkeys((":", "|", "-", "\u2013", "\u2014"), value)
    )
