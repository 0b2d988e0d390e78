"""Reports of no known layout: which of their text is findings, which impression, which neither."""

from __future__ import annotations

import pytest

from pairaug.readers.plain import plain_sections, report_of_plain

C, N = "The lungs are clear.", "Normal chest."

CASES = {
    # Both sections, however their headings are written.
    f"FINDINGS: {C}\nIMPRESSION: {N}": (C, N),
    f"Findings: {C} IMPRESSION: {N}": (C, N),
    f"Findings: {C} Impression: {N}": (C, N),
    f"findings:\r\n{C}\r\n\r\nImpression :\r\n{N}\r\n": (C, N),
    f"\ufeff  INDICATION: Cough. FINDINGS: The lungs\n are clear. CONCLUSION: {N}": (C, N),
    f"\tFINDINGS:\t{C}\r\n\r\n\tIMPRESSION:\t{N}": (C, N),
    f"FINDINGS\u00a0: The\u00a0lungs are clear.\nIMPRESSION\uff1a{N}": (C, N),
    f"FINDINGS - {C}\nIMPRESSION - {N}": (C, N),
    f"FINDINGS {C}\nIMPRESSION {N}": (C, N),
    f"FINDINGS\n{C}\nIMPRESSION\n{N}": (C, N),
    f"Findings\n{C}\n\nImpression\n{N}": (C, N),
    f"## Findings\n\n{C}\n\n## Impression\n\n{N}": (C, N),
    f"**Findings:** {C}\n**Impression:** {N}": (C, N),
    f"**Findings**: {C}\n\n__Impression__\n{N}": (C, N),
    f"**Findings** {C}\n**Impression** {N}": (C, N),
    f"> ### Findings\n{C}\n> ### Impression\n{N}": (C, N),
    f"Findings\n--------\n{C}\n\nImpression\n==========\n{N}": (C, N),
    f"=== FINDINGS ===\n{C}\n=== IMPRESSION ===\n{N}": (C, N),
    f"[FINDINGS]\n{C}\n[IMPRESSION]\n{N}": (C, N),
    f"1. FINDINGS: {C}\n2. IMPRESSION: {N}": (C, N),
    f"- Findings: {C}\n- Impression: {N}": (C, N),
    # One section only.
    f"FINDINGS AND IMPRESSION: {N}": ("", N),
    f"Findings/Impression: {N}": ("", N),
    f"IMPRESSION AND RECOMMENDATION: {N}": ("", N),
    f"Impression and plan: {N}": ("", N),
    f"INTERPRETATION: {C}": (C, ""),
    f"REPORT: {C}": (C, ""),
    f"Result:\n{C}": (C, ""),
    f"RESULTS: {C}\nCONCLUSIONS: {N}": (C, N),
    f"OPINION: {N}": ("", N),
    # A reading beside findings is the impression; a title over all is neither.
    f"FINDINGS: {C}\nINTERPRETATION: {N}": (C, N),
    f"REPORT: Chest, two views\nFINDINGS: {C}\nIMPRESSION: {N}": (C, N),
    f"REPORT:\nINDICATION: Cough.\nFINDINGS: {C}": (C, ""),
    # Several of a kind.
    f"FINDINGS: {C}\nIMPRESSION: {N}\nFINDINGS: Large heart.": (f"{C}\n\nLarge heart.", N),
    # What is left out.
    f"INDICATION: Cough.\nTECHNIQUE: PA.\nCOMPARISON: None.\nFINDINGS: {C}": (C, ""),
    f"FINDINGS: {C}\nADDENDUM: The ward was called.": (C, ""),
    f"FINDINGS: {C}\nIMPRESSION: {N}\n\nRECOMMENDATION: CT.": (C, N),
    f"FINDINGS: {C}\nElectronically signed by X\nOn a day": (C, ""),
    f"FINDINGS: {C}\nDictated by: X": (C, ""),
    f"Clinical history: cough.\nFindings: {C}": (C, ""),
    "INDICATION: Cough.": ("", ""),
    # What is said under no heading of its own.
    f"{C}\n\nIMPRESSION: {N}": (C, N),
    f"Chest X-ray\n{C}\n\nIMPRESSION: {N}": (f"Chest X-ray. {C}", N),
    f"INDICATION: Cough.\n\n{C}\n\nIMPRESSION: {N}": (C, N),
    f"INDICATION: Cough.\n\n{C}": (C, ""),
    f"COMPARISON: None. {C}": (f"None. {C}", ""),
    # Parts of a section, and headings that nobody knows.
    "FINDINGS:\nLUNGS: Small effusion.\nHEART: Enlarged.\n\nIMPRESSION:\nAs above.": (
        "LUNGS: Small effusion. HEART: Enlarged.", "As above."
    ),
    "FINDINGS:\nLUNGS:\nSmall effusion\nPLEURA: Thick\nBONES: Old fracture": (
        "LUNGS: Small effusion. PLEURA: Thick. BONES: Old fracture", ""
    ),
    f"## Findings\n### Lungs\nClear\n### Heart\nLarge\n## Impression\n{N}": (
        "Lungs: Clear. Heart: Large", N
    ),
    "FINDINGS: Large heart.\nZONES: Clear.\nIMPRESSION: X.": ("Large heart. ZONES: Clear.", "X."),
    f"LUNGS: Clear.\nHEART: Large.\n\nIMPRESSION: {N}": ("LUNGS: Clear. HEART: Large.", N),
    f"TECHNIQUE: PA.\nLUNGS: Clear.\nIMPRESSION: {N}": ("LUNGS: Clear.", N),
    f"PORTABLE CHEST: {C}\nIMPRESSION: {N}": (f"PORTABLE CHEST: {C}", N),
    f"INDICATION: Cough.\nSOMETHING: {C}": (f"SOMETHING: {C}", ""),
    # Lists.
    "FINDINGS:\n- Large heart\n- No effusion\nIMPRESSION:\n1. Large heart\n2. No effusion": (
        "Large heart. No effusion", "1. Large heart. 2. No effusion"
    ),
    # Other languages.
    "BEFUND:\nKein Erguss.\n\nBEURTEILUNG: Normal.": ("Kein Erguss.", "Normal."),
    "BEURTEILUNG: Kein Erguss.": ("", "Kein Erguss."),
    "HALLAZGOS: pulmones libres.\nCONCLUSI\u00d3N: normal.": ("pulmones libres.", "normal."),
    "INDICACI\u00d3N: tos.\nIMPRESI\u00d3N: normal.": ("", "normal."),
    "R\u00c9SULTATS : Pas d'\u00e9panchement.\nCONCLUSION : Normal.": (
        "Pas d'\u00e9panchement.", "Normal."
    ),
    "QUESITO CLINICO: tosse.\nREFERTO: nella norma.": ("nella norma.", ""),
    "ACHADOS: normal.\nIMPRESS\u00c3O: normal.": ("normal.", "normal."),
    "\u6240\u89c1\uff1a\u53cc\u80ba\u6e05\u6670\u3002\n\u5370\u8c61\uff1a\u6b63\u5e38\u3002": (
        "\u53cc\u80ba\u6e05\u6670\u3002", "\u6b63\u5e38\u3002"
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", CASES)
def test_sections_of_unknown_layouts(text: str) -> None:
    report = report_of_plain(text, "findings")
    assert (report.findings, report.impression) == CASES[text]


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("The findings are as before.\nNote: clear.", "The findings are as before. Note: clear."),
        ("No acute\nfindings", "No acute findings"),
        ("Clear.\n\n\nNo change.", "Clear.\n\nNo change."),
        ("LUNGS: Clear\nHEART: Normal", "LUNGS: Clear. HEART: Normal"),
        ("### Lungs\nClear", "Lungs: Clear"),
        ("**LUNGS:** clear\n**HEART:** large", "LUNGS: clear. HEART: large"),
        ("SOMETHING ELSE: Clear lungs.", "SOMETHING ELSE: Clear lungs."),
        ("Removed: ___ and ___.", "Removed: ___ and ___."),
        ("", ""),
    ],
)  # fmt: skip
def test_text_without_headings(text: str, whole: str) -> None:
    assert plain_sections(text) == {}
    assert report_of_plain(text, "findings").findings == whole
    assert report_of_plain(text, "impression").impression == whole
