"""Properties of the shapes and windows that images are rendered with."""

import numpy as np
import pytest

from pairaug.phantom.canvas import Grid, grid, polyline, step, wire
from pairaug.phantom.render import render
from pairaug.phantom.study import sample_study


def _whole(self: Grid, x: tuple[float, float] = (0, 0), y: tuple[float, float] = (0, 0)) -> Grid:
    rows, columns = self.shape
    return Grid(self.size, self.x, self.y, self.top, (slice(rows), slice(columns)))


@pytest.mark.parametrize("size", [32, 64, 129])
def test_windows_cut_nothing_off(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    studies = [sample_study(17, index) for index in range(40)]
    images = [study.render(size) for study in studies]
    monkeypatch.setattr(Grid, "window", _whole)
    for study, image in zip(studies, images, strict=True):
        whole = render(study.anatomy, study.findings, size)
        np.testing.assert_allclose(image.image, whole.image, rtol=0, atol=1e-4)
        assert image.masks.keys() == whole.masks.keys()
        for name, mask in image.masks.items():
            assert np.array_equal(mask, whole.masks[name]), name


def test_window_holds_every_pixel_between_its_bounds() -> None:
    image = grid(64)
    outer = image.window((-0.5, 0.9), (-1.4, 0.2))
    inner = outer.window((-0.31, 0.40), (-0.8, 0.0))
    assert set(image.x[(image.x > -0.5) & (image.x < 0.9)]) <= set(outer.x[0])
    assert set(image.x[(image.x > -0.31) & (image.x < 0.40)]) <= set(inner.x[0])
    assert np.array_equal(image.y[outer.at[0]][inner.at[0]], inner.y)
    assert np.array_equal(image.y[inner.top : inner.top + len(inner.y)], inner.y)


def test_window_beside_the_image_is_empty() -> None:
    assert grid(64).window(x=(-1.5, -1.2)).shape[1] == 0
    assert grid(64).window(y=(1.2, 1.5)).shape[0] == 0


def test_shared_heights_are_smooth_steps() -> None:
    window = grid(64).window(y=(-0.4, 0.6))
    np.testing.assert_allclose(window.above(0.1, 0.3), step(0.1 - window.y, 0.3), atol=1e-6)
    np.testing.assert_allclose(window.below(0.1, 0.3), step(window.y - 0.1, 0.3), atol=1e-6)


def test_wire_is_opaque_on_its_curve_and_may_leave_the_image() -> None:
    curve = polyline(np.array([(0.2, -1.3), (0.2, -0.5), (0.2, 0.3)]), 64)
    sampled = wire(curve, 0.05, 64)
    column = int((0.2 + 1.0) * 32)
    assert sampled.shape == (64, 64)
    assert (sampled[:40, column] > 0.7).all()
    assert sampled[48:].max() == 0.0
    assert sampled[:, : column - 6].max() == 0.0
    assert sampled[:, column + 7 :].max() == 0.0
