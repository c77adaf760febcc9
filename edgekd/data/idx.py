"""IDX files, the format of MNIST, Fashion-MNIST, KMNIST and EMNIST.

Two zero bytes, a type code, the number of axes, the axes as big-endian uint32, then the values,
big-endian, the last axis fastest (Y. LeCun, C. Cortes, C. Burges, "The MNIST database").
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekd.data.arrays import array_part, labels
from edgekd.data.paths import folder, read_bytes
from edgekd.data.split import Part, RawData
from edgekd.errors import DataError

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_PREFIXES = {"train": "train", "test": "t10k"}
_AGAIN = "Fetch or copy it again, and compare its checksum with the publisher's."


def idx(root: str, classes: Sequence[str] | None = None) -> RawData:
    """Read ``train-images-idx3-ubyte[.gz]`` and its three siblings from a folder.

    Without ``t10k-*`` files the test split is cut out of train.

    Args:
        root: the folder.
        classes: the class names in label order; default: the labels themselves.

    Raises:
        DataError: a file is missing or damaged, or images and labels do not match.
    """
    base = folder(root)
    parts = {"train": _part(base, "train")}
    if _find(base, "t10k", "images", 3) or _find(base, "t10k", "labels", 1):
        parts["test"] = _part(base, "test")
    highest = max(int(part.targets.max(initial=-1)) for part in parts.values())
    names = classes if classes is not None else range(highest + 1)
    sample = parts["train"].read([0]) if len(parts["train"]) else np.zeros((1, 1, 1, 1))
    return RawData(parts, tuple(str(name) for name in names), sample.shape[1:])


def parse(data: bytes, name: str) -> npt.NDArray[np.generic]:
    """Return the array of an IDX file, in the machine's byte order.

    Args:
        data: the file's bytes, gzipped or not.
        name: what to call the file in messages.

    Raises:
        DataError: the bytes are not exactly one whole IDX array.
    """
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{name} is a damaged gzip file: {error}", hint=_AGAIN) from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _TYPES or data[3] == 0:
        raise DataError(
            f"{name} is not an IDX file: it starts with the bytes {data[:4].hex(' ')}",
            hint="IDX images start with 00 00 08 03, labels with 00 00 08 01.",
        )
    axes = data[3]
    start = 4 + 4 * axes
    shape = struct.unpack(f">{axes}I", data[4:start]) if len(data) >= start else ()
    dtype = np.dtype(_TYPES[data[2]])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(data) != expected or not shape:
        what = "cut short" if len(data) < expected or not shape else "too long"
        raise DataError(
            f"{name} is {what}: {len(data):,} bytes where its header says {expected:,}",
            hint=_AGAIN,
        )
    values = np.frombuffer(data, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def _part(base: Path, split: str) -> Part:
    prefix = _PREFIXES[split]
    images_path = _require(base, prefix, "images", 3)
    labels_path = _require(base, prefix, "labels", 1)
    images = parse(read_bytes(images_path), str(images_path))
    targets = labels(parse(read_bytes(labels_path), str(labels_path)), str(labels_path))
    if images.ndim != 3:
        raise DataError(
            f"{images_path} holds an array of {images.ndim} axes, not images (N, H, W)",
            hint="Are the files of images and labels swapped?",
        )
    if len(images) != len(targets):
        raise DataError(
            f"{images_path} has {len(images)} images, {labels_path.name} {len(targets)} labels",
            hint="The two files do not belong together: fetch both again.",
        )
    samples = images if images.dtype == np.uint8 else images.astype(np.float32)
    return array_part(samples[:, None], targets, prefix=split)


def _find(base: Path, prefix: str, kind: str, axes: int) -> Path | None:
    # Some mirrors write train-images.idx3-ubyte.
    for mark in "-.":
        for suffix in ("", ".gz"):
            path = base / f"{prefix}-{kind}{mark}idx{axes}-ubyte{suffix}"
            if path.is_file():
                return path
    return None


def _require(base: Path, prefix: str, kind: str, axes: int) -> Path:
    found = _find(base, prefix, kind, axes)
    if found is None:
        present = ", ".join(sorted(path.name for path in base.iterdir())[:6])
        raise DataError(
            f"{base} has no file {prefix}-{kind}-idx{axes}-ubyte[.gz]",
            hint=f"It holds: {present}. Check data.root.",
        )
    return found
