"""Contrastive pretraining on images and reports: CheXzero's recipe, and smaller ones.

The settings need no tensor library; training loads it when it is called.
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
    """Trains a CLIP model, and leaves it in `out/clip`; an interrupted training is carried on.

    With `max_steps` set it takes exactly so many steps, whatever the number of pairs. `progress` is
    told of pairs, as the stages of a run tell of theirs.
    """
    from pairaug.train.clip.program import train

    return train(settings, out, progress)
