"""How good a network is in the middle of its training, with labels to learn from or without."""

from __future__ import annotations

import torch
from torch import nn

from edgekd.data.split import Dataset
from edgekd.distill.checkpoint import Checkpoint
from edgekd.distill.evaluate import predict
from edgekd.distill.job import Job
from edgekd.metrics.classification import accuracy
from edgekd.metrics.neighbours import collapsed, knn_accuracy

#: What the log calls the figure that chooses an epoch where no label was learned from.
KNN = "validation_knn_accuracy"


def validate(job: Job, network: nn.Module, device: torch.device) -> dict[str, float | bool]:
    """Return what a network reaches on the validation split, as the log has it.

    Where it learned from no label, its outputs stand for no classes: then nearest neighbours say
    how well its outputs tell classes apart, and whether they have collapsed is looked at.

    Args:
        job: what is being trained.
        network: to be scored.
        device: where it is.
    """
    part = job.dataset.splits["validation"]
    logits = predict(network, job.dataset, "validation", device=device)
    found: dict[str, float | bool] = {"validation_accuracy": accuracy(logits, part.targets)}
    if job.label_free:
        found[KNN] = knn_of(network, job.dataset, "validation", device)
        found["collapsed"] = collapsed(logits)
    return found


def knn_of(network: nn.Module, dataset: Dataset, split: str, device: torch.device) -> float:
    """Return the nearest-neighbour accuracy of a split by outputs on the training split.

    Args:
        network: gives (N, C) logits.
        dataset: as the network sees it.
        split: ``validation`` or ``test``.
        device: where the network is.
    """
    outputs = predict(network, dataset, "train", device=device)
    held_out = predict(network, dataset, split, device=device)
    labels, targets = dataset.splits["train"].targets, dataset.splits[split].targets
    return knn_accuracy(outputs, labels, held_out, targets)


def best_accuracy(job: Job, state: Checkpoint, device: torch.device) -> float:
    """Return the top-1 accuracy on validation of the weights that were kept.

    Args:
        job: done.
        state: its last checkpoint, which knows, unless neighbours chose the epoch.
        device: where the student is.
    """
    if not job.label_free:
        return state.best_accuracy
    logits = predict(job.student, job.dataset, "validation", device=device)
    return accuracy(logits, job.dataset.splits["validation"].targets)


def chosen_by(found: dict[str, float | bool]) -> float:
    """Return the figure that chooses the epoch to keep."""
    return float(found.get(KNN, found["validation_accuracy"]))
