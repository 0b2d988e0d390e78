"""Words for findings, regions and their states, as templates for `trie.expand`.

`scope.py` and `extract.py` apply denials, doubts and locations to them. Lower case; only the
distinctive words are listed ("edema", not "pulmonary edema").
"""

from __future__ import annotations

from pairaug.findings.image_words import RADIOGRAPH_NOUN
from pairaug.findings.statement import Presence

# finding -> detail -> phrases
FINDING_PHRASES: dict[str, dict[str | None, tuple[str, ...]]] = {
    "cardiomegaly": {
        None: (
            "cardiomegaly",
            "(cardiac|heart|cardiac silhouette) enlargement",
            "enlargement of [the] (heart|cardiac silhouette|cardiac contour)",
            "(enlarged|large) (heart|cardiac silhouette|cardiac contour|cardiac shadow)",
            "(increased|enlarged) cardiothoracic ratio",
            "globular heart",
        ),
    },
    "enlarged cardiomediastinum": {
        None: (
            "(mediastinal|mediastinum) (widening|enlargement)",
            "(widened|enlarged|widening of|widening of the) [superior|upper] "
            "(mediastinum|mediastinal (contour|contours|silhouette))",
        ),
        "lymphadenopathy": ("(lymphadenopathy|adenopathy|lymph node enlargement)",),
    },
    "edema": {
        None: ("(edema|oedema)", "(fluid|volume) overload"),
        "congestion": (
            "(vascular|venous|pulmonary) (congestion|engorgement)",
            "(cephalization|cephalisation|vascular redistribution|vascular prominence)",
            "(hilar|perihilar|central|interstitial|cardiopulmonary) congestion",
            "(engorgement|congestion) of [the] [central|pulmonary] (vessels|vasculature|veins)",
            "(engorged|congested|indistinct) [pulmonary] (vessels|vasculature)",
            "(vascular|vessel|perihilar) indistinctness",
            "kerley b[ lines]",
        ),
        "heart failure": ("[congestive] (heart|cardiac) failure", "chf", "cardiac decompensation"),
    },
    "pleural effusion": {
        None: (
            "(effusion|effusions|hydrothorax|hemothorax|haemothorax|empyema)",
            "pleural (fluid|collection|collections|fluid collection|fluid collections)",
            "fluid in the [left|right] pleural (space|cavity)",
        ),
    },
    "pneumothorax": {
        None: (
            "(pneumothorax|pneumothoraces|pneumothoraxes|ptx|pneumo thorax)",
            "[intra]pleural (air|gas|air collection|air collections|gas collection)",
            "(air|gas) [collection] in the [left|right] pleural (space|cavity)",
        ),
    },
    "consolidation": {
        None: (
            "(consolidation|consolidations)",
            "(consolidative|consolidated) [air[ ]space|lung|parenchymal] "
            "(opacity|opacities|process|area|areas|change|changes|infiltrate|infiltrates|lesion|"
            "lesions|lung|lobe)",
        ),
    },
    "pneumonia": {
        None: (
            "[broncho|pleuro](pneumonia|pneumonias)",
            "(pneumonic|infectious|infective|inflammatory) "
            "(process|processes|infiltrate|infiltrates|consolidation|change|changes|focus|foci|"
            "infiltration|opacity|opacities|lesions|etiology|aetiology)",
            "(pneumonitis|infection|infections)",
        ),
    },
    "atelectasis": {
        None: (
            "(atelectasis|atelectases|collapse|subsegmental collapse)",
            "collapsed [left|right] [upper|middle|lower] (lung|lobe)",
            "atelectatic (change|changes|band|bands|streaks)",
            "(volume loss|loss of volume)",
        ),
    },
    "lung opacity": {
        None: (
            "(opacity|opacities|opacification|opacifications|opacified)",
            "air[ ]space (disease|process|shadowing|shadows|changes)",
            "alveolar (disease|process|shadowing|pattern|filling)",
            "parenchymal (disease|process|changes|disorder|shadowing|involvement)",
            "(infiltrate|infiltrates|infiltration|infiltrations|infiltrative (change|changes))",
            "(haziness|haze|shadowing|whiteout|white out|shadows|shadow|veiling)",
            "(density|densities|increased (attenuation|translucency))",
        ),
        "ground-glass": (
            "ground glass [hazy] (opacity|opacities|opacification|opacifications|density|"
            "densities|haze|change|changes|infiltrate|infiltrates|pattern|attenuation|shadowing|"
            "appearance)",
            "(ground glass|ggo|ggos)",
        ),
        "interstitial": (
            "(increased|prominent|coarse|coarsened|accentuated|reticular|thickened) "
            "[bilateral|diffuse|pulmonary|basilar] "
            "(interstitial|lung|bronchovascular|reticular|peribronchial|pulmonary) "
            "(marking|markings)",
            "(coarsening|prominence|thickening) of [the] "
            "[lung|interstitial|bronchovascular|interstitial lung] markings",
            "[reticulo][nodular] (interstitial|reticular|reticulonodular) "
            "(opacity|opacities|pattern|infiltrate|infiltrates|disease|change|changes|prominence|"
            "thickening|shadowing|process|density|densities|abnormality|abnormalities)",
            "interstitial lung disease",
            "(reticulation|reticulations|peribronchial cuffing|peribronchial thickening)",
            "[interlobular] septal thickening",
        ),
        "scarring": ("(scar|scars|scarring|fibrosis|fibrotic (change|changes|bands))",),
    },
    "lung lesion": {
        "nodule": (
            "(nodule|nodules)",
            "nodular (opacity|opacities|opacification|opacifications|density|densities|lesion|"
            "lesions|shadow|shadows)",
            "(coin|rounded|round) (lesion|lesions)",
        ),
        "mass": (
            "(mass|masses|tumor|tumour|tumors|tumours|neoplasm|malignancy|carcinoma|cancer)",
            "mass like (lesion|opacity|consolidation|density|appearance)",
            "(metastasis|metastases|metastatic (disease|lesion|lesions))",
        ),
        "cavity": (
            "(cavity|cavities|cavitation|abscess|abscesses)",
            "(cavitary|cavitating) (lesion|lesions|mass|nodule|nodules)",
        ),
        "granuloma": ("(granuloma|granulomas|granulomata)",),
        None: ("(lesion|lesions)",),
    },
    "pleural other": {
        None: (
            "pleural (thickening|plaque|plaques|scarring|scar|fibrosis|calcification|"
            "calcifications|reaction|changes)",
            "(apical|biapical) (cap|capping|thickening|pleural thickening)",
            "(pleuro[ ]|pleural )parenchymal (scar|scars|scarring)",
            "fibrothorax",
        ),
        "disease": ("pleural (disease|diseases|abnormality|abnormalities|process)",),
    },
    "fracture": {
        None: (
            "(fracture|fractures)",
            "(vertebral|vertebra|wedge) [body|bodies|compression] (collapse|collapses)",
        )
    },
    "support devices": {
        "pacemaker": (
            "(pacemaker|pacemakers|pacer)",
            "(pacing|pacer|defibrillator|aicd) (device|wire|wires|lead|leads)",
            "(aicd|icd|crt d|defibrillator|cardioverter defibrillator)",
            "cardiac (conduction|rhythm management|rhythm) device",
        ),
        "central line": (
            "central [venous] (line|lines|catheter|catheters)",
            "(internal jugular|jugular|subclavian|ij|dialysis|hickman|swan ganz|venous|tunneled|"
            "tunnelled|pulmonary artery|infusion) [venous|central|vein|dialysis] "
            "(line|lines|catheter|catheters)",
            "(internal jugular|jugular|subclavian) (cvc|cvl)",
            "(cvc|cvl|swan ganz|picc|picc line|picc lines|picc catheter)",
            "(port a cath|portacath|mediport|chest port|port catheter|infusion port|infuse a port)",
        ),
        "endotracheal tube": (
            "(endotracheal|et|endo tracheal|orotracheal|tracheal) (tube|tubes|cannula|intubation)",
            "(ett|intubated|intubation)",
        ),
        "tracheostomy": ("tracheostomy[ (tube|cannula)]",),
        "chest tube": (
            "(chest|thoracostomy|thoracic|pleural|intercostal|pigtail) "
            "(tube|tubes|drain|drains|drainage catheter|chest drain|catheter|catheters)",
        ),
        "enteric tube": (
            "(nasogastric|na sogastric|naso gastric|orogastric|enteric|feeding|gastric|ng|og|"
            "dobhoff|dobbhoff|enteral|nasoenteric) (tube|tubes)",
            "(ngt|dobhoff|dobbhoff)",
        ),
        "wires": (
            "(sternal|sternotomy|cerclage) (wire|wires|suture|sutures)",
            "surgical (clip|clips|staples)",
        ),
        "valve": (
            "(prosthetic|mechanical|artificial) [aortic|mitral|heart|cardiac] (valve|valves)",
            "(mitral|aortic|heart|cardiac) valve (prosthesis|replacement)",
        ),
        "circulatory support": ("(balloon pump|iabp|lvad|ecmo (cannula|cannulae)|impella)",),
        None: (
            "support (device|devices|apparatus|lines|tubes|hardware|equipment)",
            "(lines and tubes|tubes and lines|lines tubes and drains|lines and devices)",
        ),
    },
}

# Denied, these mean a normal image; stated, they mean no particular finding.
GENERAL_PHRASES: dict[str, tuple[str, ...]] = {
    "no finding": (
        "(abnormality|abnormalities|disease|process|processes|finding|findings|pathology|changes|"
        "disorder)",
    ),
    "lung opacity": (
        "(lung|pulmonary|parenchymal) (abnormality|abnormalities|lesion or infiltrate)",
    ),
    "fracture": (
        "(osseous|bony|skeletal|bone|osseus) "
        "(abnormality|abnormalities|lesion|lesions|finding|findings|injury|pathology|process|"
        "destruction|changes)",
    ),
}

ANATOMY_PHRASES: dict[str, tuple[str, ...]] = {
    "heart": (
        "(heart|cardiac) (size|shadow|silhouette|contour|contours|shape|border|borders|outline)",
        "cardiac [silhouette|shadow] size",
        "(heart|cardiothoracic ratio|heart size and (contour|shape|configuration))",
    ),
    "mediastinum": (
        "(mediastinum|mediastinal) [contour|contours|silhouette|structures|borders|width|size]",
    ),
    "cardiomediastinal": (
        "(cardiomediastinal|cardio mediastinal|cardiac mediastinal|cardiac and mediastinal|"
        "mediastinal and cardiac|heart and mediastinal|cardiovascular) "
        "(silhouette|silhouettes|contour|contours|structures|size|shadow|outline|border|borders)",
    ),
    "lungs": ("(lungs|lung|lung field|lung fields|lung parenchyma|pulmonary parenchyma)",),
    "pleura": ("(pleura|pleural (space|spaces|surface|surfaces|reflections|cavities))",),
    "angles": ("(costophrenic|cp|costodiaphragmatic) (angle|angles|sulcus|sulci|recess|recesses)",),
    "vessels": (
        "pulmonary (vasculature|vascularity|vessels|vascular (markings|pattern|structures))",
        "(vasculature|vascularity|vascular markings|bronchovascular markings)",
    ),
    "bones": (
        "(bones|bony thorax|thoracic cage|rib cage|skeleton|ribs|osseous thorax)",
        "(osseous|bony|skeletal) (structures|thorax|elements)",
    ),
    "chest": (
        f"(chest|chest (radiograph|x ray|{RADIOGRAPH_NOUN}|radiography)|radiograph|examination|"
        "cxr)",
    ),
    "other": (
        "(hila|hilum|hilar (contour|contours|structures)|aorta|aortic contour|thoracic aorta)",
        "(diaphragm|diaphragms|hemidiaphragm|hemidiaphragms|trachea|airway|airways)",
        "(soft tissue|soft tissues|upper abdomen|spine|thoracic spine|lung volume|lung volumes)",
    ),
}

STATE_PHRASES: dict[str, tuple[str, ...]] = {
    "normal": (
        "(normal|unremarkable|wnl|intact|negative)",
        "(within|in) [the] (normal|physiologic|physiological) (limits|limit|range)",
        "[within] [the] (upper limits|upper limit|limits|range) of normal",
        "top normal",
        "(not|no longer) [significantly|grossly|overtly] "
        "(enlarged|widened|dilated|increased|blunted|prominent)",
        "(non enlarged|without [acute] (abnormality|abnormalities))",
    ),
    "clear": ("(clear|sharp|clear bilaterally)",),
    "enlarged": (
        "(enlarged|increased|dilated|widened|wide)",
        "(is|are|remains|appears) [mildly|slightly|moderately|markedly] large",
    ),
    "borderline": ("borderline [enlarged|in size|enlargement|size]", "prominent"),
    "blunted": ("(blunted|blunting|blunting of|obliterated)",),
    "congested": ("(congested|engorged|cephalized|indistinct)",),
}

_NO_OPACITY: tuple[tuple[str, Presence], ...] = (
    ("lung opacity", "absent"),
    ("consolidation", "absent"),
    ("edema", "absent"),
    ("pneumonia", "absent"),
    ("atelectasis", "absent"),
)
# Findings implied by a region in a state.
READINGS: dict[tuple[str, str], tuple[tuple[str, Presence], ...]] = {
    ("heart", "normal"): (("cardiomegaly", "absent"),),
    ("heart", "enlarged"): (("cardiomegaly", "present"),),
    ("heart", "borderline"): (("cardiomegaly", "uncertain"),),
    ("mediastinum", "normal"): (("enlarged cardiomediastinum", "absent"),),
    ("mediastinum", "clear"): (("enlarged cardiomediastinum", "absent"),),
    ("mediastinum", "enlarged"): (("enlarged cardiomediastinum", "present"),),
    ("mediastinum", "borderline"): (("enlarged cardiomediastinum", "uncertain"),),
    ("cardiomediastinal", "normal"): (
        ("cardiomegaly", "absent"),
        ("enlarged cardiomediastinum", "absent"),
    ),
    ("cardiomediastinal", "enlarged"): (
        ("cardiomegaly", "present"),
        ("enlarged cardiomediastinum", "present"),
    ),
    ("cardiomediastinal", "borderline"): (("cardiomegaly", "uncertain"),),
    ("lungs", "clear"): _NO_OPACITY,
    ("lungs", "normal"): _NO_OPACITY,
    ("pleura", "clear"): (("pleural effusion", "absent"), ("pneumothorax", "absent")),
    ("pleura", "normal"): (("pleural effusion", "absent"), ("pneumothorax", "absent")),
    ("angles", "clear"): (("pleural effusion", "absent"),),
    ("angles", "normal"): (("pleural effusion", "absent"),),
    ("angles", "blunted"): (("pleural effusion", "present"),),
    ("vessels", "normal"): (("edema", "absent"),),
    ("vessels", "clear"): (("edema", "absent"),),
    ("vessels", "congested"): (("edema", "present"),),
    ("vessels", "enlarged"): (("edema", "uncertain"),),
    ("vessels", "borderline"): (("edema", "uncertain"),),
    ("bones", "normal"): (("fracture", "absent"),),
    ("chest", "normal"): (("no finding", "present"),),
    ("chest", "clear"): (("no finding", "present"),),
}
