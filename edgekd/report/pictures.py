"""Pictures of single samples, as addresses that hold the picture itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgekd.errors import EdgekdError
from edgekd.report import waveform

if TYPE_CHECKING:
    from edgekd.data.split import Part, RawData
    from edgekd.recipe import DataSpec

#: Up to so many pixels a side pictures are kept as they are, as PNG; larger ones become JPEG.
SMALL = 32

#: Larger pictures are made smaller, to at most so many pixels a side.
LARGEST = 64

#: What has fewer pixels on a side is a signal in the form of an image.
_FEWEST = 4


def pictures(spec: DataSpec, wanted: Mapping[str, int]) -> dict[str, str]:
    """Return pictures of samples, where the data is images or signals and can still be read.

    A report is also made where the data is not: then, and for samples that carry another label
    than they did, there are no pictures.

    Args:
        spec: the recipe's ``[data]``.
        wanted: sample id -> its label.

    Returns:
        Sample id -> ``data:`` address.
    """
    if not wanted:
        return {}
    try:
        from edgekd.data.source import call_source

        raw = call_source(spec.source, spec.options)
        if not _is_image(raw.sample_shape) and not waveform.is_signal(raw.sample_shape):
            return {}
        found: dict[str, str] = {}
        for name, part in raw.parts.items():
            found |= _of_part(raw, name, part, wanted)
        return found
    except (EdgekdError, ImportError, OSError):
        return {}


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) >= _FEWEST


def _of_part(raw: RawData, name: str, part: Part, wanted: Mapping[str, int]) -> dict[str, str]:
    import numpy as np

    from edgekd.data.source import read_batch

    at = [
        index
        for index, key in enumerate(part.ids)
        if key in wanted and int(part.targets[index]) == wanted[key]
    ]
    if not at:
        return {}
    samples = read_batch(part, np.asarray(at), raw.sample_shape, name)
    if waveform.is_signal(raw.sample_shape):
        return {
            part.ids[index]: waveform.address(sample)
            for index, sample in zip(at, samples.astype("float32"), strict=True)
        }
    low, high = float(samples.min()), float(samples.max())
    if samples.dtype == np.uint8:
        low = 0.0
    return {
        part.ids[index]: _address((sample - low) / ((high - low) or 1.0))
        for index, sample in zip(at, samples.astype("float32"), strict=True)
    }


def _address(sample: Any) -> str:
    """Return the address of a picture of a sample (1 | 3, H, W) with values from 0 to 1."""
    from PIL import Image

    pixels = (sample * 255).round().clip(0, 255).astype("uint8")
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    form = "png"
    if max(image.size) > SMALL:
        image.thumbnail((LARGEST, LARGEST))
        form = "jpeg"
    file = io.BytesIO()
    image.save(file, form, optimize=True)
    return f"data:image/{form};base64," + base64.b64encode(file.getvalue()).decode("ascii")
