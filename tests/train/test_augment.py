from __future__ import annotations

import pytest
import torch

from pairaug.train.augment import augment


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_strength_zero_changes_nothing():
    images = torch.rand(3, 1, 16, 16).clamp(min=1e-3)
    torch.testing.assert_close(augment(images, generator(), 0.0), images, atol=1e-5, rtol=0)


def test_it_stays_in_range_and_follows_the_seed():
    images = torch.rand(8, 1, 16, 16)
    changed = augment(images, generator())
    assert changed.shape == images.shape
    assert float(changed.min()) >= 0.0
    assert float(changed.max()) <= 1.0
    assert torch.equal(changed, augment(images, generator()))
    assert not torch.equal(changed, augment(images, generator(1)))


@pytest.mark.parametrize("seed", range(5))
def test_left_stays_left(seed: int):
    images = torch.zeros(64, 1, 32, 32)
    images[..., :8] = 0.8
    changed = augment(images, generator(seed))
    assert (
        changed[..., :8].mean(dim=(1, 2, 3)) > changed[..., 24:].mean(dim=(1, 2, 3)) + 0.2
    ).all()


def test_shift_is_bounded():
    images = torch.zeros(200, 1, 64, 64)
    images[..., 32, 32] = 1.0
    changed = augment(images, generator())
    brightest = changed.flatten(1).argmax(dim=1)
    rows, columns = brightest // 64, brightest % 64
    reach = max(int((rows - 32).abs().max()), int((columns - 32).abs().max()))
    # 4 % of 64 pixels is 2.6; turning and scaling hardly move the centre.
    assert 1 <= reach <= 4
