from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from transformers import CLIPTokenizer

from pairaug.clip.encoders import ClipEncoder, open_encoder
from pairaug.clip.folder import weights_sha256
from pairaug.errors import ModelError
from pairaug.imaging.io import load_image, png_ref
from pairaug.manifest import read_part, write_part
from pairaug.pair import Branch, Drop, ImageRef, Pair, Report
from pairaug.score import DROP_REASONS, Score, ScoreSettings
from pairaug.stage import RunContext, apply
from support.tiny_clip import write_clip, write_image_model


def _image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((40, 36)).astype(np.float32)


def _family(index: int) -> list[Pair]:
    """A real pair with one new patient and one edit."""
    real = Pair(
        f"r{index}",
        Branch.REAL,
        f"p{index}",
        Report("No pleural effusion.", f"Heart size is normal {index}"),
        image=png_ref(_image(index)),
    )
    inter = real.child(
        "inter-0",
        branch=Branch.INTER,
        source_report=real.report.text,
        report=Report("large right effusion"),
    )
    intra = real.child(
        "intra-0",
        branch=Branch.INTRA,
        source_report="No pleural effusion.",
        report=Report("small left pleural effusion"),
    )
    return [
        real,
        inter.with_image(png_ref(_image(100 + index))),
        intra.with_image(png_ref(_image(200 + index))),
    ]


def _families(count: int) -> list[Pair]:
    return [pair for index in range(count) for pair in _family(index)]


def _settings(folder: Path, **changes: object) -> ScoreSettings:
    return ScoreSettings.model_validate({"model": str(folder), "batch_size": 4, **changes})


def _score(folder: Path, pairs: Sequence[Pair], **changes: object) -> list[Pair]:
    return apply(Score(_settings(folder, **changes), RunContext(seed=0)), pairs)


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def test_scores_are_the_cosines_of_the_papers_equations(tiny_scorer_folder: Path) -> None:
    encoder = open_encoder(tiny_scorer_folder)
    pairs = _families(3)
    scored = {pair.id: pair for pair in _score(tiny_scorer_folder, pairs)}
    assert [pair.id for pair in pairs] == list(scored)
    for index in range(3):
        real, inter, intra = (scored[pair.id] for pair in _family(index))
        x, x_hat, x_edited = (
            encoder.encode_images([load_image(pair.image)])[0].astype(np.float64)
            for pair in (real, inter, intra)
            if pair.image
        )
        y, y_hat, y_edited = (
            encoder.encode_reports([pair.report.text])[0].astype(np.float64)
            for pair in (real, inter, intra)
        )
        y_rewritten = encoder.encode_reports(["No pleural effusion."])[0].astype(np.float64)
        assert real.scores == {"image_report": pytest.approx(_cosine(x, y), abs=1e-7)}
        assert inter.scores == {"image_report": pytest.approx(_cosine(x_hat, y_hat), abs=1e-7)}
        assert intra.scores == {
            "image_report": pytest.approx(_cosine(x_edited, y_edited), abs=1e-7),
            "image_image": pytest.approx(_cosine(x_edited, x), abs=1e-7),
            "directional": pytest.approx(_cosine(x_edited - x, y_edited - y_rewritten), abs=1e-6),
        }
        assert intra.image_embedding == pytest.approx(x_edited, abs=1e-7)
        assert intra.report_embedding == pytest.approx(y_edited, abs=1e-7)
        assert intra.source_report_embedding == pytest.approx(y_rewritten, abs=1e-7)
        assert real.source_report_embedding is inter.source_report_embedding is None


def test_neither_batches_nor_neighbours_change_a_bit(tiny_scorer_folder: Path) -> None:
    pairs = _families(5)
    together = _score(tiny_scorer_folder, pairs)
    apart = [scored for index in range(5) for scored in _score(tiny_scorer_folder, _family(index))]
    assert together == apart
    backwards = [pair for index in (4, 2, 0, 3, 1) for pair in _family(index)]
    assert {pair.id: pair for pair in _score(tiny_scorer_folder, backwards)} == {
        pair.id: pair for pair in together
    }


def test_other_batch_sizes_agree_to_rounding(tiny_scorer_folder: Path) -> None:
    pairs = _families(3)
    for one, other in zip(
        _score(tiny_scorer_folder, pairs, batch_size=1),
        _score(tiny_scorer_folder, pairs, batch_size=16),
        strict=True,
    ):
        assert one.image_embedding == pytest.approx(other.image_embedding, abs=1e-6)
        assert one.scores.keys() == other.scores.keys()


def test_vectors_and_scores_survive_the_part(tiny_scorer_folder: Path, tmp_path: Path) -> None:
    scored = _score(tiny_scorer_folder, _families(2))
    assert read_part(write_part(tmp_path, 0, scored, "f")) == scored


def test_trace_says_by_what_and_how_much_was_read(tiny_scorer_folder: Path) -> None:
    short, _, _ = _family(0)
    long_text = "No pleural effusion. The heart is enlarged. Severe edema in the left lung."
    long = replace(short, id="long", report=Report(long_text))
    scored = _score(tiny_scorer_folder, [replace(short, report=Report("clear lungs")), long])
    trace = scored[0].trace["score"]
    assert trace["model"] == str(tiny_scorer_folder)
    assert trace["weights_sha256"] == weights_sha256(tiny_scorer_folder)
    assert trace["encoder"] == open_encoder(tiny_scorer_folder).fingerprint
    words = CLIPTokenizer.from_pretrained(tiny_scorer_folder)("clear lungs")["input_ids"]
    assert trace["num_tokens"] == len(words) - 2
    assert (trace["num_windows"], trace["truncated"]) == (1, False)
    assert scored[1].trace["score"]["num_windows"] > 1
    (cut,) = _score(tiny_scorer_folder, [long], long_report="truncate")
    assert cut.trace["score"]["num_windows"] == 1
    assert cut.trace["score"]["truncated"] is True
    assert cut.scores != scored[1].scores


def test_no_change_is_a_drop_with_null_never_nan(tiny_scorer_folder: Path) -> None:
    real, _, intra = _family(0)
    same_image = replace(intra, image=real.image)
    same_report = replace(
        intra, id="r0~intra-1", report=Report("", "Edema."), source_report="Edema."
    )
    _, image, report = _score(tiny_scorer_folder, [real, same_image, same_report])
    for pair in (image, report):
        assert pair.drop is not None
        assert (pair.drop.stage, pair.drop.reason) == ("score", "no_change")
        assert pair.scores["directional"] is None
        assert pair.scores["image_report"] is not None
    assert image.scores["image_image"] == pytest.approx(1.0)


def test_images_that_cannot_be_read_are_drops(tiny_scorer_folder: Path, tmp_path: Path) -> None:
    real, inter, intra = _family(0)
    whole = io.BytesIO()
    Image.fromarray((_image(0) * 255).astype(np.uint8)).save(whole, "JPEG")
    path = tmp_path / "patient_7.jpg"
    path.write_bytes(whole.getvalue()[:300])
    pairs = [
        real.with_image(ImageRef(path=str(path))),
        inter.with_image(ImageRef(path=str(tmp_path / "gone.png"))),
        intra,
        *_family(1)[:1],
        replace(_family(1)[1], image=None),
    ]
    scored = _score(tiny_scorer_folder, pairs)
    assert [pair.drop.reason if pair.drop else None for pair in scored] == [
        "unreadable_image",
        "missing_image",
        "source_not_scored",
        None,
        "no_image",
    ]
    assert all(pair.drop.reason in DROP_REASONS for pair in scored if pair.drop)
    assert "patient_7" not in str([pair.drop for pair in scored])


def test_each_distinct_image_and_report_is_encoded_once(
    tiny_scorer_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, _, intra = _family(0)
    candidates = [
        replace(intra, id=f"{intra.id}-{number}", image=png_ref(_image(300 + number % 2)))
        for number in range(6)
    ]
    counted = {"images": 0, "reports": 0}
    encode_images, encode_reports = ClipEncoder.encode_images, ClipEncoder.encode_reports

    def count_images(self: ClipEncoder, images: Sequence[np.ndarray]) -> np.ndarray:
        counted["images"] += len(images)
        return encode_images(self, images)

    def count_reports(self: ClipEncoder, reports: Sequence[str]) -> np.ndarray:
        counted["reports"] += len(reports)
        return encode_reports(self, reports)

    monkeypatch.setattr(ClipEncoder, "encode_images", count_images)
    monkeypatch.setattr(ClipEncoder, "encode_reports", count_reports)
    scored = _score(tiny_scorer_folder, [real, *candidates], batch_size=16)
    assert counted == {"images": 3, "reports": 3}
    assert not any(pair.drop for pair in scored)


def test_what_an_earlier_part_had_is_not_encoded_again(
    tiny_scorer_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, inter, intra = _family(0)
    stage = Score(_settings(tiny_scorer_folder), RunContext(seed=0))
    first = apply(stage, [real, inter, intra])
    encoded: list[int] = []
    for name in ("encode_images", "encode_reports"):
        encode = getattr(ClipEncoder, name)
        monkeypatch.setattr(
            ClipEncoder,
            name,
            lambda self, items, encode=encode: encoded.append(len(items)) or encode(self, items),
        )
    again = [replace(real, id="r9"), replace(inter, id="r9~inter-0", parent_id="r9")]
    second = apply(stage, again)
    assert sum(encoded) == 0
    assert [pair.scores for pair in second] == [pair.scores for pair in first[:2]]
    assert second[1].image_embedding == first[1].image_embedding


def test_images_are_decoded_while_others_are_encoded(
    tiny_scorer_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pairaug.score import stage as module

    seen: list[tuple[str, int]] = []
    load, encode = module.load_image, ClipEncoder.encode_images

    def loading(ref: ImageRef) -> np.ndarray:
        seen.append((threading.current_thread().name.split("_")[0], len(encoded)))
        return load(ref)

    encoded: list[int] = []

    def encoding(self: ClipEncoder, images: Sequence[np.ndarray]) -> np.ndarray:
        # The next images are on their way before these are encoded.
        deadline = time.monotonic() + 10
        while len(seen) < min(9, 4 * (len(encoded) + 2)) and time.monotonic() < deadline:
            time.sleep(0.001)
        encoded.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(module, "load_image", loading)
    monkeypatch.setattr(ClipEncoder, "encode_images", encoding)
    _score(tiny_scorer_folder, _families(3))
    assert encoded == [4, 4, 1]
    assert {name for name, _ in seen} == {"decode"}
    # Five to eight were decoded before any image was encoded, the ninth after the first four.
    assert [num_encoded for _, num_encoded in seen] == [0] * 8 + [1]


def test_a_second_scorer_looks_on(tiny_scorer_folder: Path, tmp_path: Path) -> None:
    other = write_clip(tmp_path / "other", seed=5)
    pairs = _families(2)
    plain = _score(tiny_scorer_folder, pairs)
    audited = _score(tiny_scorer_folder, pairs, audit={"model": str(other)})
    alone = _score(other, pairs)
    for pair, first, second in zip(audited, plain, alone, strict=True):
        assert pair.scores == first.scores
        assert pair.image_embedding == first.image_embedding
        noted = dict(pair.trace["score"]["audit"])
        assert noted.pop("model") == str(other)
        assert noted == pytest.approx(dict(second.scores), abs=1e-6)
    settings = _settings(tiny_scorer_folder, audit={"model": str(other)})
    assert set(Score.weights(settings)) == {str(tiny_scorer_folder), str(other)}


def test_a_model_of_images_alone_can_look_on_but_not_score(
    tiny_scorer_folder: Path, tmp_path: Path
) -> None:
    folder = write_image_model(tmp_path / "images")
    audited = _score(tiny_scorer_folder, _families(1), audit={"model": str(folder)})
    assert set(audited[1].trace["score"]["audit"]) == {"model"}
    assert set(audited[2].trace["score"]["audit"]) == {"model", "image_image"}
    with pytest.raises(ModelError, match=r"encodes images only.*Set it as score\.audit\.model"):
        Score.weights(_settings(folder))


def test_the_change_is_from_the_text_that_was_rewritten_whatever_else_the_source_says(
    tiny_scorer_folder: Path,
) -> None:
    real, _, intra = _family(0)
    longer = replace(real, report=Report("PA and lateral views. Clear lungs.", "Follow up in May."))
    short, long = (_score(tiny_scorer_folder, [one, intra])[1] for one in (real, longer))
    assert short == long


def test_an_edit_that_does_not_know_what_was_rewritten_is_a_drop(tiny_scorer_folder: Path) -> None:
    real, _, intra = _family(0)
    (_, scored) = _score(tiny_scorer_folder, [real, replace(intra, source_report=None)])
    assert scored.drop == Drop("score", "source_not_scored", "it has no source_report")


def test_an_empty_report_is_a_drop(tiny_scorer_folder: Path) -> None:
    real, inter, _ = _family(0)
    scored = _score(tiny_scorer_folder, [replace(real, report=Report(" ")), inter])
    assert scored[0].drop is not None
    assert scored[0].drop.reason == "no_report"
    assert scored[1].drop is None


def test_the_scale_is_noted_and_in_no_score(tiny_scorer_folder: Path) -> None:
    (scored,) = _score(tiny_scorer_folder, _family(0)[:1])
    scale = open_encoder(tiny_scorer_folder).logit_scale
    assert scale is not None
    assert scored.trace["score"]["logit_scale"] == pytest.approx(scale, abs=1e-5)


def test_weights_name_the_model_and_its_hash(tiny_scorer_folder: Path, tmp_path: Path) -> None:
    settings = _settings(tiny_scorer_folder)
    assert Score.weights(settings) == {str(tiny_scorer_folder): weights_sha256(tiny_scorer_folder)}
    with pytest.raises(ModelError, match=r"has no config\.json"):
        Score.weights(_settings(tmp_path))


def test_progress_counts_every_pair(tiny_scorer_folder: Path) -> None:
    done: list[int] = []
    stage = Score(_settings(tiny_scorer_folder), RunContext(seed=0, report_progress=done.append))
    assert len(list(stage(_families(3)))) == 9
    assert done == [4, 4, 1]


def test_wrong_settings_are_errors() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        ScoreSettings(batch_size=0)
    with pytest.raises(ValidationError, match="'average' or 'truncate'"):
        ScoreSettings.model_validate({"long_report": "cut"})


def test_settings_cost_no_tensor_library() -> None:
    code = "import sys, pairaug.score; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
