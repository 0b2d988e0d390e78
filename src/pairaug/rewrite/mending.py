"""Repairs a sentence after parts were removed, and compares it with the whole sentence.

`finished` corrects spaces, commas, verbs and articles. `is_fragment` is True if the rest does not
read as a sentence, `is_stated_by` if it states only what the whole sentence states.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pairaug.findings.statement import Statement

# Words that cannot end or start a sentence after a removal.
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
    # A plural verb after one of two subjects was removed: "The heart, XXXX are normal".
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
# Only regions, after "unchanged" was removed.
_BARE = re.compile(rf"(?:{_REGION}\b\W*)+", re.IGNORECASE)
# Signs of a fragment, ignored if the whole sentence shows them too.
_FRAGMENTS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # The subject is missing.
        r"^(?:(?:overall|otherwise|also|most),? )?(?:may|might|can|could|would|should|will|"
        r"appears?|represents?|representing|favou?r\w*|"
        r"suggest(?:s|ing|ive)|reflect\w*|indicat\w+|compatible|(?:most |more )?consistent|"
        r"concerning|suspicious|secondary|due|related|likely|which|who|whose|is|are|was|were|has|"
        r"have|had|seen|noted|identified|visuali[sz]ed|involving|measuring|extending|overlying|"
        r"projecting|from|of|to|than|into|versus|vs|onset|if|when|while|because|given\b[^,]*$|"
        r"(?:left|right) (?:greater|more|less) than|(?:more|less|greater|worse|better) \w+ than|"
        r"not|appearance of|in (?:the )?(?:size|appearance))\b",
        # The end is missing.
        r"\b(?:no|without|may|might|can|could|would|should|will|not|given|because|if|benefit|"
        r"likely|"
        r"probably|possibly|concerning|suggestive|suspicious|secondary|related|represents?|"
        r"representing|reflects?|suggest(?:s|ing)?|indicat(?:es|ing)|shows?|demonstrates?|"
        r"increased|decreased|increasing|decreasing|more|less|"
        r"prior|previous|earlier|with mild|with moderate|with small|costophrenic|"
        r"cardiophrenic|pleural|pulmonary|thoracic|osseous|bony|"
        r"mediastinal|cardiac|hilar|paratracheal|both)\.$",
        # A gap: "on 's study", "/normal", "()".
        r"(?:^|\s)['\u2019]s\b|(?:^|\s)/|/(?:\s|\.|$)|\(\s*\)",
        r"^[^()]*\)|\([^()]*$|\b(?:the|an?)[,;]",
        r"\bappears? (?:the|and|or)\b|\b(?:is|are) (?:from|than|to|of|size|opacity|on)\b|"
        r"\bthere (?:is|are|has been) "
        r"(?:seen|noted|identified|also)\b|\b(?:the|an?) (?:is|are|was|were|of|in|with|to)\b|"
        r"\b(?:in|on|at|of|from|with|to) (?:and|or|but|is|are|which|that)\b",
        # The rest of a comparison.
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
    """`text` without "The" if the verb of "The effusion" was removed: "Effusion."."""
    if not _DETERMINER.match(text) or _VERB.search(_RELATIVE.sub("", text[4:])):
        return text
    return finished(_DETERMINER.sub("", text))


def without_bare_tail(text: str, whole: str) -> str:
    """`text` without a final region whose statement was removed: "Edema, the contours."."""
    tail = _BARE_TAIL.search(text)
    if not tail or whole.rstrip(" .").endswith(tail.group().rstrip(".")):
        return text
    return f"{text[: tail.start()]}."


def finished(text: str) -> str:
    """`text` as one sentence: no dangling words, correct spaces and commas, capital, full stop."""
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
    """True if `text` names regions without a statement on them."""
    return bool(_BARE.fullmatch(text))


def is_fragment(part: str, whole: str) -> bool:
    """True if `part`, the rest of `whole`, does not read as a sentence of a report."""
    return is_bare(part) or any(
        pattern.search(part) and not pattern.search(whole) for pattern in _FRAGMENTS
    )


def is_stated_by(part: Iterable[Statement], whole: Iterable[Statement]) -> bool:
    """True if each statement of `part` is one of `whole`, or a less precise form of one.

    A less precise denial claims more, so denials must be the same.
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
