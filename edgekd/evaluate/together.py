"""Several teachers that answer new samples together, as the run's ensemble does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.special import log_softmax, logsumexp

from edgekd.data.split import Dataset
from edgekd.evaluate.answers import Answers, Logits


class Together:
    """The weighted mean of several answers; see `edgekd.evaluate.answers.Answers`.

    Shares are fixed: how an ensemble weighs its teachers sample by sample while it teaches, by
    labels or by confidence, is no part of what it answers here.

    Args:
        members: at least one.
        weights: one a member, above 0.
        average: of ``probabilities`` or ``logits``.
        temperature: at which probabilities are averaged.
    """

    live = True

    def __init__(
        self,
        members: Sequence[Answers],
        weights: Sequence[float],
        average: Literal["probabilities", "logits"] = "probabilities",
        temperature: float = 1.0,
    ) -> None:
        """Scale the weights to a sum of 1."""
        self.runtime: str | None = None
        self.notes: tuple[str, ...] = ("all teachers together, with fixed shares",)
        self._members = tuple(members)
        self._shares = np.asarray(weights, dtype=np.float64) / sum(weights)
        self._average = average
        self._temperature = temperature

    def logits(self, dataset: Dataset, split: str) -> Logits:
        """Return logits (N, C) of a split."""
        answers = np.stack([member.logits(dataset, split) for member in self._members])
        shares = self._shares[:, None, None]
        if self._average == "logits":
            mean: Logits = (shares * answers).sum(axis=0)
            return mean
        soft = log_softmax(answers / self._temperature, axis=-1)
        together: Logits = self._temperature * logsumexp(soft, axis=0, b=shares)
        return together
