"""What is left of a sentence that was cut: put in order, and held against the whole one.

`finished` puts spaces, commas, verbs and articles in order. `is_fragment` says whether the rest
still reads as a report's sentence, `is_stated_by` whether it says nothing but what the whole does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pairaug.findings.statement import Statement

# What cannot stand at the end of a sentence, or at its start, once something was left out.
_DANGLING_END = re.compile(
    r"[\s,;:\-(/]*\b(?:the|a|an|of|in|on|at|to|for|with|and|or|but|is|are|was|were|be|been|"
    r"has|have|"
    r"had|from|by|as|than|which|that|there|this|these|its|also|slightly|mildly|significantly|"
    r"minimally|grossly|essentially|relatively|somewhat|largely|markedly|overall|"
    r"however|although|versus|vs|since|when|compared|consistent|compatible|due|appear|appears|"
    r"remain|remains|seen at|again|now|where|within|into|it|they|he|she|"
    r"better (?:seen|evaluated|appreciated|visuali[sz]ed|characteri[sz]ed)|"
    r"the appearance)\b[\s,;:\-(/]*[.]*$|"
    r"[\s,;:\-(/]+[.]*$",
    re.IGNORECASE,
)
_DANGLING_START = re.compile(
    r"^[\s,;:.\-)/]*(?:(?:and|but|or|with|which|that|however|although|is|are|was|were|has|"
    r"have|than|"
    r"also|then)\b[\s,;:/]*)*",
    re.IGNORECASE,
)
_ONE = r"(?:mediastinum|heart|aorta|trachea|silhouette|vasculature|vascularity|contour|size)"
_TIDY = (
    (re.compile(r"\s+([,.;:])"), r"\1"),
    (re.compile(r"\b(is|are|was|were|remains?|appears?)(?:,| and| or| but)\s+"), r"\1 "),
    (re.compile(r"\b(of|in|with|the|a|and|or) (?=(?:and|or|,|;)\b)"), ""),
    (re.compile(r"\b(?:in|on|at|from|to|of|with|since|by|as)\s*(?=[,.;]|$)", re.IGNORECASE), ""),
    # One thing, once its companion has gone: "The heart, XXXX are normal".
    (
        re.compile(
            rf"^((?:(?!(?:and|of|with|in|or)\b)\w+ ){{0,5}}{_ONE}) (?:are|appear|remain)\b", re.I
        ),
        r"\1 is",
    ),
    (re.compile(r"([,;:])(?:\s*[,;:])+"), r"\1"),
    (re.compile(r",(?=\s*\.)|,\s*$"), ""),
    (re.compile(r"\b(and|or|with|is|are|the|a|an|of|in) \1\b", re.IGNORECASE), r"\1"),
    (re.compile(r"\b([Aa]) (?=[aeio])"), r"\1n "),
    (re.compile(r"\b([Aa])n (?=[bcdfghjklmnpqrstvwxyz])"), r"\1 "),
    (re.compile(r"\s+"), " "),
)

_REGION = (
    r"(?:the|and|or|of|in|a|an|is|are|size|shape|position|appearance|heart|cardiac|mediastinal|"
    r"mediastinum|cardiomediastinal|cardio|silhouettes?|contours?|hilar|hila|lungs?|chest|"
    r"pulmonary|"
    r"vasculature|vascularity|vascular|venous|aorta|aortic|markings|costophrenic|angles?|"
    r"diaphragms?|"
    r"hemidiaphragms?|spine|thoracic|bony|osseous|structures|interstitial|left|right|both|"
    r"bilateral|bilaterally|bibasilar|basilar|basal|bases?|lobes?|upper|middle|lower|apical|"
    r"volumes?|"
    r"aeration|inspiration|inspiratory|inflation|expansion|effort|trachea|central|perihilar|"
    r"prominence|configuration|overall|superior|inferior|given|allowing|differences|patient|"
    r"rotation|"
    r"technique|for|to|projection)"
)
# Nothing but regions, once "unchanged" has been left out.
_BARE = re.compile(rf"(?:{_REGION}\b\W*)+", re.IGNORECASE)
# Signs that the rest is none of a sentence; those that the whole sentence shows do not count.
_FRAGMENTS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # Its subject has gone.
        r"^(?:(?:overall|otherwise|also|most),? )?(?:may|might|can|could|would|should|will|"
        r"appears?|represents?|representing|favou?r\w*|"
        r"suggest(?:s|ing|ive)|reflect\w*|indicat\w+|compatible|(?:most |more )?consistent|"
        r"concerning|suspicious|secondary|due|related|likely|which|who|whose|is|are|was|were|has|"
        r"have|had|seen|noted|identified|visuali[sz]ed|involving|measuring|extending|overlying|"
        r"projecting|from|of|to|than|into|versus|vs|onset|if|when|while|because|given\b[^,]*$|"
        r"(?:left|right) (?:greater|more|less) than|(?:more|less|greater|worse|better) \w+ than|"
        r"not|appearance of|in (?:the )?(?:size|appearance))\b",
        # It ends before what it was about to say.
        r"\b(?:no|without|may|might|can|could|would|should|will|not|given|because|if|benefit|"
        r"likely|"
        r"probably|possibly|concerning|suggestive|suspicious|secondary|related|represents?|"
        r"representing|reflects?|suggest(?:s|ing)?|indicat(?:es|ing)|shows?|demonstrates?|"
        r"increased|decreased|increasing|decreasing|more|less|"
        r"prior|previous|earlier|with mild|with moderate|with small|costophrenic|"
        r"cardiophrenic|pleural|pulmonary|thoracic|osseous|bony|"
        r"mediastinal|cardiac|hilar|paratracheal|both)\.$",
        # A hole: "on 's study", "/normal", "()".
        r"(?:^|\s)['\u2019]s\b|(?:^|\s)/|/(?:\s|\.|$)|\(\s*\)",
        r"^[^()]*\)|\([^()]*$|\b(?:the|an?)[,;]",
        r"\bappears? (?:the|and|or)\b|\b(?:is|are) (?:from|than|to|of|size|opacity|on)\b|"
        r"\bthere (?:is|are|has been) "
        r"(?:seen|noted|identified|also)\b|\b(?:the|an?) (?:is|are|was|were|of|in|with|to)\b|"
        r"\b(?:in|on|at|of|from|with|to) (?:and|or|but|is|are|which|that)\b",
        # What it is compared with.
        r"\b(?:compared|comparison)\b|\b(?:from|than|to|since|with|versus) (?:the |that )?"
        r"(?:prior|previous|earlier|before|comparison|exam)\b|\bago\b",
    )
)


_BARE_TAIL = re.compile(rf",\s*(?:{_REGION}\b\W*)+$", re.IGNORECASE)
_DETERMINER = re.compile(r"^(?:the|this|these|those|that)\s+(?=\w)", re.IGNORECASE)
_RELATIVE = re.compile(r"\b(?:which|that|whose)\b.*")
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|do|does|may|might|can|could|would|should|will|cannot|"
    r"appears?|remains?|(?:shows?|demonstrate|measure|extend|overlie|overlay|project|lie|end|"
    r"terminate|"
    r"represent|suggest|indicate|involve|obscure|contain|reflect|reach|cross|course|coil|"
    r"abut)(?:e?s|e?d)?|"
    r"lies|courses|seen|noted|identified|visuali[sz]ed|present)\b",
    re.IGNORECASE,
)


def as_noun_phrase(text: str) -> str:
    """`text` without "The" where the verb that "The effusion" had is left out: "Effusion."."""
    if not _DETERMINER.match(text) or _VERB.search(_RELATIVE.sub("", text[4:])):
        return text
    return finished(_DETERMINER.sub("", text))


def without_bare_tail(text: str, whole: str) -> str:
    """`text` without a region at its end of which `whole` said more: "Edema, the contours."."""
    tail = _BARE_TAIL.search(text)
    if not tail or whole.rstrip(" .").endswith(tail.group().rstrip(".")):
        return text
    return f"{text[: tail.start()]}."


def finished(text: str) -> str:
    """`text` as one sentence: nothing dangling, spaces and commas in order, capital and point."""
    previous = None
    while previous != text:
        previous = text
        for pattern, replacement in _TIDY:
            text = pattern.sub(replacement, text)
        text = _DANGLING_START.sub("", _DANGLING_END.sub("", text.strip()))
    text = text.strip(" ,;:-").rstrip(".").strip()
    if not any(character.isalpha() for character in text):
        return ""
    return f"{text[0].upper()}{text[1:]}."


def is_bare(text: str) -> bool:
    """True where `text` names regions and says nothing of them."""
    return bool(_BARE.fullmatch(text))


def is_fragment(part: str, whole: str) -> bool:
    """True where cutting `whole` left a `part` that does not read as a sentence of a report."""
    return is_bare(part) or any(
        pattern.search(part) and not pattern.search(whole) for pattern in _FRAGMENTS
    )


def is_stated_by(part: Iterable[Statement], whole: Iterable[Statement]) -> bool:
    """True where each statement of `part` is one of `whole`, or one that is less precise.

    A denial that is less precise says more, not less: it must be the same.
    """
    known = list(whole)
    return all(any(_follows(own, other) for other in known) for own in part)


def _follows(own: Statement, other: Statement) -> bool:
    if (own.finding, own.presence) != (other.finding, other.presence):
        return False
    pairs = ((own.side, other.side), (own.zone, other.zone), (own.severity, other.severity))
    if own.presence == "absent":
        return all(one == two for one, two in pairs)
    return all(one in (None, two) for one, two in pairs)
