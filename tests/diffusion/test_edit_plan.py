"""The swaps of each step, counted as in prompt-to-prompt's code."""

from __future__ import annotations

import pytest

from pairaug.diffusion.edit_plan import EditOptions, make_edit_plan
from pairaug.diffusion.pipeline import Pipeline

BEFORE, AFTER = "mild edema. no pleural effusion", "large edema. no pleural effusion"


@pytest.mark.parametrize(
    ("num_inference_steps", "cross_replace_steps", "self_replace_steps", "crossed", "selfed"),
    [
        (10, 0.5, 0.2, 5, 2),  # int(0.5 * 11), int(0.2 * 10)
        (9, 0.4, 0.4, 4, 3),  # int(0.4 * 10), int(0.4 * 9)
        (4, 1.0, 1.0, 4, 4),
        (4, 0.0, 0.5, 0, 2),
        (4, 0.5, 0.0, 2, 0),
    ],
)
def test_attention_is_swapped_in_the_first_steps_and_in_no_more(
    velocity_bundle: Pipeline,
    num_inference_steps: int,
    cross_replace_steps: float,
    self_replace_steps: float,
    crossed: int,
    selfed: int,
) -> None:
    options = EditOptions(
        num_inference_steps=num_inference_steps,
        cross_replace_steps=cross_replace_steps,
        self_replace_steps=self_replace_steps,
    )
    plan = make_edit_plan(velocity_bundle, [BEFORE], [AFTER], [0], options)
    swaps = [plan.at(step_index) for step_index in range(num_inference_steps)]
    assert [swap is not None and swap.moved is not None for swap in swaps] == [
        step_index < crossed for step_index in range(num_inference_steps)
    ]
    assert [swap is not None and swap.max_self_positions > 0 for swap in swaps] == [
        step_index < selfed for step_index in range(num_inference_steps)
    ]


def test_each_edit_takes_the_maps_of_its_own_source(velocity_bundle: Pipeline) -> None:
    """Sources follow the edits in a batch: three edits of two sources."""
    plan = make_edit_plan(
        velocity_bundle, [BEFORE, AFTER], [AFTER, BEFORE, AFTER], [1, 0, 1], EditOptions()
    )
    assert plan.source_rows.tolist() == [4, 3, 4]
    assert plan.changes.tolist() == [False, False, False]
    changed = make_edit_plan(velocity_bundle, [BEFORE], [AFTER], [0], EditOptions())
    assert changed.changes.tolist() == [True]
