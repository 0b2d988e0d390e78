"""What models are evaluated on: images with the labels that their source states.

`settings` says which source, `label_tables` how each layout writes labels down, `cases` makes a
stream of images with labels of any of them, and `features` has a model encode it.
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
