"""Do two layers hold the same? Linear centred kernel alignment."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgekd.errors import DataError

Floats = npt.NDArray[np.float64]


def linear_cka(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    r"""Return the linear centred kernel alignment of two layers, between 0 and 1.

    .. math:: \frac{\|Y^T X\|_F^2}{\|X^T X\|_F \, \|Y^T Y\|_F}

    with centred columns (Kornblith, Norouzi, Lee and Hinton, Similarity of Neural Network
    Representations Revisited, ICML 2019). Rotating or scaling a layer changes nothing. With fewer
    samples than features it is too large: compare values of the same samples.

    Args:
        first: what one layer gives, (N, ...): further axes count as features.
        second: what the other gives for the same samples, (N, ...).

    Raises:
        DataError: not equally many samples, fewer than two, or values that are not finite.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(20, 3))
    >>> round(linear_cka(x, -2.0 * x[:, ::-1] + 1.0), 12)
    1.0
    """
    return alignment(centred_gram(first), centred_gram(second))


def centred_gram(layer: npt.ArrayLike) -> Floats:
    """Return the centred Gram matrix (N, N) of what a layer gives, (N, ...).

    It is all that the alignment needs, and small where layers are wide.

    Raises:
        DataError: fewer than two samples, or values that are not finite.
    """
    array = np.asarray(layer)
    if array.ndim < 2 or len(array) < 2:
        raise DataError(
            f"a layer of shape {array.shape}", hint="Give (N, ...) of at least two samples."
        )
    if not np.isfinite(array).all():
        raise DataError("a layer gives NaN or infinity", hint="The network or its input is broken.")
    flat = array.reshape(len(array), -1).astype(np.float64)
    size = float((flat**2).sum())
    flat -= flat.mean(axis=0)
    gram: Floats = flat @ flat.T
    # What is left of a layer that gives the same for every sample is rounding, no structure.
    return gram if gram.trace() > 1e-20 * size else np.zeros_like(gram)


def alignment(first: Floats, second: Floats) -> float:
    """Return the alignment of two centred Gram matrices of the same samples.

    A layer that gives the same for every sample aligns with nothing: 0.

    Raises:
        DataError: not equally many samples.
    """
    if first.shape != second.shape:
        raise DataError(
            f"layers of {len(first)} and {len(second)} samples",
            hint="Both layers must see the same samples.",
        )
    norms = float(np.linalg.norm(first) * np.linalg.norm(second))
    if norms == 0.0:
        return 0.0
    return min(1.0, max(0.0, float((first * second).sum()) / norms))
