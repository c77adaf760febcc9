"""What storing does to images: (C, H, W) with values from 0 to 1."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from edgekd.evaluate.corruptions.samples import Floats, Samples, side_of
from edgekd.evaluate.corruptions.severity import Strength

#: libjpeg's quality.
QUALITY = Strength((80, 65, 58, 50, 40), (25, 18, 15, 10, 7))
#: The resolution that is left.
RESOLUTION = Strength((0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25))


def jpeg(image: Floats, severity: int, random: np.random.Generator, about: Samples) -> Floats:
    """Store as JPEG and read again; other than one or three channels are stored one by one."""
    quality = round(QUALITY.at(severity, side_of(image)))
    bytes_ = np.rint(image * 255).astype(np.uint8)
    if len(image) == 3:
        stored = np.moveaxis(_stored(np.moveaxis(bytes_, 0, 2), quality), 2, 0)
    else:
        stored = np.stack([_stored(channel, quality) for channel in bytes_])
    return stored.astype(np.float32) / np.float32(255)


def _stored(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "jpeg", quality=quality)
    with Image.open(buffer) as read:
        return np.asarray(read)


def pixelate(image: Floats, severity: int, random: np.random.Generator, about: Samples) -> Floats:
    """Shrink by averaging boxes, and enlarge again in the same way."""
    left = RESOLUTION.at(severity, side_of(image))
    height, width = image.shape[1:]
    small = (max(1, int(width * left)), max(1, int(height * left)))
    box = Image.Resampling.BOX
    channels = [
        Image.fromarray(channel).resize(small, box).resize((width, height), box)
        for channel in np.ascontiguousarray(image)
    ]
    return np.stack([np.asarray(channel, dtype=np.float32) for channel in channels])
