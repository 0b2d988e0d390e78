"""The words that deny, doubt, place, grade and join findings, and the table of all terms.

Templates as `trie.expand` reads them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from pairaug.findings.lexicon import (
    ANATOMY_PHRASES,
    FINDING_PHRASES,
    GENERAL_PHRASES,
    STATE_PHRASES,
)
from pairaug.findings.statement import Presence, Severity, Side, Zone
from pairaug.findings.trie import expand, pattern_of

Role = Literal[
    "finding",  # names a finding
    "general",  # names any abnormality: worth something only where it is denied
    "anatomy",  # a region whose state may be remarked on
    "state",  # such a remark: normal, clear, enlarged
    "before",  # sets the presence of what follows
    "after",  # sets the presence of what came before it
    "either",  # the same, of what came before it or else of what follows: "resolved"
    "place",  # side, zone or severity of a finding near it
    "join",  # joins the items of a list
    "break",  # ends the reach of a denial
    "history",  # what follows is not on this film
    "ignore",  # would be misread if it were not known
]


@dataclass(frozen=True, slots=True)
class Term:
    """What one phrase means; `name` is its finding, region, state or joining word."""

    role: Role
    name: str = ""
    detail: str | None = None
    presence: Presence | None = None
    side: Side | None = None
    zone: Zone | None = None
    severity: Severity | None = None


_BEFORE: dict[Presence, tuple[str, ...]] = {
    "absent": (
        "(no|without|nor|neither|not|never|lack of|absence of|negative for|free of|free from)",
        "(clear of|cleared of|clear from)",
        "(does|do|did) not [show|demonstrate|reveal|have|contain]",
        "[complete|interval] (resolution|clearance|disappearance|removal|extraction) of",
        "(rather than|instead of|as opposed to|excludes|excluding|ruling out)",
    ),
    "uncertain": (
        "(possible|possibly|probable|probably|questionable|suspected|equivocal|potential|perhaps)",
        "(may|might|could|presumed|presumably)",
        "(can not|cannot|could not|can t) [entirely|completely|definitely] [be] "
        "(exclude|rule out|differentiate|excluded|ruled out)",
        "(suspicious|suspicion|concern|concerning|worrisome|concerns) (for|of)",
        "(suggest|suggests|suggesting|suggested|suggestive of|suggestion of)",
        "(possibility|question|likelihood|risk) of",
        "(differential|differential diagnosis|differential considerations)",
        "(favor|favors|favoring|favored|thought to|not exclud(e|ed|ing))",
    ),
    "present": (
        "(no|without|not) [significant|significantly|interval|significant interval] "
        "(increase|decrease|decreased|worsening|improvement|progression|resolution) "
        "[of|in]",
        "(no|without) [significant|interval|significant interval] change in",
        "(partial|partially|near|nearly|incomplete|incompletely|almost|near complete|gradual|"
        "marked|some|slight|significant) (resolution of|resolved|clearance of|cleared)",
    ),
}
_NOW = "[now|since|completely|almost|essentially|entirely|subsequently|nearly completely]"
_SEEN = (
    "(seen|identified|present|visualized|visualised|visible|appreciated|demonstrated|evident|"
    "noted|detected|observed|found|apparent)"
)
_AFTER: dict[Presence, tuple[str, ...]] = {
    "absent": (
        f"(not|no longer) [clearly|definitely] {_SEEN}",
        f"(has|have|had) {_NOW} (resolved|cleared|disappeared)",
        "(has|have) [now|since] been (removed|excluded|ruled out|withdrawn)",
        "(is|are|was|were) [now] (resolved|absent|removed|excluded|ruled out|unlikely|withdrawn)",
    ),
    "uncertain": (
        "(can not|cannot|could not|can t) be [entirely|completely|definitely] "
        "(excluded|ruled out|discounted)",
        "(is|are|was|were) (possible|suspected|questioned|considered|questionable|equivocal)",
        "[is|are] not [entirely|completely|definitely] (excluded|ruled out)",
    ),
    "present": (
        "(has|have|is|are) [not|not completely|partially|partly|nearly|almost|incompletely] "
        "(resolving|partially cleared|partially resolved|improved|improving|decreased)",
    ),
}
_EITHER: dict[Presence, tuple[str, ...]] = {
    "absent": ("(resolved|absent|removed|excluded|unlikely|withdrawn|ruled out)",),
    "uncertain": ("(versus|vs)",),
}
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
    "with": ("with [associated|adjacent|overlying|underlying|superimposed]",),
}
_BREAKS = (
    "(but|however|although|though|while|whereas|except|except for|apart from|other than|yet)",
    "(which|despite|there is|there are|there has been|is present|are present|shows)",
)
_HISTORY = (
    "[past|known|prior|previous|remote] history of",
    "(h o|status post|treated for|diagnosed with|treatment for)",
    "(evaluate|assess|evaluation|assessment|looking|screening) (for|of)",
    "(rule out|to exclude|r o)",
    "(prior|previous|old) (pneumonia|tuberculosis|infection|granulomatous disease)",
)
_IGNORED = (
    "(right|left) (atrium|ventricle|atrial|ventricular|heart border|cardiac border|"
    "[main|mainstem|main stem] bronchus|hemidiaphragm|diaphragm|arm|shoulder|neck|breast|axilla|"
    "upper quadrant|clavicle|paratracheal stripe)",
    "right atrium and [right] ventricle",
    "(soft tissue|subcutaneous|pedal|peripheral) (edema|oedema|emphysema|mass)",
    "pericardial (effusion|effusions)",
    "(bone|bony|soft tissue|breast|nipple) (density|densities|mass|masses|shadow|shadows)",
    "(left untreated|left in|right now)",
    "(no|not|without) [yet|significant|significantly|interval|significant interval] "
    "(change|changed)",
    "(degenerative|chronic|postsurgical|postoperative|coronary artery|emphysematous|arthritic|"
    "senescent|granulomatous|obstructive pulmonary|atherosclerotic|reactive airways) "
    "[joint|disc|disk|bony] (disease|change|changes|process|finding|findings)",
    "obstructive lung disease",
    "no longer",
    "(upper|lower) (abdomen|extremity|thoracic|cervical|quadrant|chest wall)",
    "(mid|middle|upper|lower|proximal|distal) (svc|superior vena cava|trachea|thoracic spine)",
    "(mass effect|body mass|not optimal|not only|may have|convex to the (left|right))",
    "(left|right) convex[ity]",
)


@cache
def terms() -> dict[str, Term]:
    """Every phrase of the lexicon, and what it means."""
    found: dict[str, Term] = {}

    def add(templates: tuple[str, ...], term: Term) -> None:
        for template in templates:
            for phrase in expand(template):
                found[phrase] = term

    for name, details in FINDING_PHRASES.items():
        for detail, templates in details.items():
            add(templates, Term("finding", name, detail))
    for name, templates in GENERAL_PHRASES.items():
        add(templates, Term("general", name))
    for name, templates in ANATOMY_PHRASES.items():
        add(templates, Term("anatomy", name))
    for name, templates in STATE_PHRASES.items():
        add(templates, Term("state", name))
    for (side, zone), templates in _PLACES.items():
        add(templates, Term("place", side=side, zone=zone))
    for severity, templates in _SEVERITIES.items():
        add(templates, Term("place", severity=severity))
    for name, templates in _JOINS.items():
        add(templates, Term("join", name))
    add(_BREAKS, Term("break"))
    add(("otherwise",), Term("break", "otherwise"))
    add(_HISTORY, Term("history"))
    add(_IGNORED, Term("ignore"))
    scopes: tuple[tuple[Role, dict[Presence, tuple[str, ...]]], ...] = (
        ("before", _BEFORE),
        ("after", _AFTER),
        ("either", _EITHER),
    )
    for role, table in scopes:
        for presence, templates in table.items():
            add(templates, Term(role, presence=presence))
    return found


@cache
def term_pattern() -> re.Pattern[str]:
    """One pattern for every phrase, and for the marks that join or part them."""
    return re.compile(rf"[,;:()/]|{pattern_of(terms())}")


@cache
def marks() -> dict[str, Term]:
    """What punctuation inside a sentence means."""
    comma, slash = Term("join", ","), Term("join", "/")
    stop = Term("break")
    # A colon after a region ("Heart: normal") joins the two.
    return {",": comma, "/": slash, ";": stop, ":": Term("ignore"), "(": comma, ")": comma}
