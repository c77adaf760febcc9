"""How well classes can be told apart by outputs that do not stand for classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.neighbors import KNeighborsClassifier

from edgekd.metrics.classification import Scores

#: Neighbours that vote, as in Caron et al. 2021, https://arxiv.org/abs/2104.14294
NEIGHBOURS = 20


def knn_accuracy(
    outputs: Scores,
    labels: npt.NDArray[np.integer],
    held_out: Scores,
    targets: npt.NDArray[np.integer],
    *,
    neighbours: int = NEIGHBOURS,
) -> float:
    """Return the fraction of held-out samples that their nearest neighbours name rightly.

    Neighbours are the nearest by Euclidean distance between outputs that are centred and scaled to
    length 1, and vote alike. Labels are used here and nowhere else.

    Args:
        outputs: (N, D) of the samples whose labels vote.
        labels: (N,) class indices; -1: no label, no vote.
        held_out: (M, D) of the samples to name.
        targets: (M,) their class indices.
        neighbours: how many vote, at most N.

    Returns:
        a fraction; 0 where nobody has a label.
    """
    known = labels >= 0
    if not known.any():
        return 0.0
    mean = outputs[known].mean(axis=0)
    votes = KNeighborsClassifier(min(neighbours, int(known.sum())))
    votes.fit(_directions(outputs[known] - mean), labels[known])
    return float(np.mean(votes.predict(_directions(held_out - mean)) == targets))


def _directions(values: Scores) -> npt.NDArray[np.floating]:
    length = np.linalg.norm(values, axis=1, keepdims=True)
    found: npt.NDArray[np.floating] = values / np.maximum(length, 1e-12)
    return found


def collapsed(logits: Scores) -> bool:
    """Say whether outputs hardly depend on the sample, or name one class for all.

    >>> collapsed(np.tile([[3.0, 0.0, 1.0]], (4, 1))), collapsed(np.eye(3))
    (True, False)

    Args:
        logits: (N, C).
    """
    relative = logits - logits.mean(axis=1, keepdims=True)  # softmax sees no more of them
    size = float(np.sqrt(np.mean(np.square(relative))))
    constant = float(relative.std(axis=0).max()) < 0.01 * max(1.0, size)
    return constant or len(np.unique(relative.argmax(axis=1))) == 1
