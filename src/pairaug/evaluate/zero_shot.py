"""Zero-shot classification: each finding's positive caption against its negative one.

    p = exp(cos(f(x), t+)) / (exp(cos(f(x), t+)) + exp(cos(f(x), t-)))

for a film x, where t+ and t- are the unit means of the unit vectors of the positive and of the
negative captions (Tiu et al. 2022, CheXzero). The cosines are plain: no learned temperature.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from pairaug.errors import ModelError
from pairaug.evaluate.prompts import OWN_TEMPLATES, TEMPLATES, Captions, TemplatePair, captions_of

if TYPE_CHECKING:
    from pairaug.clip.encoders import Encoder

Probabilities = Float32[np.ndarray, "film finding"]

_FILMS_AT_ONCE = 256


def findings_probabilities(
    encoder: Encoder,
    films: Iterable[np.ndarray] | np.ndarray,
    findings: Sequence[str],
    templates: Sequence[TemplatePair] = TEMPLATES,
    own_templates: Mapping[str, Sequence[TemplatePair]] = OWN_TEMPLATES,
) -> Probabilities:
    """How likely each finding is on each film, in (0, 1), by the encoder alone.

    A film is `height width`: float in [0, 1] or uint8; an array of films is `film height width`.
    Every template pair is (positive, negative) with `{}` for the finding; `own_templates` are those
    of single findings. As cosines have no temperature, all is near one half: only ranks count.
    """
    directions = caption_directions(encoder, captions_of(findings, templates, own_templates))
    rows = [
        probabilities_of(encoder.encode_images(group), *directions)
        for group in _groups(films, _FILMS_AT_ONCE)
    ]
    return np.concatenate([np.zeros((0, len(findings)), np.float32), *rows])


def caption_directions(
    encoder: Encoder, captions: Mapping[str, Captions]
) -> tuple[np.ndarray, np.ndarray]:
    """(positive, negative) unit vectors of all findings, float32 `finding dimension` each.

    Of several captions the mean of their unit vectors, made unit again.
    """
    if not encoder.encodes_reports:
        raise ModelError(
            "zero-shot evaluation needs a text tower, and this model encodes films only; "
            "pairaug evaluate linear-probe does without"
        )
    # Each caption once: findings may share some.
    texts = list(
        dict.fromkeys(text for each in captions.values() for text in each.positive + each.negative)
    )
    vectors = dict(zip(texts, encoder.encode_reports(texts), strict=True))
    sides = [
        [_unit_mean([vectors[text] for text in side]) for side in (each.positive, each.negative)]
        for each in captions.values()
    ]
    return np.stack([side[0] for side in sides]), np.stack([side[1] for side in sides])


def probabilities_of(
    films: np.ndarray, positive: np.ndarray, negative: np.ndarray
) -> Probabilities:
    """The softmax over both cosines, from unit vectors: films' `film dimension`, captions'."""
    # The softmax over two is the logistic function of their difference.
    margins = films.astype(np.float64) @ (positive.astype(np.float64) - negative).T
    return (1.0 / (1.0 + np.exp(-margins))).astype(np.float32)


def _unit_mean(vectors: Sequence[np.ndarray]) -> np.ndarray:
    if len(vectors) == 1:
        return vectors[0]
    mean = np.mean(np.stack(vectors).astype(np.float64), axis=0)
    return (mean / np.linalg.norm(mean)).astype(np.float32)


def _groups(films: Iterable[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    group: list[np.ndarray] = []
    for film in films:
        group.append(_in_unit_range(film))
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _in_unit_range(film: np.ndarray) -> np.ndarray:
    if film.dtype == np.uint8:
        return film.astype(np.float32) / np.float32(255.0)
    return np.asarray(film, dtype=np.float32)
