"""From waveforms to spectrograms and log-mel energies."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgekd.errors import DataError


class Spectrogram(nn.Module):
    """Waveforms (N, L) or (N, 1, L) in, their spectrograms (N, 1, window // 2 + 1, frames) out.

    Short-time Fourier transform under a periodic Hann window, without padding: ``frames`` is
    ``1 + (L - window) // hop``. A value is ``log(power + floor)``, the natural logarithm of the
    squared magnitude, or the power itself.

    Args:
        sample_shape: of what comes in.
        window: values in a frame.
        hop: values from one frame to the next.
        log: take the logarithm.
        floor: of the power, which keeps the logarithm of silence finite.

    Raises:
        DataError: samples are no waveforms, or shorter than a frame.
    """

    hann: Tensor

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        window: int = 256,
        hop: int = 128,
        log: bool = True,
        floor: float = 1e-6,
    ) -> None:
        """Check the shape."""
        super().__init__()
        mono = len(sample_shape) == 1 or (len(sample_shape) == 2 and sample_shape[0] == 1)
        if not mono or min(window, hop) < 1 or floor <= 0.0:
            raise DataError(
                f"a spectrogram of window {window}, hop {hop} and floor {floor:g} cannot be made "
                f"of samples of shape {tuple(sample_shape)}",
                hint="It takes waveforms (L,) or (1, L); all three options are above 0.",
            )
        if sample_shape[-1] < window:
            raise DataError(
                f"a waveform of {sample_shape[-1]} values is shorter than a window of {window}",
                hint="Make the window shorter, or the samples longer.",
            )
        self.window, self.hop, self.log, self.floor = window, hop, log, floor
        self.register_buffer("hann", torch.hann_window(window, periodic=True))

    def power(self, waveforms: Tensor) -> Tensor:
        """Return squared magnitudes (N, window // 2 + 1, frames)."""
        flat = waveforms.flatten(1)
        spectrum = torch.stft(
            flat, self.window, self.hop, window=self.hann, center=False, return_complex=True
        )
        power: Tensor = spectrum.real.square() + spectrum.imag.square()
        return power

    def forward(self, waveforms: Tensor) -> Tensor:
        """Return the spectrograms."""
        return self._levels(self.power(waveforms))

    def _levels(self, power: Tensor) -> Tensor:
        levels = torch.log(power + self.floor) if self.log else power
        return levels.unsqueeze(1)


class LogMel(Spectrogram):
    """Waveforms (N, L) or (N, 1, L) in, log-mel energies (N, 1, mels, frames) out.

    Triangular filters whose corners are equally spaced on the mel scale ``2595 log10(1 + f/700)``
    (D. O'Shaughnessy, Speech Communication, 1987), each of height 1, on the power spectrogram.

    Args:
        sample_shape: of what comes in.
        rate: values a second.
        mels: filters.
        window: values in a frame.
        hop: values from one frame to the next.
        low: lowest frequency, in Hz.
        high: highest frequency, in Hz; 0 stands for half the rate.
        floor: of the energies, which keeps the logarithm of silence finite.

    Raises:
        DataError: samples are no waveforms, or a filter would hold no frequency.
    """

    filters: Tensor

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        rate: int = 16000,
        mels: int = 40,
        window: int = 512,
        hop: int = 256,
        low: float = 20.0,
        high: float = 0.0,
        floor: float = 1e-6,
    ) -> None:
        """Make the filters."""
        super().__init__(sample_shape, window, hop, floor=floor)
        high = high or rate / 2
        if not 0.0 <= low < high <= rate / 2 or mels < 1:
            raise DataError(
                f"the transform 'log-mel' has {mels} filters from {low:g} to {high:g} Hz at "
                f"{rate} values a second",
                hint="Frequencies rise from low to high, which is at most half the rate.",
            )
        self.register_buffer("filters", mel_filters(rate, window, mels, low, high))
        empty = int((self.filters.sum(dim=1) == 0).sum())
        if empty:
            raise DataError(
                f"the transform 'log-mel': {empty} of {mels} filters hold no frequency of a "
                f"window of {window}",
                hint="Use fewer mels, or a longer window.",
            )

    def forward(self, waveforms: Tensor) -> Tensor:
        """Return the log-mel energies."""
        return self._levels(self.filters @ self.power(waveforms))


def mel_filters(rate: int, window: int, mels: int, low: float, high: float) -> Tensor:
    """Return triangular filters (mels, window // 2 + 1) over the frequencies of a spectrum."""
    ends = 2595.0 * torch.log10(1.0 + torch.tensor([low, high], dtype=torch.float64) / 700.0)
    corners = torch.linspace(float(ends[0]), float(ends[1]), mels + 2, dtype=torch.float64)
    hertz = 700.0 * (10.0 ** (corners / 2595.0) - 1.0)
    bins = torch.arange(window // 2 + 1, dtype=torch.float64) * (rate / window)
    left, centre, right = (hertz[i : i + mels, None] for i in range(3))
    rising = (bins - left) / (centre - left)
    falling = (right - bins) / (right - centre)
    return torch.minimum(rising, falling).clamp(min=0.0).float()
