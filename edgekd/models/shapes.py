"""What the zoo's factories ask of their arguments."""

from __future__ import annotations

from edgekd.errors import ModelError

#: The smallest height and width that every network of the zoo takes.
MIN_SIDE = 8


def image_shape(input_shape: tuple[int, ...], model: str) -> tuple[int, int, int]:
    """Return (channels, height, width).

    Raises:
        ModelError: the samples are no images, or too small.
    """
    if len(input_shape) != 3 or min(input_shape[1:]) < MIN_SIDE:
        raise ModelError(
            f"{model} takes images (C, H, W) of at least {MIN_SIDE}x{MIN_SIDE} pixels, "
            f"not samples of shape {tuple(input_shape)}",
            hint="For vectors there is the model 'mlp'.",
        )
    channels, height, width = input_shape
    return channels, height, width


def positive(value: float, option: str) -> None:
    """Raise a `ModelError` unless the value of an option is above 0."""
    if not value > 0:
        raise ModelError(f"{option} is {value!r}", hint=f"{option} must be above 0.")


def scaled(channels: int, width: float) -> int:
    """Return ``channels * width``, rounded, and at least 4.

    >>> scaled(16, 0.25), scaled(16, 0.1)
    (4, 4)
    """
    positive(width, "width")
    return max(4, round(channels * width))


def divisible(channels: float, by: int = 8) -> int:
    """Return the multiple of ``by`` nearest to ``channels``, never below 90% of it.

    The rounding of the MobileNet papers' reference code: accelerators like multiples of 8.

    >>> divisible(32 * 0.35), divisible(24 * 0.5)
    (16, 16)
    """
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded
