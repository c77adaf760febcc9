"""From scaled samples to network input, on batches of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.errors import DataError, EdgekdError
from edgekd.records import Preprocess
from edgekd.registry import table


class Normalise(nn.Module):
    """Scaled values in, normalised values out; see `edgekd.records.Preprocess`.

    Args:
        mean: of every channel, or one for all.
        std: likewise.
        axes: of a sample.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], axes: int) -> None:
        """Shape the statistics so that they broadcast over batches."""
        super().__init__()
        shape = (1, -1, *([1] * (axes - 1)))
        self.register_buffer("mean", torch.tensor(mean).reshape(shape))
        self.register_buffer("std", torch.tensor(std).reshape(shape))

    def forward(self, samples: Tensor) -> Tensor:
        """Normalise a batch."""
        normalised: Tensor = (samples - self.mean) / self.std
        return normalised


class Prepare(nn.Module):
    """The transforms of an input, then its normalisation.

    Args:
        preprocess: both.
        sample_shape: of one sample as the data gives it.

    Attributes:
        sample_shape: of one sample of network input.

    Raises:
        DataError: a transform does not fit the samples.
    """

    def __init__(self, preprocess: Preprocess, sample_shape: tuple[int, ...]) -> None:
        """Build the transforms, each for the shape that the one before it gives."""
        super().__init__()
        self.steps = nn.Sequential()
        for spec in preprocess.transforms:
            step = _step(spec, sample_shape)
            sample_shape = _shape_after(step, sample_shape, spec["name"])
            self.steps.append(step)
        self.sample_shape = sample_shape
        self.normalise = Normalise(preprocess.mean, preprocess.std, len(sample_shape))

    def forward(self, samples: Tensor) -> Tensor:
        """Return network input (N, *sample_shape) of scaled samples (N, ...)."""
        prepared: Tensor = self.normalise(self.steps(samples))
        return prepared


def _step(spec: Mapping[str, Any], sample_shape: tuple[int, ...]) -> nn.Module:
    options = {key: value for key, value in spec.items() if key != "name"}
    step: nn.Module = table("transform").resolve(spec["name"])(sample_shape, **options)
    return step.eval()


def _shape_after(step: nn.Module, shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    try:
        with torch.no_grad():
            return tuple(step(torch.zeros(1, *shape)).shape[1:])
    except EdgekdError:
        raise
    except Exception as error:
        raise DataError(
            f"the transform {name!r} fails on samples of shape {shape}: "
            f"{type(error).__name__}: {error}",
            hint="Change its options, or the order of the transforms.",
        ) from error
