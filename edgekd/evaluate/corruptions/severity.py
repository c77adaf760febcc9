"""How strong a corruption is at each severity, and for images of each size.

Where a corruption stands in ImageNet-C and CIFAR-10-C (D. Hendrycks, T. Dietterich, "Benchmarking
Neural Network Robustness to Common Corruptions and Perturbations", ICLR 2019,
https://arxiv.org/abs/1903.12261), its numbers are theirs: those of CIFAR-10-C for images of up to
32 pixels, those of ImageNet-C from 224 pixels on, and the geometric interpolation between. The
others are this project's own and say so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgekd.errors import EdgekdError

#: The sides of the images, in pixels, that the two columns of a `Strength` are for.
SMALL, LARGE = 32, 224

#: The strongest severity; 0 is no corruption at all.
STRONGEST = 5


@dataclass(frozen=True)
class Strength:
    """A number for each severity from 1 to 5.

    Attributes:
        small: for images of at most `SMALL` pixels; where nothing depends on size, for all.
        large: for images of at least `LARGE` pixels; default: as for small ones.
    """

    small: tuple[float, float, float, float, float]
    large: tuple[float, float, float, float, float] | None = None

    def at(self, severity: int, side: int = SMALL) -> float:
        """Return the number for a severity and the shorter side of an image, in pixels.

        >>> Strength((1, 2, 3, 4, 5), (4, 8, 12, 16, 20)).at(1, 224)
        4.0
        >>> round(Strength((1, 2, 3, 4, 5), (4, 8, 12, 16, 20)).at(2, 85), 2)  # half-way
        4.01
        """
        small = self.small[severity - 1]
        if self.large is None:
            return float(small)
        large = self.large[severity - 1]
        share = math.log(min(max(side, SMALL), LARGE) / SMALL) / math.log(LARGE / SMALL)
        return float(small * (large / small) ** share)


def check_severity(severity: int) -> None:
    """Refuse a severity that there is not.

    Raises:
        EdgekdError: it is not 0, 1, ..., 5.
    """
    if severity not in range(STRONGEST + 1):
        raise EdgekdError(
            f"there is no severity {severity!r}",
            hint=f"Severities run from 1, mild, to {STRONGEST}, strong; 0 is no corruption.",
        )
