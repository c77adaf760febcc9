"""What single samples look like: pictures, as addresses that hold the picture itself, or texts."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
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

#: The column of the data that holds what a sample says, and the most characters of it to show.
TEXT, LONGEST = "text", 280

#: What has fewer pixels on a side is a signal in the form of an image.
_FEWEST = 4


def pictures_and_texts(
    spec: DataSpec, wanted: Mapping[str, int]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return what samples look like, where the data can still be read.

    Images and signals have pictures; samples have texts where the source gives a column ``text``.
    A report is also made where the data is not: then, and for samples that carry another label
    than they did, there is nothing.

    Args:
        spec: the recipe's ``[data]``.
        wanted: sample id -> its label.

    Returns:
        Sample id -> ``data:`` address, and sample id -> text.
    """
    if not wanted:
        return {}, {}
    try:
        from edgekd.data.source import call_source

        raw = call_source(spec.source, spec.options)
        pictures: dict[str, str] = {}
        texts: dict[str, str] = {}
        for name, part in raw.parts.items():
            at = _wanted(part, wanted)
            texts |= _texts(raw, [part.ids[index] for index in at])
            if at and (_is_image(raw.sample_shape) or waveform.is_signal(raw.sample_shape)):
                pictures |= _of_part(raw, name, part, at)
    except (EdgekdError, ImportError, OSError):
        return {}, {}
    return pictures, texts


def _wanted(part: Part, wanted: Mapping[str, int]) -> list[int]:
    """Return the places of the samples that are wanted and still carry their label."""
    return [
        index
        for index, key in enumerate(part.ids)
        if key in wanted and int(part.targets[index]) == wanted[key]
    ]


def _texts(raw: RawData, ids: Sequence[str]) -> dict[str, str]:
    """Return what samples say, on one line, long ones cut."""
    known = raw.columns.get(TEXT, {})
    found = {key: " ".join(known[key].split()) for key in ids if key in known}
    return {
        key: text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip()} ..."
        for key, text in found.items()
    }


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) >= _FEWEST


def _of_part(raw: RawData, name: str, part: Part, at: Sequence[int]) -> dict[str, str]:
    import numpy as np

    from edgekd.data.source import read_batch

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
