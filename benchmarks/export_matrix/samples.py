"""Real samples, small: what a network is trained on for a few seconds, and what it is judged by."""

from __future__ import annotations

import os
import zlib
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

#: Tokens of a sentence, and bytes of one.
TOKENS = 32
BYTES = 48
_VOCABULARY = 1024
_JUDGED = 512


class Missing(Exception):
    """Data that are not here; the message says which."""


class Split(NamedTuple):
    """Samples to train on, and others to export with; labels are ``targets``."""

    train: Arrays
    judged: Arrays


def _root(name: str) -> Path:
    root = Path(os.environ.get("EDGEKD_DATA", "data")) / name
    if not root.is_dir():
        raise Missing(f"{root} is not here: set EDGEKD_DATA")
    return root


def _split(arrays: Arrays) -> Split:
    order = np.random.default_rng(0).permutation(len(next(iter(arrays.values()))))
    judged, train = order[:_JUDGED], order[_JUDGED:]
    return Split(
        {n: a[train] for n, a in arrays.items()}, {n: a[judged] for n, a in arrays.items()}
    )


@lru_cache
def digits(scale: int = 2) -> Split:
    """scikit-learn's digits, 1 x (8 * scale) x (8 * scale), about zero mean and unit variance."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = ((found.images / 16.0 - 0.31) / 0.38).astype(np.float32)[:, None]
    images = images.repeat(scale, 2).repeat(scale, 3)
    return _split({"input": images, "targets": found.target.astype(np.int64)})


def rows() -> Split:
    """The digits as sequences: 16 moments of 16 values."""
    train, judged = digits(2)
    return Split(
        {"input": train["input"][:, 0], "targets": train["targets"]},
        {"input": judged["input"][:, 0], "targets": judged["targets"]},
    )


def vectors() -> Split:
    """The digits as vectors of 64 values, without labels."""
    train, judged = digits(1)
    return Split(
        {"input": train["input"].reshape(-1, 64)}, {"input": judged["input"].reshape(-1, 64)}
    )


def noisy() -> Split:
    """Digits under noise; ``clean`` is what a network is to make of them."""

    def spoil(part: Arrays, seed: int) -> Arrays:
        noise = np.random.default_rng(seed).standard_normal(part["input"].shape, dtype=np.float32)
        return {"input": part["input"] + 0.5 * noise, "clean": part["input"]}

    train, judged = digits(2)
    return Split(spoil(train, 1), {"input": spoil(judged, 2)["input"]})


def halves() -> Split:
    """The digits as an image whose lower half is hidden, and the row means of the whole."""

    def cut(part: Arrays) -> Arrays:
        image = part["input"].copy()
        image[:, :, 8:] = 0
        features = part["input"].mean(axis=3)[:, 0]
        return {"image": image, "features": features, "targets": part["targets"]}

    train, judged = digits(2)
    return Split(cut(train), cut(judged))


def placed() -> Split:
    """Digits of 16 x 16 somewhere in 32 x 32; ``cells`` says class and box of each."""

    def place(part: Arrays, seed: int) -> Arrays:
        generator = np.random.default_rng(seed)
        count = len(part["input"])
        images = np.full((count, 1, 32, 32), -0.8, np.float32)
        corner = generator.integers(0, 17, size=(count, 2))
        for image, digit, (y, x) in zip(images, part["input"], corner, strict=True):
            image[:, y : y + 16, x : x + 16] = digit
        return {"input": images, "corner": corner, "digit": part["targets"]}

    train, judged = digits(2)
    return Split(place(train, 1), {"input": place(judged, 2)["input"]})


@lru_cache
def _speech() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    from edgekd.data.fsdd import fsdd

    data = fsdd(str(_root("fsdd")))
    part = data.parts["train"]
    chosen = np.random.default_rng(0).permutation(len(part))[:2000]
    waves = part.reader(chosen).astype(np.float32)
    return waves / waves.std(), part.targets[chosen]


def waveforms() -> Split:
    """Spoken digits, 1 x 8000, every recording as loud as the others: its peak is 4."""
    waves, targets = _speech()
    waves = 4.0 * waves / np.abs(waves).max(axis=(1, 2), keepdims=True)
    return _split({"input": waves, "targets": targets})


@lru_cache
def spectrograms() -> Split:
    """Spoken digits as log spectrograms, 1 x 49 x 10: moments by bands, as DS-CNN takes them."""
    waves, targets = _speech()
    frames = np.lib.stride_tricks.sliding_window_view(waves[:, 0], 320, axis=1)[:, ::160]
    power = np.abs(np.fft.rfft(frames * np.hanning(320), axis=2)) ** 2
    edges = np.geomspace(2, power.shape[2], 11).astype(int)
    bands = np.stack([power[..., a:b].mean(-1) for a, b in pairwise(edges)], -1)
    logs = np.log(bands[:, :49] + 1e-2)
    logs = (logs - logs.mean()) / logs.std()
    return _split({"input": logs.astype(np.float32)[:, None], "targets": targets})


@lru_cache
def _lines() -> tuple[list[str], NDArray[np.int64]]:
    found: list[tuple[str, int]] = []
    for line in (_root("sst2") / "train.tsv").read_text(encoding="utf-8").splitlines():
        text, _, label = line.rpartition("\t")
        if label in ("0", "1") and len(text.split()) > 4:
            found.append((text, int(label)))
    chosen = np.random.default_rng(0).permutation(len(found))[:6000]
    return [found[i][0] for i in chosen], np.array([found[i][1] for i in chosen])


@lru_cache
def sentences() -> Split:
    """Film reviews of SST-2 as hashed words, with a mask over the padding."""
    texts, targets = _lines()
    ids = np.zeros((len(texts), TOKENS), np.int64)
    mask = np.zeros((len(texts), TOKENS), np.int64)
    for row, text in enumerate(texts):
        words = text.split()[:TOKENS]
        ids[row, : len(words)] = [1 + zlib.crc32(w.encode()) % (_VOCABULARY - 1) for w in words]
        mask[row, : len(words)] = 1
    return _split({"input_ids": ids, "attention_mask": mask, "targets": targets})


@lru_cache
def characters() -> Split:
    """The first bytes of film reviews, without labels."""
    texts, _ = _lines()
    rows = [text.encode("ascii", "ignore").ljust(BYTES)[:BYTES] for text in texts]
    return _split({"input_ids": np.array([list(row) for row in rows], np.int64)})
