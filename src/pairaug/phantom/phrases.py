"""The phrases in which a phantom's findings, normal regions and build are reported.

`describe.py` chooses among them and puts them together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pairaug.phantom.findings import Finding, PhantomSide, Severity, Zone

# A template is filled with: sev (an adjective or nothing), adv (the same as an adverb), side,
# zone ("lower lobe") and where ("in the left lower lobe").
SEVERITY_WORDS: dict[str, dict[Severity, tuple[str, ...]]] = {
    "cardiomegaly": {
        "mild": ("mild", "mild", "slight"),
        "moderate": ("moderate",),
        "severe": ("severe", "marked"),
    },
    "edema": {
        "mild": ("mild", "mild", "minimal"),
        "moderate": ("moderate",),
        "severe": ("severe", "marked", "extensive"),
    },
    "pleural effusion": {
        "mild": ("small", "small", "trace", "minimal"),
        "moderate": ("moderate",),
        "severe": ("large", "large", "massive"),
    },
    "pneumothorax": {
        "mild": ("small", "small", "tiny"),
        "moderate": ("moderate",),
        "severe": ("large",),
    },
    "consolidation": {
        "mild": ("mild", "small", "minimal"),
        "moderate": ("moderate",),
        "severe": ("severe", "extensive", "marked"),
    },
    "atelectasis": {
        "mild": ("mild", "minimal", "slight"),
        "moderate": ("moderate",),
        "severe": ("severe",),
    },
}
SEVERITY_ADVERBS: dict[Severity, tuple[str, ...]] = {
    "mild": ("mildly", "slightly"),
    "moderate": ("moderately",),
    "severe": ("severely", "markedly"),
}

# Adjectives before the finding (the first is taken where room is short), and places after it.
ZONE_ADJECTIVES: dict[Zone, tuple[str, ...]] = {
    "upper": ("upper lobe", "upper lobe", "upper lung", "upper zone"),
    "middle": ("mid lung", "mid lung", "mid zone"),
    "lower": ("basilar", "lower lobe", "lower lobe", "lower lung", "lower zone"),
}
ZONE_PLACES: dict[Zone, tuple[str, ...]] = {
    "upper": (
        "in the {side} upper lobe",
        "in the {side} upper lung",
        "in the {side} upper lung zone",
    ),
    "middle": (
        "in the {side} mid lung",
        "in the {side} mid zone",
        "in the {side} mid lung zone",
    ),
    "lower": (
        "in the {side} lower lobe",
        "at the {side} lung base",
        "at the {side} base",
        "in the {side} lower lung zone",
    ),
}

# Noun phrases without article; the first is the shortest and is taken where room is short.
NOUN_PHRASES: dict[str, tuple[str, ...]] = {
    "cardiomegaly": (
        "{sev} cardiomegaly",
        "{sev} cardiomegaly",
        "{sev} enlargement of the heart",
        "{sev} enlargement of the cardiac silhouette",
    ),
    "edema": (
        "{sev} edema",
        "{sev} pulmonary edema",
        "{sev} pulmonary edema",
        "{sev} interstitial pulmonary edema",
        "{sev} bilateral pulmonary edema",
    ),
    "pleural effusion": (
        "{sev} {side} pleural effusion",
        "{sev} {side} pleural effusion",
        "{sev} {side}-sided pleural effusion",
        "{sev} pleural effusion on the {side}",
        "{sev} layering {side} pleural effusion",
    ),
    "pneumothorax": (
        "{sev} {side} pneumothorax",
        "{sev} {side} pneumothorax",
        "{sev} {side}-sided pneumothorax",
        "{sev} pneumothorax on the {side}",
    ),
    "consolidation": (
        "{sev} {side} {zone} consolidation",
        "{sev} {side} {zone} consolidation",
        "{sev} consolidation {where}",
        "{sev} airspace consolidation {where}",
        "{sev} focal {side} {zone} consolidation",
    ),
    "atelectasis": (
        "{sev} {side} {zone} atelectasis",
        "{sev} {side} {zone} atelectasis",
        "{sev} atelectasis {where}",
        "{sev} linear atelectasis {where}",
    ),
    "nodule": (
        "{side} {zone} nodule",
        "{side} {zone} pulmonary nodule",
        "nodule {where}",
        "pulmonary nodule {where}",
        "solitary nodule {where}",
    ),
    "mass": (
        "{side} {zone} mass",
        "{side} {zone} lung mass",
        "mass {where}",
        "lung mass {where}",
        "rounded mass {where}",
    ),
    "pacemaker": (
        "{side} pacemaker",
        "{side} chest wall pacemaker",
        "{side}-sided pacemaker",
        "{side} pectoral pacemaker",
    ),
    "central line": (
        "{side} central line",
        "{side} central venous catheter",
        "{side}-sided central line",
        "{side}-sided central venous catheter",
    ),
    "endotracheal tube": ("endotracheal tube",),
}
# Both sides with one wording for both, then with each side's own.
BILATERAL: dict[str, tuple[str, ...]] = {
    "pleural effusion": ("{sev} bilateral pleural effusions", "bilateral {sev} pleural effusions"),
    "pneumothorax": ("{sev} bilateral pneumothoraces", "bilateral {sev} pneumothoraces"),
    "consolidation": ("{sev} bilateral {zone} consolidation",),
    "atelectasis": ("{sev} bilateral {zone} atelectasis", "{sev} bibasilar atelectasis"),
    "nodule": ("bilateral {zone} nodules",),
    "mass": ("bilateral {zone} masses",),
}
PLURALS = {
    "pleural effusion": "pleural effusions",
    "pneumothorax": "pneumothoraces",
    "nodule": "nodules",
    "mass": "masses",
}
UNCOUNTABLE = frozenset({"cardiomegaly", "edema", "consolidation", "atelectasis"})

# Whole sentences that say more than "there is ..."; {a} is the article.
SENTENCES: dict[str, tuple[str, ...]] = {
    "cardiomegaly": (
        "The heart is {adv} enlarged.",
        "The cardiac silhouette is {adv} enlarged.",
        "Heart size is {adv} enlarged.",
        "{adv} enlarged heart.",
    ),
    "pleural effusion": ("{sev} {side} pleural effusion is layering at the base.",),
    "pneumothorax": ("{sev} {side} pneumothorax with a visible pleural line.",),
    "mass": ("A mass projects over the {side} {zone}.",),
    "nodule": ("A nodule projects over the {side} {zone}.",),
    "pacemaker": (
        "{side} chest wall pacemaker with leads in the right atrium and ventricle.",
        "{side} pectoral pacemaker with its leads over the heart.",
        "A {side}-sided pacemaker is in place.",
        "{side} chest wall pacemaker with intact leads.",
        "A {side} chest wall pacemaker is in place.",
    ),
    "central line": (
        "{side} central venous catheter with tip in the superior vena cava.",
        "A {side} central line ends in the superior vena cava.",
        "{side} internal jugular central line with tip in the superior vena cava.",
        "{side}-sided central venous catheter tip projects over the cavoatrial junction.",
        "A {side} central venous catheter is in place.",
    ),
    "endotracheal tube": (
        "Endotracheal tube tip lies above the carina.",
        "The endotracheal tube ends above the carina.",
        "An endotracheal tube is in place.",
        "Endotracheal tube in standard position.",
        "The tip of the endotracheal tube projects over the trachea.",
    ),
}
# In the two sentences that end in a zone, the zone must be a place, not an adjective.
ZONE_NOUNS: dict[Zone, tuple[str, ...]] = {
    "upper": ("upper lobe", "upper lung", "upper lung zone"),
    "middle": ("mid lung", "mid lung zone"),
    "lower": ("lower lobe", "lung base", "lower lung zone"),
}

THERE_IS = (
    "There is {np}.",
    "{np} is present.",
    "{np} is seen.",
    "{np} is noted.",
    "Findings include {np}.",
)
THERE_ARE = ("There are {np}.", "{np} are present.", "{np} are seen.", "{np} are noted.")

# What may be said of a region when none of the named kinds is present.
NORMAL: tuple[tuple[str, frozenset[str], tuple[str, ...]], ...] = (
    (
        "heart",
        frozenset({"cardiomegaly"}),
        (
            "The heart is normal in size.",
            "Heart size is normal.",
            "Normal heart size.",
            "The heart is not enlarged.",
            "Heart size is within normal limits.",
            "The cardiac silhouette is normal in size.",
            "The cardiac silhouette is within normal limits.",
        ),
    ),
    (
        "mediastinum",
        frozenset({"tortuous"}),
        (
            "Mediastinal contours are normal.",
            "The mediastinum is unremarkable.",
            "Normal mediastinal contours.",
            "The mediastinal contours are within normal limits.",
            "The hila and mediastinum are normal.",
        ),
    ),
    (
        "lungs",
        frozenset(
            {
                "edema",
                "consolidation",
                "atelectasis",
                "nodule",
                "mass",
                "pneumothorax",
                "pleural effusion",
            }
        ),
        (
            "The lungs are clear.",
            "Lungs are clear.",
            "Clear lungs.",
            "The lungs are clear bilaterally.",
            "Both lungs are clear.",
            "The lung fields are clear.",
        ),
    ),
    (
        "vessels",
        frozenset({"edema"}),
        (
            "Pulmonary vasculature is normal.",
            "The pulmonary vessels are normal in caliber.",
            "Normal pulmonary vascularity.",
            "The pulmonary vasculature is unremarkable.",
        ),
    ),
    (
        "bones",
        frozenset({"scoliosis"}),
        (
            "No acute osseous abnormality.",
            "Osseous structures are intact.",
            "The bones are unremarkable.",
            "The visualized bones are intact.",
            "Bony structures are unremarkable.",
            "No acute bony abnormality.",
        ),
    ),
)
# What is denied by name: kind -> wordings, as the object of "no".
DENIED: dict[str, tuple[str, ...]] = {
    "pneumothorax": ("pneumothorax",),
    "pleural effusion": ("pleural effusion", "pleural effusion", "pleural effusions"),
    "consolidation": ("focal consolidation", "consolidation", "airspace consolidation"),
    "edema": ("pulmonary edema", "edema"),
    "atelectasis": ("atelectasis",),
    "nodule": ("pulmonary nodule", "nodule"),
    "mass": ("mass", "lung mass"),
}
DENIALS = (
    "No {items}.",
    "No {items}.",
    "There is no {items}.",
    "No evidence of {items}.",
    "No {items} is seen.",
    "There is no evidence of {items}.",
)

# What is said of the patient's build.
BUILD: dict[str, tuple[str, ...]] = {
    "tortuous": (
        "The aorta is tortuous.",
        "Tortuous thoracic aorta.",
        "The thoracic aorta is unfolded.",
        "Unfolded aorta.",
        "The aorta is tortuous and unfolded.",
    ),
    "low volumes": (
        "Low lung volumes.",
        "Lung volumes are low.",
        "The lung volumes are low.",
        "Reduced lung volumes.",
    ),
    "hyperinflated": (
        "The lungs are hyperinflated.",
        "Hyperinflated lungs.",
        "Hyperexpanded lungs.",
        "The lungs are hyperexpanded.",
    ),
    "scoliosis": (
        "Thoracic scoliosis convex to the {side}.",
        "Curvature of the thoracic spine, convex to the {side}.",
        "The thoracic spine is curved with {side} convexity.",
        "There is {side} convex thoracic scoliosis.",
    ),
}

IMPRESSION_NORMAL = (
    "No acute cardiopulmonary abnormality.",
    "No acute cardiopulmonary process.",
    "No acute cardiopulmonary disease.",
    "No acute disease.",
    "No acute abnormality.",
    "No evidence of acute cardiopulmonary disease.",
    "No acute findings.",
)
# Only where the build is unremarkable too.
IMPRESSION_UNREMARKABLE = (
    "Normal chest radiograph.",
    "Unremarkable chest radiograph.",
    "Normal chest.",
)


def pick(options: Sequence[str], rng: np.random.Generator) -> str:
    """One of `options`, each place in it as likely."""
    return options[int(rng.integers(len(options)))]


def fill(
    template: str,
    finding: Finding,
    rng: np.random.Generator,
    severity: bool = True,
    short: bool = False,
) -> str:
    """`template` with the words for `finding`; without words of severity unless `severity`."""
    side: PhantomSide | str = finding.side or ""
    words = dict.fromkeys(("sev", "adv", "zone", "where"), "")
    if finding.severity and severity:
        words["sev"] = pick(SEVERITY_WORDS[finding.kind][finding.severity], rng)
        words["adv"] = pick(SEVERITY_ADVERBS[finding.severity], rng)
    if finding.zone:
        ends_in_zone = template.rstrip(".").endswith("{zone}")
        options = (ZONE_NOUNS if ends_in_zone else ZONE_ADJECTIVES)[finding.zone]
        words["zone"] = options[0] if short else pick(options, rng)
        words["where"] = pick(ZONE_PLACES[finding.zone], rng).format(side=side)
    return " ".join(template.format(side=side, **words).split())
