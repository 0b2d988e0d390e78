"""Writes rewrite-examples.md: fifty reports beside their rewrites by rules.

    python docs/how-to/rewrite_examples.py

The reports were written for this page. tests/rewrite/test_examples.py checks that it is current.
"""

from __future__ import annotations

from pathlib import Path

from pairaug.pair import Branch, Pair, Report
from pairaug.rewrite import Rewrite, RewriteSettings
from pairaug.stage import RunContext

PAGE = Path(__file__).with_name("rewrite-examples.md")
_HEAD = """\
# Fifty rewrites by rules

<!-- Written by docs/how-to/rewrite_examples.py; edit that, not this. -->

Fifty reports written for this page, and their rewrites with seed 0 and

```yaml
rewrite: {backend: rules}
```

`inter` is a new patient: some findings are reversed, and the impression comes first. `intra` is
the same patient, changed: one to three findings differ and the rest stays. All rewrites were
accepted. [Rewrite reports](rewrite.md) has the settings and the checks.
"""
REPORTS = """\
Small left pleural effusion. The heart is normal in size. No pneumothorax.
The lungs are clear. No pleural effusion or pneumothorax. Heart size is normal.
Moderate pulmonary edema with bilateral pleural effusions. The heart is enlarged.
Right lower lobe consolidation, compatible with pneumonia. No effusion.
Endotracheal tube tip is 4 cm above the carina. Bibasilar atelectasis.
Large right pneumothorax. No mediastinal shift. The left lung is clear.
Mild cardiomegaly. No pulmonary edema. No focal consolidation.
A 2 cm nodule is seen in the left upper lobe. No lymphadenopathy.
Left chest wall pacemaker with leads in the right atrium and ventricle. No pneumothorax.
Patchy opacity at the left lung base may represent atelectasis or infiltrate.
Normal chest radiograph. No acute cardiopulmonary abnormality.
Right internal jugular central line ends in the superior vena cava. No pneumothorax.
Blunting of the right costophrenic angle suggests a small effusion.
Hyperinflated lungs with flattened diaphragms. No focal airspace disease.
Cardiomediastinal silhouette is within normal limits. Lungs are clear. No effusion.
Dense left lower lobe consolidation with a moderate parapneumonic effusion.
Tiny right apical pneumothorax. Right chest tube in place.
Mild vascular congestion. Heart size is at the upper limits of normal.
There is no evidence of pneumonia. Mild degenerative changes of the spine.
Old healed right rib fractures. The lungs are clear. No pneumothorax.
Multifocal bilateral airspace opacities, worse at the bases. No effusion.
Widened mediastinum. Tortuous aorta. Lungs are clear.
Calcified granuloma in the right upper lobe. No acute disease.
Left retrocardiac opacity with air bronchograms. Small left effusion.
Median sternotomy wires are intact. Moderate cardiomegaly without edema.
Enteric tube courses below the diaphragm. Low lung volumes with basilar atelectasis.
Bilateral interstitial opacities, which may reflect edema. Small bilateral effusions.
3 cm mass in the right upper lobe. No pleural effusion. Heart is not enlarged.
No focal consolidation, pleural effusion, or pneumothorax. Normal mediastinal contours.
Complete opacification of the left hemithorax with mediastinal shift to the right.
Severe cardiomegaly with moderate pulmonary edema. Left pacemaker in place.
Subsegmental atelectasis in the left lower lobe. Otherwise clear lungs.
Moderate right effusion with adjacent compressive atelectasis. No pneumothorax.
The right PICC tip projects over the cavoatrial junction. Lungs are clear.
Right middle lobe pneumonia. The left lung is clear. Heart size is normal.
Biapical pleural thickening. No pneumothorax. No focal opacity.
Acute fracture of the left seventh rib. No pneumothorax or hemothorax.
Streaky bibasilar opacities, likely atelectasis. No edema.
Heart size is mildly enlarged. The pulmonary vasculature is normal. No effusion.
Multiple bilateral pulmonary nodules, suspicious for metastases.
Small bilateral pleural effusions, greater on the left. Mild edema.
Left lower lobe collapse. The endotracheal tube lies in the right main bronchus.
Clear lungs. No acute bony abnormality. Mediastinum is unremarkable.
Loculated left pleural effusion. Left chest tube. No pneumothorax.
Diffuse ground-glass opacities in both lungs. No pleural effusion.
Perihilar haziness and Kerley B lines indicate edema. Cardiomegaly.
Right upper lobe cavity with surrounding consolidation. No effusion.
Prosthetic aortic valve. Heart is enlarged. No overt edema.
Minimal left basilar atelectasis. No pneumothorax, effusion or consolidation.
Dialysis catheter ends in the right atrium. Moderate cardiomegaly. Small right effusion.
""".splitlines()


def page() -> str:
    """Text of the page."""
    pairs = [
        Pair(f"example/{number}", Branch.REAL, "none", Report(text))
        for number, text in enumerate(REPORTS)
    ]
    rewritten = {pair.id: pair for pair in Rewrite(RewriteSettings(), RunContext(seed=0))(pairs)}
    lines = [_HEAD, "| | report | inter | intra |", "|---|---|---|---|"]
    for number, pair in enumerate(pairs):
        cells = [_cell(rewritten[f"{pair.id}~{branch}-0"]) for branch in ("inter", "intra")]
        lines.append(f"| {number + 1} | {pair.report.text} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


def _cell(child: Pair) -> str:
    return f"*{child.drop.reason}*" if child.drop else child.report.text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
