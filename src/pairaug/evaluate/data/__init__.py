"""Evaluation data: images with the labels that their source states.

`settings` selects the source, `label_tables` reads each dataset's layout of labels, `cases` yields
images with labels, and `features` encodes them.
"""

from pairaug.evaluate.data.cases import Case, Cases, chosen_findings, open_cases
from pairaug.evaluate.data.features import Features, features_of
from pairaug.evaluate.data.settings import LabelledData, ReportData

__all__ = [
    "Case",
    "Cases",
    "Features",
    "LabelledData",
    "ReportData",
    "chosen_findings",
    "features_of",
    "open_cases",
]
