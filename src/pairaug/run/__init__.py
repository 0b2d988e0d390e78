"""Runs: the pipeline of stages in a run folder, part by part. Running again resumes.

`api` has the programs, `executor` makes the parts, `stages` opens the stages, `fingerprints` finds
changed settings, `folder` knows the files; `progress` and `tables` print to the terminal.
"""

from __future__ import annotations

from pairaug.run.api import export_to, run, run_stage
from pairaug.run.folder import RunFolder
from pairaug.run.plan import Plan, make_plan
from pairaug.run.stages import STAGES

__all__ = ["STAGES", "Plan", "RunFolder", "export_to", "make_plan", "run", "run_stage"]
