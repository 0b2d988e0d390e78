"""The two prompts of an edit differ in what `trace.rewrite.changes` says, and in nothing else.

Through the real rewriting by rules and the edit's own prompts, with the bundled tokenizer.
"""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path

import pytest

from pairaug.edit import Edit, EditSettings
from pairaug.edit.sampler import EditRequest
from pairaug.imaging.io import png_ref
from pairaug.pair import Branch, Pair, Report
from pairaug.phantom.study import sample_study
from pairaug.rewrite import Rewrite, RewriteSettings
from pairaug.rewrite.cleaning import source_report
from pairaug.stage import RunContext, apply
from support.edit_prompts import asked, found, is_cut_apart, num_different, requests, unasked
from support.messy_reports import messy_pairs

DATA = Path(os.environ.get("PAIRAUG_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
SETS = {
    "covid": (DATA / "covid_cxr_pairs" / "reports.csv", "image_id", None),
    "openi": (DATA / "openi_reports" / "reports.csv", "report_id", 400),
}


@pytest.fixture(scope="module")
def edit() -> Edit:
    return Edit(EditSettings(), RunContext(seed=0))


def _read(name: str) -> list[Pair]:
    path, id_column, limit = SETS[name]
    if not path.exists():
        pytest.skip(f"{path} is not here")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:limit]
    return [
        Pair(
            row[id_column],
            Branch.REAL,
            row[id_column],
            Report(row["findings"], row["impression"]),
        )
        for row in rows
    ]


def _check(edit: Edit, request: EditRequest) -> None:
    """Prompts differ by what was rewritten: by its words, by its sentences, by what is read."""
    child = request.pair
    texts = child.source_report or "", child.report.text
    assert not is_cut_apart(request)
    tokens = [edit._pipeline.token_ids(text) for text in (*texts, request.source_prompt.text)]
    tokens.append(edit._pipeline.token_ids(request.prompt.text))
    assert num_different(*tokens[2:]) <= num_different(*tokens[:2])
    assert unasked(request) == []
    assert found(request) == asked(request)
    assert len(child.report.text.split()) <= 50


@pytest.mark.parametrize("seed", range(3))
def test_messy_reports_give_prompts_that_differ_in_what_was_asked(edit: Edit, seed: int) -> None:
    made = list(requests(edit, messy_pairs(), seed))
    assert len(made) >= 18
    for request in made:
        _check(edit, request)


@pytest.mark.dataset
@pytest.mark.parametrize("name", SETS)
def test_real_reports_give_prompts_that_differ_in_what_was_asked(edit: Edit, name: str) -> None:
    made = list(requests(edit, _read(name)))
    assert len(made) > 150
    for request in made:
        _check(edit, request)


AROUND = (
    ("TECHNIQUE: Portable AP view of the chest, obtained at 6:40. ", ""),
    ("COMPARISON: Chest radiograph of ___. ", " Follow-up radiograph in two weeks is advised."),
    ("PA and lateral views were obtained. ", " Findings were discussed with Dr. ___ by telephone."),
)  # fmt: skip


@pytest.mark.parametrize("method", ["invert", "regenerate"])
def test_technique_comparison_and_advice_change_no_byte_of_an_edit(
    tiny_generator_folder: Path, method: str
) -> None:
    """The same phantoms with and without: where the cleaned text is equal, so is the image."""
    rewrite = Rewrite(RewriteSettings(backend="rules", branches=("intra",)), RunContext(seed=1))
    settings = EditSettings.model_validate(
        {"model": str(tiny_generator_folder), "num_inference_steps": 2, "method": method}
    )
    stage = Edit(settings, RunContext(seed=1))
    num_equal = 0
    for index in range(6):
        study = sample_study(7, index)
        before, after = AROUND[index % len(AROUND)]
        plain = Pair(
            f"phantom/{index}",
            Branch.REAL,
            study.patient_id,
            Report(study.findings_text, study.impression_text),
            image=png_ref(study.render(16).image),
        )
        wordy = replace(
            plain, report=replace(plain.report, findings=f"{before}{study.findings_text}{after}")
        )
        assert source_report(plain.report.text) == source_report(wordy.report.text)
        children = [apply(stage, apply(rewrite, [pair]))[1] for pair in (plain, wordy)]
        assert children[0] == children[1]
        num_equal += children[0].image is not None
    assert num_equal >= 4
