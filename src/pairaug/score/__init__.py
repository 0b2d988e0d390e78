"""Scores the agreement of image and report, and of an edit with the change of its report.

The settings load no tensor library; models are opened for the first pair.
"""

from __future__ import annotations

from pairaug.score.settings import AuditSettings, ScoreSettings
from pairaug.score.stage import DROP_REASONS, Score

__all__ = ["DROP_REASONS", "AuditSettings", "Score", "ScoreSettings"]
