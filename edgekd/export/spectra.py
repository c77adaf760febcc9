"""Spectrograms of waveforms, written as products of small matrices.

Converters know no short-time Fourier transform, and its matrix is large: 264 KB for a window of
256. By the step of J. W. Cooley and J. W. Tukey ("An algorithm for the machine calculation of
complex Fourier series", Mathematics of Computation 19, 1965) a transform of 256 values is two
transforms of 16 with a rotation in between, which takes 5 KB. What filters take of a spectrum
lies close together: each gathers its own frequencies, 5 KB for 32 filters instead of 16 KB.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgekd.data.transforms.spectrum import LogMel, Spectrogram
from edgekd.export.prepare import Prepared


def with_plain_spectra(prepared: Prepared) -> Prepared:
    """Return the same network, its spectrograms rewritten.

    What was given stays as it is; where there is no spectrogram it is returned.
    """
    if not any(isinstance(module, Spectrogram) for module in prepared.model.modules()):
        return prepared
    model = copy.deepcopy(prepared.model)
    (samples,) = prepared.example.values()
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Spectrogram):
                setattr(parent, name, PlainSpectrogram(child, samples[0].numel()))
    return replace(prepared, model=model.eval())


def stays_float(model: nn.Module) -> bool:
    """Return whether a network begins with steps whose values 8 bits do not hold.

    Powers of sounds range over ten orders of magnitude; 256 steps would keep the loudest alone.
    """
    return any(getattr(module, "float_only", False) for module in model.modules())


class PlainSpectrogram(nn.Module):
    """What a `Spectrogram` or `LogMel` computes, without complex numbers.

    With ``window = rows * columns``, a frame is a matrix of so many rows, and so is its spectrum:
    frequency ``k = p + rows * q`` at (p, q). The columns are transformed, rotated, and then the
    rows. Real values have a symmetric spectrum, so that ``p`` up to ``rows / 2`` will do.

    Args:
        before: the transform.
        length: of a waveform.
    """

    float_only: ClassVar[bool] = True
    places: Tensor
    hann: Tensor
    first: Tensor
    turn_real: Tensor
    turn_imaginary: Tensor
    second: Tensor
    chosen: Tensor
    weights: Tensor

    def __init__(self, before: Spectrogram, length: int) -> None:
        """Make the matrices, in float64, and keep them in float32."""
        super().__init__()
        self.window, self.hop = before.window, before.hop
        self.log, self.floor = before.log, before.floor
        self.frames = 1 + (length - self.window) // self.hop
        self.block = math.gcd(self.window, self.hop)
        self.length = length // self.block * self.block
        self.rows = _near_root(self.window)
        self.columns = self.window // self.rows
        self.kept = self.rows // 2 + 1
        starts = torch.arange(self.frames) * (self.hop // self.block)
        places = starts[:, None] + torch.arange(self.window // self.block)
        self.register_buffer("places", places.flatten().to(torch.int32))
        self.register_buffer("hann", before.hann.reshape(self.rows, self.columns))
        cosine, sine = _waves(self.rows, self.kept, self.rows)
        self.register_buffer("first", torch.cat([cosine, -sine]).float())
        cosine, sine = _waves(self.columns, self.kept, self.window)
        self.register_buffer("turn_real", cosine.T.float().contiguous())
        self.register_buffer("turn_imaginary", -sine.T.float().contiguous())
        cosine, sine = _waves(self.columns, self.columns, self.columns)
        self.register_buffer("second", torch.cat([cosine, -sine]).float())
        filters = before.filters if isinstance(before, LogMel) else None
        chosen, weights = self._gathered(filters)
        self.register_buffer("chosen", chosen.flatten().to(torch.int32))
        self.register_buffer("weights", weights)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Return (N, 1, filters or frequencies, frames) of waveforms (N, L) or (N, 1, L)."""
        count = self.length // self.block
        blocks = waveforms.flatten(1)[:, : self.length].reshape(-1, count, self.block)
        framed = blocks.index_select(1, self.places)
        power = self._power(framed.reshape(-1, self.frames, self.rows, self.columns) * self.hann)
        found = power.index_select(2, self.chosen)
        if self.weights.shape[1] > 1:
            found = found.reshape(-1, self.frames, *self.weights.shape)
            found = (found * self.weights).sum(3)
        levels = torch.log(found + self.floor) if self.log else found
        return levels.transpose(1, 2).unsqueeze(1)

    def _power(self, framed: Tensor) -> Tensor:
        """Return squared magnitudes (N, F, kept * columns) of frames (N, F, rows, columns)."""
        half = F.linear(framed.transpose(2, 3), self.first)
        real, imaginary = half[..., : self.kept], half[..., self.kept :]
        turned = torch.cat(
            [
                real * self.turn_real - imaginary * self.turn_imaginary,
                real * self.turn_imaginary + imaginary * self.turn_real,
            ],
            dim=3,
        )
        whole = F.linear(turned.transpose(2, 3), self.second)
        # Rows: of the real part, then of the imaginary one. Columns: times cosine, times -sine.
        of_real, of_imaginary = whole[:, :, : self.kept], whole[:, :, self.kept :]
        size = self.columns
        real = of_real[..., :size] - of_imaginary[..., size:]
        imaginary = of_real[..., size:] + of_imaginary[..., :size]
        return (real.square() + imaginary.square()).flatten(2)

    def _gathered(self, filters: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return what each output is made of: places in `_power` and weights, (outputs, most)."""
        frequencies = self.window // 2 + 1
        places = torch.tensor([self._place(k) for k in range(frequencies)])
        if filters is None:
            return places[:, None], torch.ones(frequencies, 1)
        most = int((filters > 0).sum(dim=1).max())
        weights, order = filters.topk(most, dim=1)
        return places[order], weights

    def _place(self, frequency: int) -> int:
        """Return where the power of a frequency stands."""
        if frequency % self.rows >= self.kept:
            frequency = self.window - frequency
        return frequency % self.rows * self.columns + frequency // self.rows


def _near_root(size: int) -> int:
    """Return the largest divisor of a size that is not above its root."""
    return next(d for d in range(math.isqrt(size), 0, -1) if size % d == 0)


def _waves(positions: int, frequencies: int, period: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines (frequencies, positions) of that period, in float64."""
    turns = torch.outer(torch.arange(frequencies), torch.arange(positions)) % period
    angles = turns.double() * (2.0 * math.pi / period)
    return angles.cos(), angles.sin()
