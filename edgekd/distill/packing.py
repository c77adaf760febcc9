"""Answers of a teacher as arrays to store, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional

from edgekd.losses.base import Outputs
from edgekd.recipe import CacheSpec

Packed = Mapping[str, npt.NDArray[np.generic]]

_TYPES = {"fp16": np.float16, "fp32": np.float32}
_LARGEST_HALF = float(np.finfo(np.float16).max)


def pack(outputs: Outputs, spec: CacheSpec) -> Packed:
    """Return what is stored of a batch: every output in the cache's precision.

    Logits beyond float16's range are clipped to it. With ``top_k``, ``logits`` becomes
    ``top_classes`` and ``top_log_probabilities``.
    """
    arrays: dict[str, npt.NDArray[np.generic]] = {
        name: _array(value, spec) for name, value in outputs.features.items()
    }
    if not spec.top_k:
        arrays["logits"] = _array(outputs.logits, spec)
        return arrays
    log_probabilities = functional.log_softmax(outputs.logits.float(), dim=-1)
    top = log_probabilities.topk(min(spec.top_k, log_probabilities.shape[-1]), dim=-1)
    arrays["top_classes"] = top.indices.cpu().numpy().astype(np.int32)
    arrays["top_log_probabilities"] = _array(top.values, spec)
    arrays["classes"] = np.full(len(top.values), log_probabilities.shape[-1], dtype=np.int32)
    return arrays


def unpack(
    packed: Packed, rows: npt.NDArray[np.integer], spec: CacheSpec
) -> dict[str, npt.NDArray[np.float32]]:
    """Return the outputs of these rows as float32, ``logits`` among them."""
    special = ("top_classes", "top_log_probabilities", "classes")
    found = {
        name: np.asarray(value[rows], dtype=np.float32)
        for name, value in packed.items()
        if name not in special
    }
    if spec.top_k:
        found["logits"] = spread(
            np.asarray(packed["top_classes"][rows], dtype=np.int64),
            np.asarray(packed["top_log_probabilities"][rows], dtype=np.float32),
            int(packed["classes"][0]),
        )
    return found


def spread(
    classes: npt.NDArray[np.int64], log_probabilities: npt.NDArray[np.float32], number: int
) -> npt.NDArray[np.float32]:
    """Return logits (N, number): the top ones as stored, the missing mass uniform on the rest.

    >>> import numpy as np
    >>> logits = spread(np.array([[2]]), np.log(np.array([[0.5]], np.float32)), 3)
    >>> np.exp(logits).round(3).tolist()
    [[0.25, 0.25, 0.5]]
    """
    rest = number - classes.shape[1]
    missing = np.clip(1.0 - np.exp(log_probabilities).sum(-1, keepdims=True), 1e-8, 1.0)
    share = np.log(missing / max(rest, 1))
    logits = np.broadcast_to(share, (len(classes), number)).astype(np.float32)
    np.put_along_axis(logits, classes, log_probabilities, axis=-1)
    return logits


def _array(value: Tensor, spec: CacheSpec) -> npt.NDArray[np.generic]:
    array = value.detach().float().cpu().numpy()
    if spec.precision == "fp16":
        array = np.clip(array, -_LARGEST_HALF, _LARGEST_HALF)
    stored: npt.NDArray[np.generic] = array.astype(_TYPES[spec.precision])
    return stored
