"""Logits of a network over a whole split."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from edgekd.data.split import Dataset


def predict(
    model: nn.Module, dataset: Dataset, split: str, *, device: torch.device, batch_size: int = 512
) -> np.ndarray:
    """Return the logits of every sample of a split, in the split's order.

    The model runs in eval mode and is handed back in the mode it came in.

    Args:
        model: gives (N, C) logits.
        dataset: where samples come from.
        split: ``validation`` or ``test``.
        device: where the model lives.
        batch_size: samples at once.

    Returns:
        (N, C) float32.
    """
    training = model.training
    model.eval()
    count = len(dataset.splits[split])
    chunks = []
    try:
        with torch.no_grad():
            for start in range(0, count, batch_size):
                indices = np.arange(start, min(start + batch_size, count))
                inputs = torch.from_numpy(dataset.normalised(split, indices)).to(device)
                chunks.append(model(inputs).float().cpu().numpy())
    finally:
        model.train(training)
    return np.concatenate(chunks)
