"""Invented reports of the kind that real ones are: long, and full of what is not this image's."""

from __future__ import annotations

from pairaug.pair import Branch, Pair, Report

# (impression, findings)
REPORTS: tuple[tuple[str, str], ...] = (
    (
        "1. Small left effusion, slightly larger than on ___. 2. Mild cardiomegaly, "
        "unchanged. 3. No pneumothorax. Recommend repeat radiograph in 24 hours.",
        "PA and lateral views of the chest were obtained. COMPARISON: Chest radiograph dated "
        "___. The cardiac silhouette is mildly enlarged, unchanged from the previous study. "
        "There is a small left pleural effusion, slightly larger than on the previous study. "
        "The right lung is clear. No pneumothorax. Degenerative changes of the thoracic "
        "spine are again noted.",
    ),
    (
        "Moderate pulmonary edema. Findings discussed with Dr. XXXX at XXXX hours.",
        "INDICATION: XXXX-year-old with shortness of breath. TECHNIQUE: Single AP portable "
        "view. The heart is enlarged. There is moderate pulmonary edema with small bilateral "
        "effusions. No pneumothorax is seen. The bones are osteopenic. Follow-up to "
        "resolution is advised.",
    ),
    (
        "No acute cardiopulmonary process.",
        "EXAM: CHEST PA AND LATERAL. HISTORY: Cough and fever for two weeks, treated with "
        "antibiotics by the family doctor. The lungs are well expanded and clear without "
        "focal consolidation, pleural effusion, pneumothorax, edema or suspicious nodule. "
        "The cardiomediastinal silhouette is normal. No displaced rib fracture is identified.",
    ),
    (
        "",
        "Frontal view of the chest compared with the CT of ___. An endotracheal tube "
        "terminates 4 cm above the carina. A nasogastric tube courses below the diaphragm, "
        "its tip off the image. Right internal jugular catheter ends in the superior vena "
        "cava. Large right pleural effusion with adjacent atelectasis, increased since "
        "yesterday. Left lung is clear.",
    ),
    (
        "Right lower lobe consolidation, which in the right setting is pneumonia. Clinical "
        "correlation and follow-up in six weeks are recommended to document resolution.",
        "",
    ),
    (
        "Interval extubation. Stable moderate cardiomegaly. Improved edema.",
        "The patient is status post median sternotomy. Sternal wires are intact. The "
        "endotracheal tube has been removed. Heart size remains moderately enlarged. "
        "Pulmonary edema has improved and is now mild. Small bilateral pleural effusions "
        "persist. There is no pneumothorax.",
    ),
    (
        "Normal chest.",
        "Comparison: None. Reason for exam: positive TB test, pre-employment. Heart size is "
        "normal. Lungs are clear. No effusion or pneumothorax. XXXX are intact. The upper "
        "abdomen is normal.",
    ),
    (
        "- Left basilar atelectasis\n- Tiny right apical pneumothorax\n- Chest tube in place",
        "FINDINGS: The right chest tube is unchanged in position. A tiny right apical "
        "pneumothorax remains, smaller than on the image of the morning. There is left "
        "basilar atelectasis. Subcutaneous emphysema along the right chest wall has "
        "decreased. The heart is not enlarged.",
    ),
    (
        "Emphysema. 8 mm nodule in the left upper lobe, for which CT is advised.",
        "The lungs are hyperinflated with flattened diaphragms. There is a nodule in the "
        "left upper lobe measuring 8 mm. No focal consolidation, effusion or pneumothorax. "
        "Heart size normal. Old healed fracture of the left seventh rib. Calcified granuloma "
        "in the right apex.",
    ),
    (
        "Cardiomegaly with mild vascular congestion; dual lead pacemaker in situ.",
        "Left chest wall pacemaker with leads in the right atrium and right ventricle. The "
        "heart is moderately enlarged. There is mild pulmonary vascular congestion without "
        "overt edema. No focal airspace opacity. No large effusion, although the left "
        "costophrenic angle is excluded.",
    ),
    (
        "Multifocal opacities, concerning for infection. Dr. ___ was paged at 3:15 pm on ___.",
        "There are patchy opacities in both lower lobes, more on the left. No cavitation. "
        "There is no pleural effusion and no pneumothorax. The cardiac silhouette is top "
        "normal in size. The mediastinal contours are unremarkable. The osseous structures "
        "are grossly intact.",
    ),
    (
        "",
        "Portable AP semi-upright view, rotated to the left. Low lung volumes accentuate the "
        "bronchovascular markings. Bibasilar atelectasis. Severe cardiomegaly. No definite "
        "pleural effusion. No pneumothorax. Evaluation of the left base is limited by "
        "overlying leads.",
    ),
    (
        "1. Moderate right pneumothorax. 2. Right rib fractures.",
        "Trauma series. There are acute fractures of the right fourth through sixth ribs. "
        "There is a moderate right pneumothorax without mediastinal shift. Small right "
        "pleural effusion. The left lung is clear. Heart size is normal. The findings were "
        "called to the trauma team.",
    ),
    (
        "No significant change.",
        "As compared to the previous radiograph, there is no relevant change. The monitoring "
        "and support devices are in unchanged position. Moderate left pleural effusion with "
        "subsequent atelectasis. Unchanged mild pulmonary edema. No new parenchymal "
        "opacities.",
    ),
    (
        "Large hiatal hernia. No acute process.",
        "The heart is normal in size. The aorta is tortuous and calcified. A large hiatal "
        "hernia is present. The lungs are clear. There is no evidence of pneumothorax, "
        "pleural effusion, focal consolidation, pulmonary edema, mass or free air under the "
        "diaphragm.",
    ),
    (
        "Bilateral pleural effusions, left larger than right, new since ___/___/___.",
        "FINAL REPORT. CLINICAL INFORMATION: known carcinoma of the breast, on chemotherapy. "
        "Left port catheter ends at the cavoatrial junction. Moderate left and small right "
        "pleural effusions. Bibasilar opacities are likely atelectasis. Surgical clips in "
        "the left axilla.",
    ),
    (
        "Mild interstitial edema.",
        "VIEWS: 2. NUMBER OF IMAGES: 2. Mildly enlarged heart. Mild interstitial edema. "
        "Trace bilateral effusions are possible. No consolidation. No pneumothorax. No acute "
        "bony finding. Spondylosis. Gallbladder clips. Compared to CT abdomen of XXXX there "
        "is no other change.",
    ),
    (
        "Persistent left lower lobe collapse.",
        "Tracheostomy tube in standard position. Right PICC line ends in the mid superior "
        "vena cava. Left lower lobe atelectasis is seen, as before. Small left pleural "
        "effusion. The right lung is essentially clear. There is no pneumothorax. Enteric "
        "tube tip is in the stomach.",
    ),
    (
        "Prominent right hilum: CT with contrast is recommended (see report of ___).",
        "The heart size is within normal limits. The right hilum is prominent. No focal "
        "consolidation is seen. There is mild linear atelectasis in the left lung base. No "
        "pleural effusion. No pneumothorax. The thoracic aorta is unfolded. Mild scoliosis "
        "convex to the right.",
    ),
    (
        "Cardiomegaly and small effusions; pneumonia cannot be excluded at the left base.",
        "Heart is moderately enlarged. There are small bilateral pleural effusions, left "
        "greater than right, with adjacent left basal opacity. There is no pneumothorax. "
        "Upper lungs are clear. This report was dictated by [**Name**] and reviewed by the "
        "attending on [**2101-2-3**].",
    ),
)


def messy_pairs() -> list[Pair]:
    """The reports as real pairs without images."""
    return [
        Pair(f"messy/{number}", Branch.REAL, f"p{number}", Report(findings, impression))
        for number, (impression, findings) in enumerate(REPORTS)
    ]
