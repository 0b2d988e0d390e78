"""The test set of an experiment: labelled images of other patients."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from pathlib import Path

import numpy as np

from pairaug.errors import DataError
from pairaug.evaluate.data import chosen_findings, open_cases
from pairaug.evaluate.data.settings import LabelledData
from pairaug.evaluate.prompts import TemplatePair
from pairaug.evaluate.zero_shot import findings_probabilities
from pairaug.imaging.files import ImageError
from pairaug.manifest import fingerprint

_FINEST = 255.0


class LabelledTestSet:
    """Labelled images of other patients, loaded once for all models."""

    def __init__(
        self,
        data: LabelledData,
        findings: tuple[str, ...],
        templates: tuple[TemplatePair, ...],
    ) -> None:
        self._named = {
            "data": data.model_dump(mode="json"),
            "findings": list(findings),
            "templates": [list(template) for template in templates],
        }
        self._templates = templates
        self._cases = open_cases(data)
        self.findings = chosen_findings(self._cases, findings)

    @property
    def fingerprint(self) -> str:
        """Hash of everything besides the model that determines its probabilities."""
        return fingerprint({**self._named, "hashes": dict(self._cases.hashes)})

    def __call__(self, model: Path) -> np.ndarray:
        """Zero-shot probabilities of the model in a folder, float32 `image finding`."""
        from pairaug.clip.encoders import open_encoder

        encoder = open_encoder(model, batch_size=64)
        images = (image.astype(np.float32) / _FINEST for image in self._load[0])
        return findings_probabilities(encoder, images, self.findings, self._templates)

    @property
    def labels(self) -> np.ndarray:
        """float32 `image finding`: 1, 0, or NaN where it is not stated."""
        return self._load[1]

    @property
    def patients(self) -> np.ndarray:
        """Patient number of each image: intervals resample patients."""
        return self._load[2]

    @cached_property
    def _load(self) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        images, labels, patients = [], [], []
        lost: Counter[str] = Counter()
        for case in self._cases:
            try:
                # Eight bits, as in every model's transform, take a quarter of the memory.
                images.append(np.rint(case.image() * _FINEST).astype(np.uint8))
            except ImageError as error:
                lost[error.reason] += 1
                continue
            labels.append([case.labels[name] for name in self.findings])
            patients.append(case.patient_id)
        if not images:
            raise DataError(f"data has no image to evaluate on: {dict(lost + self._cases.tally)}")
        codes = np.unique(np.array(patients), return_inverse=True)[1]
        return images, np.array(labels, np.float32), codes
