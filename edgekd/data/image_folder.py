"""Images in folders that are named after their classes, decoded only when they are read.

The folders may stand in an archive. What is in one is read in a single pass, since it has no random
access, and then every image is decoded once.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from edgekd.data.archive import archives_in, is_archive, members
from edgekd.data.class_folders import FOLDERS, find, find_names
from edgekd.data.paths import expand, folder, read_bytes
from edgekd.data.split import Indices, Part, RawData
from edgekd.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
_MODES = {1: "L", 3: "RGB"}
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


#: Decoded images of an archive are kept up to this many bytes, all splits together.
_KEPT = 1 << 30


def image_folder(root: str, size: int | Sequence[int] | None = None, channels: int = 3) -> RawData:
    """Find ``root/train/CLASS/*.jpg|png`` and, where present, validation (or val) and test.

    Parts that are not there are cut out of train. Ids are paths relative to ``root``, or names in
    the archive. Images are turned upright by their EXIF tag.

    Args:
        root: the folder; or an archive (.tar, .tar.xz, .tar.gz, .tgz, .tar.bz2) of such folders,
            which is read as it is; or a folder that holds one archive and no ``train``.
        size: height and width in pixels, or one number for both: images are scaled to cover it
            and cropped at the centre. Default: the size of the first image, which all must have.
        channels: 3 (RGB) or 1 (grey).

    Raises:
        DataError: no images, unknown classes, a damaged archive, or an option that cannot be.
    """
    if channels not in _MODES:
        raise DataError(f"data.channels is {channels!r}", hint="Images have 1 or 3.")
    files = _files(root)
    classes = tuple(sorted(files.splits["train"]))
    height, width = _size(size, files, files.splits["train"][classes[0]][0])
    decode = _Decoder(files, (channels, height, width), size is not None)
    number = sum(len(found) for by_class in files.splits.values() for found in by_class.values())
    keep = files.archived and number * channels * height * width <= _KEPT
    parts = {
        name: _part(files, by_class, classes, decode, keep)
        for name, by_class in files.splits.items()
    }
    return RawData(parts, classes, (channels, height, width))


@dataclass(frozen=True)
class _Files:
    """Where images are.

    Attributes:
        splits: the names of the files of every split and class, sorted.
        read: name -> the bytes of the file.
        title: name -> what to call it in messages.
        archived: whether they are in an archive.
    """

    splits: Mapping[str, Mapping[str, list[str]]]
    read: Callable[[str], bytes]
    title: Callable[[str], str]
    archived: bool


def _files(root: str) -> _Files:
    path = expand(root)
    if path.is_file() and is_archive(path):
        return _in_archive(path)
    base = folder(root)
    if not any((base / name).is_dir() for name in FOLDERS["train"]):
        archives = archives_in(base)
        if len(archives) > 1:
            raise DataError(
                f"{base} holds {len(archives)} archives: {archives[0].name}, {archives[1].name}",
                hint="Let data.root name one of them.",
            )
        if archives:
            return _in_archive(archives[0])
    splits = {
        split: {
            label: [path.relative_to(base).as_posix() for path in paths]
            for label, paths in by_class.items()
        }
        for split, by_class in find(base, SUFFIXES, "images").items()
    }
    return _Files(
        splits, lambda name: read_bytes(base / name), lambda name: str(base / name), False
    )


def _in_archive(path: Path) -> _Files:
    facts = path.stat()
    found = _read_archive(path, facts.st_mtime_ns, facts.st_size)
    splits = find_names(found, SUFFIXES, "images", str(path))
    return _Files(splits, found.__getitem__, lambda name: f"{path}: {name}", True)


@lru_cache(maxsize=1)
def _read_archive(path: Path, _changed: int, _size: int) -> Mapping[str, bytes]:
    """Return the images of an archive as they are in it; decompressed once a process."""
    return {name: data for name, data in members(path) if Path(name).suffix.lower() in SUFFIXES}


class _Decoder:
    """Names of files to uint8 (channels, height, width)."""

    def __init__(self, files: _Files, shape: tuple[int, int, int], fit: bool) -> None:
        self.files = files
        self.shape = shape
        self.size = (shape[2], shape[1])
        self.mode = _MODES[shape[0]]
        self.fit = fit

    def __call__(self, name: str) -> npt.NDArray[np.uint8]:
        image = _open(self.files, name)
        path = self.files.title(name)
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


def _open(files: _Files, name: str) -> Image.Image:
    data = files.read(name)
    try:
        with Image.open(io.BytesIO(data)) as image:
            upright: Image.Image = ImageOps.exif_transpose(image)
            upright.load()
            return upright
    except _DAMAGE as error:
        # Pillow names the memory that it read from, which tells nobody anything.
        reason = "no known image format" if "cannot identify" in str(error) else str(error)
        raise DataError(
            f"{files.title(name)} is not a readable image: {reason}",
            hint="Replace it or remove it.",
        ) from error


def _size(size: int | Sequence[int] | None, files: _Files, first: str) -> tuple[int, int]:
    if size is None:
        width, height = _open(files, first).size
        return height, width
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or any(not isinstance(side, int) or side < 1 for side in pair):
        raise DataError(f"data.size is {size!r}", hint="Give pixels, or [height, width] in pixels.")
    return pair[0], pair[1]


class _Once:
    """Reads images, each decoded when it is first asked for and kept."""

    def __init__(self, names: Sequence[str], decode: _Decoder) -> None:
        self.names = names
        self.decode = decode
        # Channels last in memory, as Pillow gives them: statistics then agree to the last bit with
        # those of the same images in folders.
        channels, height, width = decode.shape
        self.pixels = np.zeros((len(names), height, width, channels), np.uint8).transpose(
            0, 3, 1, 2
        )
        self.done = np.zeros(len(names), bool)

    def __call__(self, indices: Indices) -> npt.NDArray[np.generic]:
        for i in np.unique(indices[~self.done[indices]]):
            self.pixels[i] = self.decode(self.names[i])
            self.done[i] = True
        return self.pixels[indices]


def _part(
    files: _Files,
    by_class: Mapping[str, list[str]],
    classes: tuple[str, ...],
    decode: _Decoder,
    keep: bool,
) -> Part:
    index = {name: label for label, name in enumerate(classes)}
    names = [name for found in by_class.values() for name in found]
    targets = [index[name] for name, found in by_class.items() for _ in found]

    def read(indices: Indices) -> npt.NDArray[np.generic]:
        return np.stack([decode(names[i]) for i in indices])

    return Part(
        ids=tuple(names),
        targets=np.asarray(targets, dtype=np.int64),
        reader=_Once(names, decode) if keep else read,
        content=lambda i: files.read(names[i]),
    )
