"""Captions that state or deny a finding, for zero-shot evaluation.

Names of findings are free. Those of CheXpert are spelled as in `pair.FINDINGS`, so that means over
common findings can be taken whatever a dataset calls them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pairaug.errors import SettingsError

TemplatePair = tuple[str, str]
"""(positive, negative); `{}` stands for the finding's caption and is optional."""

TEMPLATES: tuple[TemplatePair, ...] = (("{}", "no {}"),)
"""CheXzero's, which are the paper's."""

OWN_TEMPLATES: Mapping[str, tuple[TemplatePair, ...]] = {
    # "no no finding" against "no finding" asks for the opposite. These captions are the usual
    # report of a normal image, and the one that it denies.
    "no finding": (("no acute cardiopulmonary abnormality", "acute cardiopulmonary abnormality"),),
}
"""Findings whose negative caption is not "no" and the name."""

CHEXPERT_FIVE = ("atelectasis", "cardiomegaly", "consolidation", "edema", "pleural effusion")
"""The five findings on which CheXpert's competition was decided, and CheXzero is compared."""

# Other spellings of CheXpert's observations, lower case: NIH's, PadChest's, VinDr-CXR's.
_SAME = {
    "effusion": "pleural effusion",
    "pulmonary edema": "edema",
    "normal": "no finding",
    "enlarged cardiom.": "enlarged cardiomediastinum",
    "airspace opacity": "lung opacity",
}


def finding_name(text: str) -> str:
    """A dataset's name of a finding in canonical spelling: lower case, spaces for underscores."""
    name = " ".join(text.replace("_", " ").lower().split())
    return _SAME.get(name, name)


@dataclass(frozen=True, slots=True)
class Captions:
    """The captions of one finding."""

    positive: tuple[str, ...]
    negative: tuple[str, ...]


def captions_of(
    findings: Iterable[str],
    templates: Sequence[TemplatePair] = TEMPLATES,
    own_templates: Mapping[str, Sequence[TemplatePair]] = OWN_TEMPLATES,
    names: Mapping[str, str] | None = None,
) -> dict[str, Captions]:
    """Captions of each finding, from its own templates if given, else from the common ones.

    `names` maps findings to their wording in captions.
    """
    captions = {}
    for finding in findings:
        called = (names or {}).get(finding, finding)
        pairs = own_templates.get(finding, templates)
        filled = [tuple(template.replace("{}", called) for template in pair) for pair in pairs]
        captions[finding] = Captions(
            tuple(dict.fromkeys(positive for positive, _ in filled)),
            tuple(dict.fromkeys(negative for _, negative in filled)),
        )
        if set(captions[finding].positive) & set(captions[finding].negative):
            raise SettingsError(
                f"the templates of {finding!r} have the same caption for present and absent"
            )
    return captions
