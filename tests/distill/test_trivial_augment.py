"""TrivialAugment's operations are Pillow's; every sample gets its own, as it was drawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from edgekd.distill import image_operations as op
from edgekd.distill.augmentations_policy import OPERATIONS, TrivialAugment
from edgekd.distill.views import Views
from edgekd.errors import RecipeError
from edgekd.recipe import AugmentSpec

LEVEL = 1.0 / 255.0


@pytest.fixture(params=[3, 1])
def pixels(request: pytest.FixtureRequest) -> np.ndarray:
    """Two images (2, H, W, C) of few and of many values."""
    random = np.random.default_rng(0)
    images = random.integers(40, 200, (2, 24, 32, request.param), dtype=np.uint8)
    images[1] = images[1] // 64 * 50 + 10
    images[1, :3] = 250
    return images


def as_tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255.0


def by_pillow(pixels: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    images = [change(Image.fromarray(one.squeeze())) for one in pixels]
    return as_tensor(np.stack([np.asarray(one).reshape(pixels.shape[1:]) for one in images]))


@pytest.mark.parametrize("factor", [0.01, 0.5, 1.0, 1.9])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (op.brightness, ImageEnhance.Brightness),
        (op.contrast, ImageEnhance.Contrast),
        (op.colour, ImageEnhance.Color),
        (op.sharpness, ImageEnhance.Sharpness),
    ],
)
def test_blends(
    pixels: np.ndarray, ours: Callable[..., Tensor], theirs: type, factor: float
) -> None:
    expected = by_pillow(pixels, lambda image: theirs(image).enhance(factor))
    found = ours(as_tensor(pixels), torch.full((2,), factor))
    # Pillow rounds the image that it blends with, and the result.
    torch.testing.assert_close(found, expected, atol=2.1 * LEVEL, rtol=0)


@pytest.mark.parametrize("bits", [2, 5, 8])
def test_posterize(pixels: np.ndarray, bits: int) -> None:
    expected = by_pillow(pixels, lambda image: ImageOps.posterize(image, bits))
    found = op.posterize(as_tensor(pixels), torch.full((2,), float(bits)))
    torch.testing.assert_close(found, expected, atol=LEVEL / 10, rtol=0)


@pytest.mark.parametrize("threshold", [0, 100, 256])
def test_solarize(pixels: np.ndarray, threshold: int) -> None:
    expected = by_pillow(pixels, lambda image: ImageOps.solarize(image, threshold))
    found = op.solarize(as_tensor(pixels), torch.full((2,), (threshold - 0.5) / 255.0))
    torch.testing.assert_close(found, expected, atol=LEVEL / 10, rtol=0)


def test_auto_contrast_and_equalize(pixels: np.ndarray) -> None:
    images = as_tensor(pixels)
    expected = by_pillow(pixels, ImageOps.autocontrast)
    torch.testing.assert_close(op.auto_contrast(images), expected, atol=1.1 * LEVEL, rtol=0)
    torch.testing.assert_close(op.equalize(images), by_pillow(pixels, ImageOps.equalize))
    flat = torch.full((1, 3, 8, 8), 0.3)
    assert torch.equal(op.auto_contrast(flat), flat)
    assert torch.equal(op.equalize(flat), flat)


def test_operations_are_strong_by_sample() -> None:
    images = torch.rand(3, 3, 8, 8)
    found = op.brightness(images, torch.tensor([0.0, 1.0, 0.5]))
    assert not found[0].any()
    torch.testing.assert_close(found[1:], torch.stack([images[1], images[2] / 2]))


def one(name: str, images: Tensor, strength: float) -> Tensor:
    """Apply one operation to all images."""
    module = TrivialAugment((images.shape[2], images.shape[3]), 1.0)
    count = len(images)
    return module(
        images,
        {
            "operation": torch.full((count,), OPERATIONS.index(name)),
            "strength": torch.full((count,), strength),
        },
    )


def test_moves() -> None:
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(
        one("rotate", images, 90 / 135), torch.rot90(images, 1, (2, 3)), atol=1e-5, rtol=0
    )
    moved = one("translate-x", images, 4 / 16)
    torch.testing.assert_close(moved[..., :12], images[..., 4:], atol=1e-5, rtol=0)
    assert not moved[..., 12:].any()
    moved = one("translate-y", images, -4 / 16)
    torch.testing.assert_close(moved[..., 4:, :], images[..., :12, :], atol=1e-5, rtol=0)
    rows = one("shear-x", images, 1.0)
    # The row at height h above the middle is fetched from 0.99 h further left.
    expected = one("translate-x", images, -7.5 * 0.99 / 16)[:, :, 0]
    torch.testing.assert_close(rows[:, :, 0], expected, atol=1e-5, rtol=0)
    for name in ("shear-x", "shear-y", "rotate", "translate-x", "identity"):
        torch.testing.assert_close(one(name, images, 0.0), images, atol=1e-5, rtol=0)


def test_rotation_keeps_pixels_square() -> None:
    """A disc in an image twice as wide stays a disc."""
    y, x = torch.meshgrid(torch.arange(32) - 15.5, torch.arange(64) - 31.5, indexing="ij")
    disc = ((x**2 + y**2) < 100).float().expand(1, 1, 32, 64)
    turned = one("rotate", disc, 45 / 135)
    # The disc is 15% of the image; what differs is its rim.
    assert (turned - disc).abs().mean() < 0.015


def test_every_operation_is_drawn_and_changes_its_own_samples_only() -> None:
    images = torch.rand(400, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    views = Views([AugmentSpec(name="trivial-augment")], (3, 24, 24), 400, 0)
    drawn = views.parameters(0)[0]
    assert sorted(drawn["operation"].unique().tolist()) == list(range(14))
    assert drawn["strength"].min() < -0.9 and drawn["strength"].max() > 0.9
    found = views.apply(images, torch.arange(400), 0)
    same = (found == images).flatten(1).all(dim=1)
    assert same[drawn["operation"] == 0].all()
    assert not same[(drawn["operation"] > 0) & (drawn["strength"].abs() > 0.2)].any()
    assert found.min() >= 0 and found.max() <= 1


def test_colour_jitter_of_both_kinds_of_images() -> None:
    for channels in (1, 3):
        images = torch.rand(20, channels, 8, 8)
        spec = AugmentSpec.model_validate({"name": "colour-jitter", "hue": 0.1})
        found = Views([spec], (channels, 8, 8), 20, 0).apply(images, torch.arange(20), 0)
        assert found.shape == images.shape and not torch.equal(found, images)
        assert found.min() >= 0 and found.max() <= 1


def test_what_cannot_be() -> None:
    for shape, options, message in (
        ((1, 400), {}, "needs images"),
        ((3, 8, 8), {"strength": 1.5}, "not above 0 and up to 1"),
    ):
        spec = AugmentSpec.model_validate({"name": "trivial-augment", **options})
        with pytest.raises(RecipeError, match=message):
            Views([spec], shape, 5, 0)
