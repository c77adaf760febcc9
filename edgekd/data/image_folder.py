"""Images in folders that are named after their classes, decoded only when they are read."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from edgekd.data.class_folders import ByClass, find
from edgekd.data.paths import folder, read_bytes
from edgekd.data.split import Indices, Part, RawData
from edgekd.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
_MODES = {1: "L", 3: "RGB"}
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def image_folder(root: str, size: int | Sequence[int] | None = None, channels: int = 3) -> RawData:
    """Find ``root/train/CLASS/*.jpg|png`` and, where present, validation (or val) and test.

    Parts that are not there are cut out of train. Ids are paths relative to ``root``. Images are
    turned upright by their EXIF tag.

    Args:
        root: the folder.
        size: height and width in pixels, or one number for both: images are scaled to cover it
            and cropped at the centre. Default: the size of the first image, which all must have.
        channels: 3 (RGB) or 1 (grey).

    Raises:
        DataError: no images, unknown classes, or an option that cannot be.
    """
    base = folder(root)
    if channels not in _MODES:
        raise DataError(f"data.channels is {channels!r}", hint="Images have 1 or 3.")
    files = find(base, SUFFIXES, "images")
    classes = tuple(sorted(files["train"]))
    height, width = _size(size, next(iter(files["train"][classes[0]])))
    parts = {
        name: _part(base, by_class, classes, _Decoder(height, width, channels, size is not None))
        for name, by_class in files.items()
    }
    return RawData(parts, classes, (channels, height, width))


class _Decoder:
    """Files to uint8 (channels, height, width)."""

    def __init__(self, height: int, width: int, channels: int, fit: bool) -> None:
        self.size = (width, height)
        self.mode = _MODES[channels]
        self.fit = fit

    def __call__(self, path: Path) -> npt.NDArray[np.uint8]:
        image = _open(path)
        if image.mode.startswith(("I", "F")):
            raise DataError(
                f"{path} has more than 8 bits a channel (mode {image.mode})",
                hint="Convert it to 8 bits, or bring it as .npz.",
            )
        image = image.convert(self.mode)
        if image.size != self.size:
            if not self.fit:
                have, want = (f"{w}x{h}" for w, h in (image.size, self.size))
                raise DataError(
                    f"{path} is {have} pixels wide and high, the first image {want}",
                    hint="Set data.size to bring all images to one size.",
                )
            image = ImageOps.fit(image, self.size, Image.Resampling.BILINEAR)
        pixels = np.asarray(image, dtype=np.uint8)
        return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _open(path: Path) -> Image.Image:
    data = read_bytes(path)
    try:
        with Image.open(io.BytesIO(data)) as image:
            upright: Image.Image = ImageOps.exif_transpose(image)
            upright.load()
            return upright
    except _DAMAGE as error:
        # Pillow names the memory that it read from, which tells nobody anything.
        reason = "no known image format" if "cannot identify" in str(error) else str(error)
        raise DataError(
            f"{path} is not a readable image: {reason}", hint="Replace it or remove it."
        ) from error


def _size(size: int | Sequence[int] | None, first: Path) -> tuple[int, int]:
    if size is None:
        width, height = _open(first).size
        return height, width
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or any(not isinstance(side, int) or side < 1 for side in pair):
        raise DataError(f"data.size is {size!r}", hint="Give pixels, or [height, width] in pixels.")
    return pair[0], pair[1]


def _part(base: Path, by_class: ByClass, classes: tuple[str, ...], decode: _Decoder) -> Part:
    index = {name: label for label, name in enumerate(classes)}
    paths = [path for found in by_class.values() for path in found]
    targets = [index[name] for name, found in by_class.items() for _ in found]

    def read(indices: Indices) -> npt.NDArray[np.generic]:
        return np.stack([decode(paths[i]) for i in indices])

    return Part(
        ids=tuple(path.relative_to(base).as_posix() for path in paths),
        targets=np.asarray(targets, dtype=np.int64),
        reader=read,
        content=lambda i: read_bytes(paths[i]),
    )
