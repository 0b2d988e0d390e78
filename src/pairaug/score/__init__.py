"""Scores: how well image and report agree, and whether an edit moved as its report did.

This package's settings cost no tensor library; models are opened for the first pair.
"""

from __future__ import annotations

from pairaug.score.settings import AuditSettings, ScoreSettings
from pairaug.score.stage import DROP_REASONS, Score

__all__ = ["DROP_REASONS", "AuditSettings", "Score", "ScoreSettings"]
