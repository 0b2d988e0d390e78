"""Runs and tables in Python: the same pairs, scores and decisions as on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

import pairaug

CONFIG: dict[str, Any] = {
    "preset": "demo",
    "part_size": 2,
    "rewrite": {"variants": 2},
    "generate": {"num_inference_steps": 1, "guidance_scale": 1.0},
    "edit": {"num_inference_steps": 2, "guidance_scale": 1.0},
    "prune": {
        "inter": {"rule": "quantile", "quantile": 0.5},
        "intra": {"rule": "mean-margin", "margin": 0.01},
    },
}
RULES = {"inter": pairaug.Quantile(0.5), "intra": pairaug.MeanMargin(0.01)}
SCORES = pairaug.MeanMargin().scores


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pairaug.Run:
    return pairaug.run(CONFIG, tmp_path_factory.mktemp("runs") / "small", limit=5, progress=False)


@pytest.fixture(scope="module")
def table(run: pairaug.Run) -> pandas.DataFrame:
    return run.to_pandas()


def test_a_run_is_resumed_and_opened_again(run: pairaug.Run):
    before = run.record.seconds
    again = pairaug.run(run.path, progress=False)
    assert again.path == run.path
    assert again.record.seconds == before
    assert pairaug.load_run(str(run.path)).stages == run.stages
    assert run.summary_path.is_file()


def test_a_table_has_flat_columns_and_no_images(table: pandas.DataFrame):
    assert len(table) == 5 * (1 + 2 + 2)
    labels = [name for name in table if name.startswith("label_")]
    assert len(labels) == 14
    assert {str(table[name].dtype) for name in labels} == {"float64"}
    assert "label_pleural_effusion" in labels
    assert [f"score_{name}" in table for name in SCORES] == [True] * 3
    assert not {"image", "image_embedding", "labels", "scores"} & set(table)
    assert table.report[0].startswith(table.impression[0])


def test_embeddings_come_when_asked_for(run: pairaug.Run):
    table = run.to_pandas("score", embeddings=True)
    assert np.stack(list(table.image_embedding)).shape == (25, 128)
    assert table.drop_reason.isna().all()


def test_an_image_comes_when_asked_for(run: pairaug.Run, table: pandas.DataFrame):
    for id in table.id:
        image = run.image(id)
        assert (image.mode, image.size) == ("L", (128, 128))


def test_the_funnel_counts_what_the_record_counts(run: pairaug.Run):
    funnel = run.funnel()
    last = funnel[funnel.stage == "prune"].set_index("branch")
    counts = run.record.counts["prune"]
    assert last.dropped.sum() == sum(counts["dropped"].values())
    for branch in ("inter", "intra"):
        assert last.kept[branch] == counts["living"][branch]
    assert "below_quantile" in last.reasons["inter"]
    page = run._repr_html_()
    assert "below_quantile" in page


def test_a_pair_is_shown_with_its_parent_and_its_children(
    run: pairaug.Run, table: pandas.DataFrame
):
    page = run.show(table.id[0])._repr_html_()
    assert page.count("<img") == 5
    child = run.show(table.id[1])._repr_html_()
    assert child.count("<img") == 2
    assert "parent, real" in child


def test_pruning_decides_as_the_run_did(run: pairaug.Run, table: pandas.DataFrame):
    assert table.drop_reason.notna().any()
    stored = pandas.read_parquet(run.path / "score")
    for given in (run, run.path, table, stored):
        pruned = pairaug.prune(given, **RULES)
        for name in ("drop_stage", "drop_reason", "drop_detail"):
            assert pruned[name].fillna("").tolist() == table[name].fillna("").tolist()
    assert table.drop_reason.notna().any(), "the given table stays as it was"


def test_several_rules_must_all_keep_a_pair(table: pandas.DataFrame):
    one = pairaug.prune(table, inter=pairaug.TopK(1), intra=None)
    both = pairaug.prune(table, inter=[pairaug.TopK(1), pairaug.Quantile(0.5)], intra=None)
    is_inter = table.branch == "inter"
    assert one[is_inter].drop_reason.isna().sum() == 5
    assert both[is_inter].drop_reason.isna().sum() <= 5
    assert one[~is_inter].drop_reason.isna().all()


def test_mismatched_pairs_give_a_bound_of_their_own(run: pairaug.Run):
    rule = pairaug.MismatchQuantile(0.9)
    of_run = pairaug.prune(run, inter=rule, intra=rule)
    of_table = pairaug.prune(run.to_pandas(embeddings=True), inter=rule, intra=rule)
    assert of_run.attrs["prune"] == of_table.attrs["prune"]
    assert 0 < of_run.attrs["prune"]["inter"]["bounds"]["image_report"] < 1
    assert "image_embedding" not in of_run


def test_what_an_earlier_stage_dropped_stays_dropped(table: pandas.DataFrame):
    earlier = table.copy()
    earlier.loc[1, ["drop_stage", "drop_reason"]] = ["score", "no_report"]
    pruned = pairaug.prune(earlier, inter=None, intra=None)
    assert pruned.drop_reason.notna().sum() == 1
    assert pruned.drop_stage[1] == "score"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: pairaug.load_run("nowhere"), "nowhere does not exist"),
        (lambda run: pairaug.load_run(run.path.parent), "is not a run: it has no run.yaml"),
        (lambda run: run.to_pandas("prunes"), "no stage 'prunes'; the stages are: read, rewrite"),
        (lambda run: run.image("nobody"), "has this id; the column id of run.to_pandas"),
        (lambda run: run.show("nobody"), "has this id; the column id of run.to_pandas"),
        (
            lambda run: pairaug.run({"preset": "demo"}),
            r"need a folder: pairaug.run\(settings, out=",
        ),
        (lambda run: pairaug.run("no.yaml"), "no settings file no.yaml"),
        (lambda run: pairaug.run({"presett": "demo"}, "x"), "did you mean preset?"),
        (lambda run: pairaug.run(CONFIG, run.path, limit=0), "limit in pairaug.run is 0"),
        (lambda run: pairaug.run(CONFIG, run.path, limit=9), r"other settings \(limit: 5 → 9\)"),
        (lambda run: pairaug.Threshold(3), "threshold in Threshold is 3; it should be less"),
        (lambda run: pairaug.TopK(group_by="patient"), "choose one of: 'parent', 'report'"),
        (lambda run: pairaug.prune(run, inter=0.3), "inter is float; pass a rule such as"),
    ],
)
def test_wrong_inputs_are_one_line(run: pairaug.Run, call: Any, message: str):
    with pytest.raises(pairaug.PairAugError, match=message) as caught:
        call(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="branch"), "no column branch"),
        (lambda table: table.assign(branch="synthetic"), "'synthetic'; the branches are real"),
        (lambda table: table[["id", "branch"]], "the table has no scores"),
    ],
)
def test_wrong_tables_are_one_line(table: pandas.DataFrame, change: Any, message: str):
    with pytest.raises(pairaug.PairAugError, match=message):
        pairaug.prune(change(table))


def test_a_table_without_vectors_cannot_be_mismatched(table: pandas.DataFrame):
    with pytest.raises(
        pairaug.PairAugError, match="needs the column image_embedding; pass the run"
    ):
        pairaug.prune(table, inter=pairaug.MismatchQuantile())


def test_without_pandas_the_extra_is_named(run: pairaug.Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pairaug.api.runs.find_spec", lambda name: None)
    with pytest.raises(pairaug.PairAugError, match=r'pip install "pairaug\[notebook\]"'):
        run.to_pandas()


def test_progress_is_lines_where_there_is_no_terminal(
    run: pairaug.Run, capsys: pytest.CaptureFixture[str]
):
    (run.path / "summary.html").unlink()
    pairaug.run(run.path)
    assert "summary: done, 1 page" in capsys.readouterr().err


def test_folders_start_with_home(run: pairaug.Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(run.path.parent))
    assert pairaug.load_run("~/small").path == Path(run.path)
