"""Files made of a network straight by an exporter, without the proof that `edgekd.export` adds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from edgekd.export import TARGETS
from edgekd.export.exporter import Exported
from edgekd.export.plan import Plan
from edgekd.export.ports import INPUT
from edgekd.export.prepare import Prepared, prepare
from edgekd.export.surface import surface
from edgekd.quantize.schemes import NONE, Scheme


def prepared_with(model: nn.Module, x: np.ndarray) -> Prepared:
    """Return a network of one input, prepared with the first two samples."""
    return prepare(model, {INPUT: x[:2]})


def make(
    target: str,
    prepared: Prepared,
    folder: Path,
    scheme: Scheme = NONE,
    calibration: np.ndarray | None = None,
    /,
    **options: Any,
) -> Exported:
    """Make a file as the target's own defaults say."""
    exporter = TARGETS.resolve(target)()
    shown = surface(prepared, layout=exporter.image_layout, batch=exporter.batch)
    samples = None if calibration is None else {INPUT: calibration}
    return exporter.export(
        shown, Plan(target, scheme, **options), calibration=samples, directory=folder
    )
