"""Reports rewritten: new patients, and changes in the same one."""

from pairaug.rewrite.reasons import MEANINGS, Reason
from pairaug.rewrite.rewriter import Rewrite
from pairaug.rewrite.settings import RewriteSettings

__all__ = ["MEANINGS", "Reason", "Rewrite", "RewriteSettings"]
