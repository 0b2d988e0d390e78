from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pairaug.errors import RunError
from pairaug.pair import Branch, ImageRef, Pair, Report
from pairaug.record import RunRecord
from pairaug.summary import SummarySettings, write_summary
from pairaug.summary.examples import ExampleChoice, choose
from pairaug.summary.figures import losses
from pairaug.summary.records import load_pairs
from pairaug.summary.thumbnails import DIFFERENCE_LIMIT, difference_uri, shrunk

WriteRun = Callable[..., Path]
MakePairs = Callable[[int], list[Pair]]
FEW = SummarySettings(max_examples=3, max_points=40)


class _Requests(HTMLParser):
    """Collects everything that would make a browser fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "action") and value:
                self.found.append(value)


def _text(html: str) -> str:
    without = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", without)).split())


def test_the_page_needs_no_network(page: str):
    parser = _Requests()
    parser.feed(page)
    assert parser.found
    assert all(link.startswith("data:image/png;base64,") for link in parser.found)
    assert not re.search(r"url\((?!#)|@import|https?://", page)


def test_the_page_states_the_number_of_kept_pairs(page: str, make_pairs: MakePairs):
    synthetic = [pair for pair in make_pairs(14) if pair.branch is not Branch.REAL]
    kept = sum(pair.drop is None for pair in synthetic)
    assert f"Of {len(synthetic)} synthetic pairs, {kept} were kept" in _text(page)


def test_pairs_without_an_image_are_not_counted_as_generated(page: str, make_pairs: MakePairs):
    inter = [pair for pair in make_pairs(14) if pair.branch is Branch.INTER]
    num_generated = sum(pair.image is not None for pair in inter)
    num_kept = sum(pair.drop is None for pair in inter)
    assert num_generated < len(inter)
    assert f"{num_kept} new patients kept, of {num_generated} generated" in _text(page)
    assert f"{len(inter) - num_generated} were dropped before they had an image" in _text(page)


def test_the_rules_thresholds_are_shown(page: str):
    assert "> 0.300" in _text(page)
    assert "> 0.280" in _text(page)


def test_phantoms_are_called_simulated_and_images_synthetic(page: str):
    assert "simulated radiographs of patients who do not exist" in _text(page)
    assert "are synthetic" in _text(page)


def test_edits_of_phantoms_show_the_true_counterfactual(page: str):
    assert page.count("<figcaption>True counterfactual</figcaption>") == 3


def test_edits_of_real_patients_have_no_true_counterfactual(
    write_run: WriteRun, make_pairs: MakePairs
):
    pairs = [
        replace(pair, trace={**pair.trace, "read": {"layout": "table"}}) for pair in make_pairs(5)
    ]
    source = {"layout": "table", "name": "covid", "license": "CC", "access": "public"}
    html = write_summary(write_run(pairs, source=source), FEW).read_text(encoding="utf-8")
    assert "True counterfactual" not in html
    assert "simulated" not in html
    assert "<figcaption>Edited − source</figcaption>" in html


def test_the_same_run_gives_the_same_page(write_run: WriteRun, make_pairs: MakePairs):
    run = write_run(make_pairs(6))
    assert write_summary(run, FEW).read_bytes() == write_summary(run, FEW).read_bytes()


def test_all_drops_are_listed(write_run: WriteRun, make_pairs: MakePairs):
    pairs = make_pairs(20)
    listed = losses(load_pairs(write_run(pairs) / "prune"))
    dropped = [pair for pair in pairs if pair.drop is not None]
    assert sum(count for *_, count in listed) == len(dropped)
    assert {(stage, reason) for stage, reason, *_ in listed} == {
        (pair.drop.stage, pair.drop.reason) for pair in dropped if pair.drop
    }


def test_a_run_that_kept_nothing_has_a_page(write_run: WriteRun, make_pairs: MakePairs):
    pairs = [
        pair if pair.branch is Branch.REAL else pair.dropped("prune", "below_mean")
        for pair in make_pairs(5)
    ]
    text = _text(write_summary(write_run(pairs), FEW).read_text(encoding="utf-8"))
    assert "0 synthetic image-report pairs from 5 real pairs" in text
    assert "dropped · prune: below mean" in text


def test_a_run_without_children_has_a_page(write_run: WriteRun, make_pairs: MakePairs):
    pairs = [pair for pair in make_pairs(3) if pair.branch is Branch.REAL]
    text = _text(write_summary(write_run(pairs, rule={}), FEW).read_text(encoding="utf-8"))
    assert "No image was edited in this run." in text
    assert "No new patient was generated in this run." in text
    assert "No synthetic pair was scored in this run." in text
    assert "Too few pairs have embeddings for a map." in text


def test_a_missing_source_image_is_stated(write_run: WriteRun, make_pairs: MakePairs):
    gone = ImageRef(path="/nowhere/image.png")
    pairs = [
        pair.with_image(gone) if pair.branch is Branch.REAL else pair for pair in make_pairs(3)
    ]
    html = write_summary(write_run(pairs), FEW).read_text(encoding="utf-8")
    assert "the image file is missing" in html


def test_report_text_is_escaped(write_run: WriteRun, without_drops: list[Pair]):
    pairs = [replace(pair, report=Report("<img src=x> & more")) for pair in without_drops]
    html = write_summary(write_run(pairs), FEW).read_text(encoding="utf-8")
    assert "<img src=x>" not in html
    assert "&lt;img src=x&gt; &amp; more" in html


def test_a_long_narrative_is_folded_and_complete(write_run: WriteRun, without_drops: list[Pair]):
    narrative = "The patient was seen again. " * 200 + "The last words."
    pairs = [replace(pair, report=Report(narrative)) for pair in without_drops]
    html = write_summary(write_run(pairs), FEW).read_text(encoding="utf-8")
    assert 'class="report folded"' in html
    assert "The last words." in html


def test_examples_are_kept_first_with_a_fraction_of_dropped_ones(
    write_run: WriteRun, make_pairs: MakePairs
):
    pairs = load_pairs(write_run(make_pairs(30)) / "prune")
    everywhere = np.ones(len(pairs.ids), dtype=bool)
    chosen = choose(pairs, Branch.INTRA, everywhere, ExampleChoice(8, 0.25, seed=1))
    living = [bool(pairs.is_living[pairs.row_of[pair_id]]) for pair_id in chosen]
    assert living == [True] * 6 + [False] * 2
    assert chosen == choose(pairs, Branch.INTRA, everywhere, ExampleChoice(8, 0.25, seed=1))
    assert chosen != choose(pairs, Branch.INTRA, everywhere, ExampleChoice(8, 0.25, seed=2))


def test_embeddings_come_back_with_their_rows(write_run: WriteRun, make_pairs: MakePairs):
    every = make_pairs(9)
    pairs = load_pairs(write_run(every) / "prune")
    rows, vectors = pairs.embeddings(list(range(len(every))), "image_embedding")
    expected = [row for row, pair in enumerate(every) if pair.image_embedding is not None]
    assert rows.tolist() == expected
    for row, vector in zip(rows, vectors, strict=True):
        assert vector == pytest.approx(every[row].image_embedding)


def test_signed_differences_have_the_colours_of_their_sign():
    difference = np.array([[-DIFFERENCE_LIMIT, 0.0, DIFFERENCE_LIMIT]], dtype=np.float32)
    png = base64.b64decode(difference_uri(difference, 8).split(",")[1])
    darker, same, brighter = np.asarray(Image.open(io.BytesIO(png)), dtype=int)[0]
    assert darker[2] > darker[0]
    assert brighter[0] > brighter[2]
    assert same.tolist() == [247, 247, 247]


def test_images_are_shrunk_and_never_enlarged():
    assert shrunk(np.zeros((400, 200), np.float32), 100).shape == (100, 50)
    assert shrunk(np.zeros((40, 20), np.float32), 100).shape == (40, 20)


def test_a_run_that_has_not_been_pruned_is_an_error(tmp_path: Path):
    RunRecord().write(tmp_path / "run.json")
    with pytest.raises(RunError, match=r"has no parts, so there is nothing to summarize\. Finish"):
        write_summary(tmp_path)


def test_a_folder_without_a_run_is_an_error(tmp_path: Path):
    with pytest.raises(RunError, match=r"is not a run folder: it has no run\.json"):
        write_summary(tmp_path)


def test_the_score_section_has_mismatches_images_and_reasons(page: str) -> None:
    section = page[page.index('<section id="scores">') : page.index('<section id="maps">')]
    # Mismatched pairs for each branch and score: new patients have one score, changed images three.
    assert section.count('<polyline class="mismatched"') == 4
    for title in ("clearly kept", "narrowly kept", "narrowly dropped"):
        assert title in section
    assert "New patients, by distance to the threshold" in section
    assert "Reasons for drops" in section
    assert "<td>below threshold</td>" in section
    assert "Second scorer" not in section


def test_a_second_scorer_is_shown_beside_the_decision(
    write_run: Callable[..., Path], make_pairs: Callable[[int], list[Pair]]
) -> None:
    pairs = [
        pair.with_trace("score", audit={"model": "other", "image_report": value})
        for value, pair in zip(np.linspace(0, 1, 42), make_pairs(14), strict=False)
    ]
    inputs = {"score.audit.model": "other"}
    run = write_run(pairs, fingerprints={"score": {"fingerprint": "0", "inputs": inputs}})
    html = write_summary(run, SummarySettings(max_examples=0, max_points=0)).read_text()
    section = html[html.index("Second scorer") : html.index('<section id="maps">')]
    assert "Mean scores by other" in section
    assert section.count("<tr>") == 3  # a heading, inter and intra
    assert "clearly kept" not in html
