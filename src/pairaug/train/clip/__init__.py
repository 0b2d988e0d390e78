"""Contrastive pretraining on images and reports: CheXzero's recipe, and smaller ones.

The settings need no tensor library; training imports it when called.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pairaug.train.clip.mixing import MixSettings
from pairaug.train.clip.settings import ClipSettings
from pairaug.train.clip.sources import PairSource

if TYPE_CHECKING:
    from pairaug.train.loop import TrainingOutcome

__all__ = ["ClipSettings", "MixSettings", "PairSource", "train_clip"]


def train_clip(settings: ClipSettings, out: Path, progress: Any = None) -> TrainingOutcome:
    """Trains a CLIP model and saves it in `out/clip`; resumes an interrupted training.

    With `max_steps` set, training takes exactly that number of steps, whatever the number of pairs.
    `progress` counts pairs, as in the stages of a run.
    """
    from pairaug.train.clip.program import train

    return train(settings, out, progress)
