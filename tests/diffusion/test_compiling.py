"""The compiled denoiser: one graph for each kind of call, whatever the number of rows."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from pairaug.diffusion.attention import AttentionSwap
from pairaug.diffusion.compiling import of_any_length, swap_of_any_length
from pairaug.diffusion.pipeline import load_pipeline
from pairaug.errors import ModelError
from support import TESTS, program


def measured(what: str, folder: Path) -> dict[str, Any]:
    command = program("count_graphs", what, folder)
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_parts_of_any_size_share_their_graphs_and_equal_what_is_not_compiled(
    tiny_generator_folder: Path,
) -> None:
    found = measured("count", tiny_generator_folder)
    # Inverting; swapped; alone, with the layers' processors exchanged. Made for the first part.
    assert found["graphs"] == [3, 3, 3]
    assert found["repeats"]
    assert found["difference"] <= 1e-5


def test_inputs_are_dense_copies_whatever_they_were() -> None:
    rows = torch.randn(4, 6, 8, 8).to(memory_format=torch.channels_last)[1:]
    dense = of_any_length(rows)
    assert torch.equal(dense, rows)
    assert dense.is_contiguous()
    assert dense._dynamo_weak_dynamic_indices == {0}
    assert of_any_length(torch.tensor(3)) == 3
    with torch.inference_mode():
        made_inside = of_any_length(torch.ones(2))
        assert of_any_length(dense).is_inference() == made_inside.is_inference()


def test_a_swap_without_maps_stays_without() -> None:
    swap = AttentionSwap(torch.arange(2, 4), None, None, 0)
    assert swap_of_any_length(swap).moved is None


def test_without_a_compiler_it_is_one_line(
    tiny_generator_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    with pytest.raises(ModelError, match="needs a C\\+\\+ compiler on the CPU"):
        load_pipeline(tiny_generator_folder, compile=True)


@pytest.mark.slow
def test_compiled_machine_code_equals_what_is_not_compiled(tiny_generator_folder: Path) -> None:
    assert measured("machine-code", tiny_generator_folder)["difference"] <= 1e-4
