"""Rewrites reports: for new patients, and with changed findings for the same patient."""

from pairaug.rewrite.reasons import MEANINGS, Reason
from pairaug.rewrite.rewriter import Rewrite
from pairaug.rewrite.settings import RewriteSettings

__all__ = ["MEANINGS", "Reason", "Rewrite", "RewriteSettings"]
