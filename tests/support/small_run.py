"""The smallest run that experiments can be made of: both branches, and a rule that drops some."""

from __future__ import annotations

from typing import Any

RUN: dict[str, Any] = {
    "preset": "demo",
    "part_size": 3,
    "read": {"layout": "phantom", "num_patients": 6, "seed": 11},
    "rewrite": {"variants": 2},
    "generate": {"num_inference_steps": 1, "guidance_scale": 1.0},
    "edit": {"num_inference_steps": 2, "guidance_scale": 1.0},
    "prune": {
        "inter": {"rule": "quantile", "quantile": 0.3},
        "intra": {"rule": "quantile", "quantile": 0.3},
    },
    "export": {"formats": ["parquet"]},
}
