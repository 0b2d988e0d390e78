"""Patterns for parts of a report that are not findings on this image.

`cleaning.py` applies them.
"""

from __future__ import annotations

import re

from pairaug.findings.image_words import RADIOGRAPH_NOUN, RADIOGRAPH_NOUNS


def _words(*alternatives: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(alternatives)})\b", re.IGNORECASE)


# Open-i writes XXXX, MIMIC-CXR ___, and older PhysioNet sets [** **].
DE_IDENTIFIED = re.compile(r"\b[Xx]{2,}\b|_{2,}|\[\*\*.*?\*\*\]|\[(?:REDACTED|NAME|DATE)\]")

_LEFT_OUT = (
    "final report|wet read|examination|exam|study|procedure|technique|indication|indications|"
    "views?|clinical (?:indication|history|information|data|statement|details)|"
    "reason for (?:this )?(?:exam|examination|study)|history|comparisons?|recommendations?|"
    "notification|(?:electronically )?signed(?: by)?|date|dictated by|patient"
)
_KEPT = "report|findings?|impressions?|conclusions?|opinion|interpretation|addendum"
# A heading ends in a colon; it starts a line, follows a full stop, or is in capitals.
HEADING = re.compile(
    rf"(?:^|(?<=\.)\s)\s*(?i:{_LEFT_OUT}|{_KEPT})\s*:\.?|"
    rf"\b(?:{_LEFT_OUT.upper()}|{_KEPT.upper()})\s*:",
    re.MULTILINE,
)
# Of these, only the heading's sentence is removed if no other heading follows.
ONE_SENTENCE = re.compile(
    r"\s*(?:examination|exam|study|procedure|technique|views?|comparisons?|date)\s*:", re.IGNORECASE
)
SECTIONS_LEFT_OUT = re.compile(rf"\s*(?:{_LEFT_OUT})\s*:", re.IGNORECASE)

_IMAGE = (
    r"(?:x-?\s?rays?|radiographs?|radiography|radiograms?|cxrs?|"
    rf"{RADIOGRAPH_NOUNS}|imaging|images?|views?)"
)
_SHOWS = (
    r"(?:shows?|showed|showing|shown|reveals?|revealed|revealing|demonstrates?|demonstrated|"
    r"demonstrating|depicts?|depicted|depicting|identif(?:y|ies|ied)|confirm(?:s|ed))"
)
# Openings: "Frontal chest radiograph on admission shows ...".
OPENINGS = (
    re.compile(
        rf"^(?:[^.;:]{{0,90}}?\b)?{_IMAGE}\b(?:(?!\b(?:not|no|would|could|should|may|"
        rf"cannot)\b)[^.;]){{0,110}}?\b{_SHOWS}\b"
        rf"(?!\s+(?:no|not)\s+(?:significant\s+)?change)\s*(?:evidence of\b|that\b|:)?",
        re.IGNORECASE,
    ),
    re.compile(
        rf"^(?:[^.;:]{{0,60}}?\b)?{_IMAGE}\b(?:[^.;:,]{{0,60}}:|\s+with\b)\s*", re.IGNORECASE
    ),
    # "Radiological worsening with patchy consolidations": the change is not on this image.
    re.compile(
        r"^(?:(?:radiolog\w+|radiographic|clinical|marked|mild|slight|interval|further)\s+)*"
        r"(?:worsening|improvement|progression|deterioration|regression|"
        r"stability)\b[^,.;]{0,40}?,?\s*"
        r"\b(?:with|due to)\s+(?:(?:greater|more|increased)\s+(?:(?:density|extension|extent|"
        r"number)\s+"
        r"(?:and\s+(?:density|extension|extent|number)\s+)?of\s+(?:the\s+)?)?)?(?=\S)",
        re.IGNORECASE,
    ),
)

# A sentence with one of these is about another examination.
OTHER_IMAGING = _words(
    r"(?:hr|mdr)?ct", r"cta", r"scans?", r"tomograph\w+", r"mri", r"ultraso\w+", r"echocardio\w+",
    r"bronchoscop\w+", r"angiogra\w+",
)  # fmt: skip
# History, treatment, advice: not visible on this image.
NOT_THIS_IMAGE = _words(
    r"patients?(?!'?s? (?:is )?rotat)", r"years?[- ]old", r"y/?o", r"(?:wo)?man", r"male",
    r"female", r"he", r"she", r"his", r"her",
    r"fever\w*", r"cough\w*", r"sputum", r"dyspn\w+", r"shortness of breath", r"smok\w+",
    r"febrile",
    r"symptom\w*", r"complain\w*", r"present(?:ed|ing) (?:with|to)", r"admi(?:ssion|tted)",
    r"discharge\w*", r"referred", r"hospital\w*", r"emergency", r"died", r"deceased", r"death",
    r"histor(?:y|ies)", r"treat(?:ed|ment|ments)", r"untreated", r"therap\w+", r"antibiotic\w*",
    r"steroid\w*", r"surg(?:ery|ical resection)", r"clinical(?:ly)?", r"physical exam\w*",
    r"crackles", r"auscultation", r"saturation", r"desaturat\w+", r"oxygen\w*", r"ventilated",
    r"rt[- ]?pcr", r"pcr", r"swab\w*", r"serolog\w*", r"cultures?", r"laborator\w+", r"blood",
    r"biops\w+", r"positive for", r"tested", r"negative for covid\S*",
    r"lateral view", r"recommend\w*", r"correlat\w+", r"follow[- ]?up",
    r"further evaluation", r"advised", r"should be", r"suggest(?:ed)? (?:repeat|ct)",
    r"if clinically", r"discussed", r"notified", r"telephone\w*", r"dr", r"physician",
    r"weeks? later", r"days? later", r"months? later", r"after", r"before", r"prior to",
    r"during (?:her|his|the)", r"day \d+", r"\d+(?:st|nd|rd|th) day", r"over the months",
    r"(?:in|since|until) (?:19|20)\d\d", r"resection of",
    r"not available", r"pulmonologist\w*", r"infect(?:ed|ious disease)", r"case \d*",
    r"ago", r"in \d+ (?:(?:or|to) \d+ )?(?:days|weeks|months|years)",
    r"(?:started|began|spread) to",
    r"please",
    r"this (?:is a|case)", r"diagnos\w+", r"findings are", r"radiologist\w*",
)  # fmt: skip
REMOVED_DEVICE = _words(
    r"remov(?:al|ed)", r"withdrawn", r"extubat\w+", r"extraction of", r"taken out", r"replaced",
)  # fmt: skip
RESOLVED = _words(
    r"resolved", r"resolution of", r"resolution", r"no longer", r"clear(?:ed|ing) of", r"cleared",
    r"disappear\w+", r"rather than",
)  # fmt: skip

# Other structures on the image: kept, although not among the fourteen findings.
REMARKS = _words(
    r"aort\w+", r"spin(?:e|al)", r"spondyl\w+", r"scolio\w+", r"kypho\w+", r"degenerative",
    r"osteo\w+", r"hyper(?:inflat|expan|lucen|aerat)\w+", r"hypo(?:inflat|aerat)\w+",
    r"emphysem\w+", r"copd", r"lung volumes?", r"inspirat\w+", r"expan(?:ded|sion)", r"inflated",
    r"aerat\w+", r"(?:hemi)?diaphragms?", r"hernia", r"calcif\w+", r"tortuo\w+", r"ectati\w+",
    r"unfolded", r"hil(?:a|um|ar)", r"trachea\w*", r"sternotomy", r"cabg", r"clips?", r"sutures?",
    r"bronchiectasis", r"bronchial", r"air[- ]?bronchograms?", r"cysts?", r"bullae?", r"blebs?",
    r"pectus", r"rotat(?:ed|ion)", r"stent\w*", r"graft\w*", r"pneumomediastinum", r"fissures?",
    r"subcutaneous", r"interstitial", r"markings", r"silhouette", r"contours?", r"costophrenic",
    r"eventration", r"azygos", r"granulom\w+", r"arthri\w+", r"vertebra\w*",
    r"curvature", r"dextro\w+", r"levo\w+",
    r"(?:mediastin\w+|midline|heart|cardiac|cardiomediastinal) shift\w*",
)  # fmt: skip

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*\.?"
DATES = re.compile(
    r"\b(?:(?:on|from|of|dated|at|since)\s+)?(?:the\s+)?(?:"
    r"\d{1,4}[/-]\d{1,2}[/-]\d{2,4}|\d{1,2}\.\d{1,2}\.(?:19|20)?\d{2}|"
    rf"\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH},?\s+(?:19|20)\d{{2}}|"
    rf"{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+(?:19|20)\d{{2}}|{_MONTH}\s+(?:19|20)\d{{2}}|"
    r"\d{1,2}:\d{2}(?::\d{2})?(?:\s*[ap]\.?m\.?)?)",
    re.IGNORECASE,
)
# Removed from their sentence, which is kept.
ASIDES = re.compile(
    r",?\s*\bin (?:the|an?) (?:(?:appropriate|proper|right|given|"
    r"correct) )?clinical (?:setting|context)\b|"
    r",?\s*\bgiven (?:the |this )?(?:patient'?s? )?(?:clinical )?history\b[^.,;]*|"
    r",?\s*\b(?:if|as) clinically (?:indicated|warranted|appropriate)\b",
    re.IGNORECASE,
)
_MARK = r"(?:[Xx]{2,}|_{2,})"
# A mark in place of an adjective: "No XXXX consolidation". Only the mark is removed.
MARKED_ADJECTIVE = re.compile(
    rf"(?:^|(?<=\bno )|(?<=\ba )|(?<=\bthe )|(?<=\bof )|(?<=\bwith )|(?<=\bis )|(?<=\bare ))"
    rf"(?:{_MARK}\s+)+(?=[a-z]{{4}})(?!(?:were|have|with|from|that|this|which|since|than|within|"
    r"intact|normal|unremarkable|grossly|appear|appears|remain|remains|change|changes|represent|"
    r"represents|likely|stable|tips?|project|projects|projecting|overlying|clear|seen|noted|"
    r"demonstrate|demonstrates|between|otherwise|bilaterally|also|both|again|consists?|"
    r"exam|examination|study|consistent|compatible|related)\b)",
    re.IGNORECASE,
)
# A mark between an adjective and its finding: "Mild XXXX opacities", "patchy and XXXX opacities".
# Before other findings it may stand for "likely", so those are not joined.
MARKED_FINDING = re.compile(
    r"\b(mild|minimal|small|large|some|several|few|many|multiple|scattered|patchy|streaky|"
    r"hazy|focal|"
    r"linear|faint|subtle|vague|moderate|residual|increased|stable|persistent|left|right|bilateral|"
    r"basilar|bibasilar|basal|bibasal)"
    rf"(?:\s+and)?\s+(?:{_MARK}\s+)+"
    r"(?=(?:(?:pulmonary|lung|airspace|air space|interstitial|basilar|basal|lobe|patchy|"
    r"streaky|hazy|focal)\s+)*"
    r"(?:opacit|densit|atelect|nodul|infiltrat|effusion|consolid|disease|scar|edema|airspace|"
    r"air space))",
    re.IGNORECASE,
)
# A mark for "likely" before what a finding may be: "Left basilar opacity XXXX represents scarring".
# The finding is kept without the guess, except in "XXXX represents an artifact".
MARKED_GUESS = re.compile(
    rf"(?:\s+(?:which|is|are|most))*,?\s+(?:{_MARK}\s+)+"
    r"(?:represent\w*|reflect\w*|relat\w+|due to|secondary to|correspond\w*)\s(?!(?:[^.;,]*\b)?"
    r"(?:art[ei]fact\w*|overl\w+|fat|soft|tissues?|nipples?|shadows?|vess\w+|vascular|stents?|"
    r"summation|superimpos\w+|normal|old|prior)\b)[^.;,]*(?:, or\b[^.;,]*)*",
    re.IGNORECASE,
)
# A marked item of a list: "The heart, pulmonary XXXX and mediastinum".
MARKED_ITEM = re.compile(
    rf",\s+(?:\w+\s+)?{_MARK}(?=,|\s+and\b)|,?\s+and\s+{_MARK}(?=\s+(?:is|are)\b)"
)
NOTED_ELSEWHERE = re.compile(
    r"\b(?:(?:as|when)\s+)?(?:compared|comparison|similar|relative)\s+(?:to|with)\s+[^.;,]*?"
    r"(?:[Xx]{2,}|_{2,})(?:[\s,/]*(?:[Xx]{2,}|_{2,}))*"
    rf"(?:\s+(?:chest\s+)?(?:exam\w*|stud(?:y|ies)|radiographs?|{RADIOGRAPH_NOUNS}|x-?rays?|images?|cts?))?|"
    r"\b(?:from|since|on|of|at|in|dated)\s+(?:the\s+|a\s+)?(?:prior\s+|previous\s+)?"
    rf"(?:(?:study|exam|examination|radiograph|{RADIOGRAPH_NOUN}|ct)\s+)?(?:of\s+|from\s+|dated\s+|on\s+)?"
    r"(?:[Xx]{2,}|_{2,})(?:[\s,/]*(?:and|of|[Xx]{2,}|_{2,}))*(?=\s*[.,;]|\s*$)",
    re.IGNORECASE,
)
