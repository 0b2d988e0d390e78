"""Running: the chain of stages over a run folder, part by part, resumed by running it again.

`folder` is what a run folder holds, `fingerprints` what decides each stage's output, `chain` which
stages there are, `program` the work itself; `progress` and `tables` are what a terminal shows.
"""

from __future__ import annotations

from pairaug.run.api import export_to, run, run_stage
from pairaug.run.folder import RunFolder
from pairaug.run.plan import Plan, make_plan
from pairaug.run.stages import STAGES

__all__ = ["STAGES", "Plan", "RunFolder", "export_to", "make_plan", "run", "run_stage"]
