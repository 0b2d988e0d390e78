"""Patterns for comparisons with earlier images and for changes since then.

Each has a replacement; `cleaning.py` applies them.
"""

from __future__ import annotations

import re

from pairaug.findings.image_words import RADIOGRAPH_NOUNS

_STUDY = (
    rf"(?:stud(?:y|ies)|exams?|examinations?|x-?rays?|radiographs?|{RADIOGRAPH_NOUNS}|images?|imaging|scans?|"
    r"reports?|cxrs?|day|views?|ct)\b"
)
_AGO = r"(?:\s+(?:\w+\s+)?(?:days?|weeks?|months?|years?)\s+ago\b)?"
_EARLIER = (
    r"(?:(?:the|a|an|her|his|patient's)\s+)?(?:most recent|prior|previous|last|earlier|preceding|"
    r"comparison|old|outside|recent)\s+(?:chest\s+|ct\s+|pa\s+|ap\s+|portable\s+)*"
    rf"{_STUDY}{_AGO}(?:\s+(?:of|from|dated|on|earlier)\b[^.,;]*)?"
)
_HOW = (
    r"(?:(?:significantly|slightly|markedly|mildly|moderately|minimally|substantially|grossly|"
    r"essentially|overall|partially|somewhat|further|also|now|not|relatively|again|largely|"
    r"clearly|very)\s+)*"
)
_CHANGED = (
    r"(?:increased|decreased|improved|worsened|progressed|regressed|developed|changed|enlarged in "
    r"the interval|unchanged|stable|improving|worsening|progressing|increasing|decreasing|"
    r"resolving|persisted|persistent|larger|smaller|better|worse|new|more prominent|"
    r"less prominent|diminished|reduced in size)\b(?!\s+(?:than|on)\b)"
)
_EXTENT = (
    r"(?:\s+(?:in|of)\s+(?:size|extent|appearance|severity|position|configuration|number|"
    r"prominence|degree|aeration|location|density|opacity|attenuation|conspicuity|caliber|"
    r"distribution|volume))?"
)
_OFTEN = (
    r"(?:(?:significant|mild|slight|marked|minimal|substantial|some|further|appreciable|gross|"
    r"definite|overall|interval|radiological|radiographic|minor|partial|almost complete|"
    r"remarkable)\s+)*"
)
_REGIONS = (
    r"(?:(?:the|heart|cardiac|mediastinal|cardiomediastinal|cardio|pulmonary|hilar|and|"
    r"thoracic|bony|"
    r"osseous)\s+)*(?:size|silhouettes?|contours?|mediastinum|heart|vasculature|vascularity|aorta|"
    r"hila|lungs|structures|configuration)"
)
_SAME = r"(?:stable|unchanged|similar|not significantly changed)"
_END = r"(?=\s*(?:[.,;)]|$))"
_SLIGHTLY = (
    r"(?:(?:grossly|essentially|overall|relatively|largely|slightly|mildly|minimally|markedly|"
    r"significantly|somewhat)\s+)?"
)
# Applied in this order: long phrases before the words that they contain.
_COMPARISONS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"[,\s]*\b(?:with(?:out)?\s+)?(?:no|any|(?:on|in) the)\s+(?:\w+\s+){0,2}comparisons?\b"
         rf"(?:\s+(?:stud\w+|exam\w*|{RADIOGRAPH_NOUNS}|radiographs?|images?))?"
         r"(?:\s+available)?", " "),
        (rf"\s*,?\s*\b(?:or|nor|and no)\s+{_OFTEN}(?:interval\s+)?changes?"
         rf"(?:\s+(?:identified|seen|noted))?{_END}", ""),
        (rf"\s*\b(?:on|in|at|of)\s+(?:today['\u2019]?s|the current|"
         rf"the present)\s+(?:chest\s+|portable\s+)*"
         rf"{_STUDY}(?:\s+of\s+[^.,;]*)?", ""),
        (rf"[,\s]*\b(?:(?:as|when)\s+)?(?:compared|similar|in comparison|relative|comparable)\s+"
         rf"(?:to|with)\s+(?:the\s+)?(?:{_EARLIER}|prior\b|previous\b|before\b|earlier\b|"
         rf"yesterday\b|older\b)", " "),
        (rf"[,\s]*\b(?:since|from|than(?:\s+(?:on|in))?|on|in|to|of|with|versus|"
         rf"vs\.?)\s+{_EARLIER}", " "),
        (rf"{_EARLIER}", " "),
        (r"[,\s]*\b(?:since|from|than|to|with|versus)\s+(?:the\s+)?(?:priors?|previous|"
         r"before|earlier|comparison)\b"
         r"(?=\s*(?:[.,;)]|$|(?:and|or|but)\b))", " "),
        (rf"(?<=\bnormal )and\s+{_SAME}\b", ""),
        # A region that has not changed, followed by another statement.
        (rf"(?:,|\b(?:and|with))\s+(?:the\s+)?{_SLIGHTLY}{_SAME}\s+(?:appearance\s+of\s+)?"
         rf"{_REGIONS}{_END}", ""),
        (rf"(?:,|\band)\s+{_REGIONS}\s+(?:(?:is|are|appears?|"
         rf"remains?)\s+)?{_SLIGHTLY}{_SAME}{_END}", ""),
        (rf"^(?:the\s+)?{_SAME}\s+{_REGIONS}\s*[,;]\s*", ""),
        (rf"\b{_SAME}\s+appearance\s+of\s+(?:the\s+(?:chest\s+(?:with\s+)?)?)?", ""),
        (r"\b(?:there\s+(?:is|has been)\s+)?(?:(?:mildly|slightly|interval)\s+)?(?:improved|"
         r"improving|increased|"
         r"decreased|worsening|better|(?:significant\s+)?improvement in)\s+(?:lung\s+|"
         r"basilar\s+)?aeration\b(?:\s+bilaterally)?(?:\s+(?:of|in|within)\s+[^,.;]*?)?"
         r",?\s*(?:\bwith\b|,|\.|$)", ""),
        (rf"(?:,|(?<! is)(?<! are)(?<!ly)\s)\s*{_SLIGHTLY}(?:(?:in|de)creased|"
         rf"{_SAME}{_EXTENT}){_END}", ""),
        (rf"[,\s]*\b(?:(?:which|that)\s+)?(?:is|are|"
         rf"appears?)\s+{_SLIGHTLY}similar{_EXTENT}{_END}", ""),
        (r"\b(?:in|de)creased\s+(?:in\s+)?size\s+of\s+(?:the\s+)?", " "),
        (rf",?\s*\b(?:(?:which|that)\s+)?(?:is|are|appears?|remains?)\s+{_SLIGHTLY}(?:more|"
         rf"less)\s+(?:conspicuous|"
         rf"prominent|distinct|dense|extensive|confluent|pronounced|apparent|evident){_END}", ""),
        (r"^\W*onset\s+(?:of\s+)?", ""),
        (r"[,\s]*\b(?:as\s+)?(?:seen|noted|described|mentioned|identified|demonstrated)\s+"
         r"(?:previously|before|earlier|above)\b|\bas before\b", " "),
        (rf"[,\s]*\b(?:has|have)\s+{_HOW}(?:been\s+)?{_HOW}{_CHANGED}{_EXTENT}", ""),
        # A statement after the change keeps the verb: "is stable and normal".
        (rf"[,\s]*(?<!\bvolumes )\b(?:is|are|was|were|remains?|"
         rf"appears?)\s+{_HOW}{_CHANGED}{_EXTENT}\s+"
         r"(?:and\s+(?=may|might|could|indicat|represent|suggest|correspond)|(?=(?:with|"
         r"given|allowing)\b))", " "),
        (rf"[,\s]*(?<!\bvolumes )\b(is|are|was|were)\s+{_HOW}{_CHANGED}{_EXTENT}"
         r"(?!\s+(?:lung\s+)?volumes?)\s*(?:and\b)?", r" \1 "),
        (rf"[,\s]*\b(?:remains|appears)\s+{_HOW}{_CHANGED}{_EXTENT}\s*(?:and\b)?", " is "),
        (rf"[,\s]*\b(?:remain|appear)\s+{_HOW}{_CHANGED}{_EXTENT}\s*(?:and\b)?", " are "),
        (rf"(?:^\W*there\s+(?:is|are|has\s+been|"
         rf"have\s+been)\s+)?\b(?:an?\s+)?{_OFTEN}(?:development|progression|regression|"
         rf"worsening|improvement|persistence|increase|"
         r"decrease|re-?demonstration|reappearance|enlargement in)\s+"
         rf"(?:without\s+{_OFTEN}changes?\s+)?(?:of|in)\s+(?:size of\s+)?"
         r"(?:the\s+)?", ""),
        (rf"\bno\s+{_OFTEN}changes?\s*(?:is\s+(?:seen|noted)\s*)?(?:in|of|from|since)?\b\s*"
         r"(?:the\s+)?", ""),
        (r"\b(?:in|during|over)\s+the\s+interval\b|\binterval\b", ""),
        (r"\bnew(?:ly)?(?:\s+since[^.,;]*)?(?:\s+onset)?\b|\bnow\b|"
         r"\b(?:once\s+)?again(?:\s+(?:seen|noted|"
         r"demonstrated|identified|observed))?\b(?:\s+(?:is|are)(?:\s+an?\b)?)?", " "),
        (r"\bpreviously\s+(?:noted|seen|identified|described|demonstrated|visuali[sz]ed|mentioned|"
         r"present|reported|questioned|documented|suspected)\b", " "),
        (rf"\b{_SLIGHTLY}(?:stable|unchanged|improved|worsened|persistent|persisting|"
         rf"persistently|improving|worsening|resolving|"
         rf"increasing|decreasing|residual|progressive|continued|redemonstrated|long-?standing|"
         rf"chronic-appearing)\b{_EXTENT}(?:\s+of\s+the\b)?(?:\s*(?:/|\band\b)\s*(?=\w))?", " "),
        (r"\bpreviously\b|\bcurrently\b|\bat this time\b|\btoday\b|\brecent(?:ly)?\b", " "),
    )
)  # fmt: skip
# Every sentence that a pattern above changes has one of these; most sentences have none.
_SIGNS = re.compile(
    "compar|similar|chang|stable|prior|previous|earlier|before|last|preced|recent|old|outside|today|"
    "current|the present|interval|new|now|again|since|increas|decreas|improv|wors|progress|regress|"
    "develop|resolving|persist|larger|smaller|better|more|less|diminish|reduc|demonstrati|demonstrated|reappear|"
    "residual|continu|standing|chronic-app|this time|onset|above"
)


def without_comparisons(text: str) -> str:
    """`text` without comparisons with earlier images."""
    if not _SIGNS.search(text.lower()):
        return text
    for pattern, replacement in _COMPARISONS:
        text = pattern.sub(replacement, text)
    return text
