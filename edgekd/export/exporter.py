"""What every target gives: an `Exporter` that turns a prepared network into a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import MissingExtraError
from edgekd.export.prepare import Prepared
from edgekd.quantize.schemes import Scheme

Layout = Literal["nchw", "nhwc"]


@dataclass(frozen=True)
class Exported:
    """A file that was just made.

    Attributes:
        path: the file.
        notes: what the user should know of it.
    """

    path: Path
    notes: tuple[str, ...] = ()


class Exporter(Protocol):
    """Makes files of one format. It never checks them: the caller always does, with ``runtime``.

    Attributes:
        runtime: the row of the table of runtimes that runs the file.
        image_layout: how a 4-D input lies in the file.
    """

    runtime: str
    image_layout: Layout

    def require(self, scheme: Scheme) -> None:
        """Refuse at once what cannot work on this machine, before anything is loaded.

        Raises:
            MissingExtraError: a package is not installed.
            ExportError: a package does not exist for this platform.
        """
        ...

    def export(
        self,
        prepared: Prepared,
        *,
        scheme: Scheme,
        calibration: NDArray[np.float32] | None,
        directory: Path,
    ) -> Exported:
        """Write the file.

        Args:
            prepared: the network, with an example of its input.
            scheme: how to quantize it.
            calibration: ``(n, *input_shape)`` network inputs, channels first, for schemes that
                need them.
            directory: where to write.

        Raises:
            ExportError: the network, or the scheme on this network, cannot be converted.
        """
        ...


def layout_of(input_shape: tuple[int, ...], image_layout: Layout) -> Layout | None:
    """Return the layout of an input: that of images for ``(C, H, W)`` samples, else None."""
    return image_layout if len(input_shape) == 3 else None


def installed(package: str) -> bool:
    """Say whether a package can be imported, without importing it."""
    return find_spec(package) is not None


def require_packages(packages: Sequence[str], *, target: str) -> None:
    """Refuse when a package is missing. The target's extra bears its name.

    Raises:
        MissingExtraError: names the first that is missing.
    """
    for package in packages:
        if not installed(package):
            raise MissingExtraError(f"export to {target}", extra=target, package=package)
