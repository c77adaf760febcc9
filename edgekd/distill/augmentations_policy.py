"""TrivialAugment: one operation an image, drawn at random, as strong as a second draw says.

S. Müller, F. Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", ICCV
2021, https://arxiv.org/abs/2103.10158: table 1, the wide space.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.distill import image_operations as op
from edgekd.errors import RecipeError

#: Strengths are drawn from so many, evenly spread from nothing to the most.
_LEVELS = 31

#: Those that move pixels, then those that change values; ``identity`` is neither.
_MOVES = ("shear-x", "shear-y", "translate-x", "translate-y", "rotate")
_VALUES = (
    "brightness",
    "colour",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "auto-contrast",
    "equalize",
)
OPERATIONS = ("identity", *_MOVES, *_VALUES)

#: The largest rotation, in degrees; the fewest bits; the largest change of all other amounts.
_DEGREES, _BITS, _MOST = 135.0, 2.0, 0.99


class TrivialAugment(nn.Module):
    """Applies to every image one operation of its own.

    Args:
        size: (H, W).
        strength: factor on the strongest that the paper has.
    """

    def __init__(self, size: tuple[int, int], strength: float) -> None:
        """Store the limits."""
        super().__init__()
        self.aspect = size[0] / size[1]
        self.strength = strength

    def forward_parameters(self, shape: torch.Size) -> dict[str, Tensor]:
        """Return the operation (N,) of each sample, and its strength (N,) from -1 to 1."""
        level = torch.randint(_LEVELS, (shape[0],)) / (_LEVELS - 1)
        sign = 1.0 - 2.0 * torch.randint(2, (shape[0],))
        return {
            "operation": torch.randint(len(OPERATIONS), (shape[0],)),
            "strength": level * sign * self.strength,
        }

    def forward(self, samples: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Return the augmented images (N, C, H, W)."""
        operation, strength = params["operation"], params["strength"].to(samples)
        moved = (operation > 0) & (operation <= len(_MOVES))
        found = samples.clone()
        if moved.any():
            matrices = self._matrices(operation[moved], strength[moved])
            found[moved] = op.warp(samples[moved], matrices)
        for number, name in enumerate(_VALUES, start=1 + len(_MOVES)):
            chosen = operation == number
            if chosen.any():
                found[chosen] = _changed(name, samples[chosen], strength[chosen])
        return found

    def _matrices(self, operation: Tensor, strength: Tensor) -> Tensor:
        """Return (N, 2, 3); shear and rotation keep pixels square where the image is not."""
        matrices = torch.eye(2, 3, device=strength.device).repeat(len(strength), 1, 1)
        amount = strength * _MOST
        numbers = {name: OPERATIONS.index(name) for name in _MOVES}
        matrices[:, 0, 1] += (operation == numbers["shear-x"]) * amount * self.aspect
        matrices[:, 1, 0] += (operation == numbers["shear-y"]) * amount / self.aspect
        # The whole image is 2 wide: the paper moves 32 pixels of CIFAR's 32 at most.
        matrices[:, 0, 2] += (operation == numbers["translate-x"]) * strength * 2.0
        matrices[:, 1, 2] += (operation == numbers["translate-y"]) * strength * 2.0
        turn = (operation == numbers["rotate"]) * strength * math.radians(_DEGREES)
        matrices[:, 0, 0] *= turn.cos()
        matrices[:, 1, 1] *= turn.cos()
        matrices[:, 0, 1] -= turn.sin() * self.aspect
        matrices[:, 1, 0] += turn.sin() / self.aspect
        return matrices


def _changed(name: str, images: Tensor, strength: Tensor) -> Tensor:
    """Return images with one operation applied to their values."""
    if name == "auto-contrast":
        return op.auto_contrast(images)
    if name == "equalize":
        return op.equalize(images)
    if name == "posterize":
        return op.posterize(images, (8.0 - (8.0 - _BITS) * strength.abs()).round())
    if name == "solarize":
        return op.solarize(images, 1.0 - strength.abs())
    blended = {
        "brightness": op.brightness,
        "colour": op.colour,
        "contrast": op.contrast,
        "sharpness": op.sharpness,
    }
    return blended[name](images, 1.0 + strength * _MOST)


def trivial_augment(*, sample_shape: tuple[int, ...], strength: float = 1.0) -> nn.Module:
    """Do one random thing of fourteen to every image (Müller and Hutter 2021).

    It is for images scaled to between 0 and 1, as those of 8 bits are.

    Args:
        sample_shape: (C, H, W).
        strength: factor on the paper's wide range, up to 1.

    Raises:
        RecipeError: the samples are no images, or the strength is not between 0 and 1.
    """
    size = op.height_width(sample_shape, "trivial-augment")
    if not 0.0 < strength <= 1.0:
        raise RecipeError(
            "train.augment", [f"trivial-augment: strength is {strength}, not above 0 and up to 1"]
        )
    return TrivialAugment(size, strength)
