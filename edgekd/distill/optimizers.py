"""Optimizers, and which parameters decay."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from edgekd.recipe import TrainSpec


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split what is trainable into matrices, which decay, and vectors, which do not.

    Biases and the scales of normalisation layers are one-dimensional; decaying them pulls the
    scales towards zero and helps nothing (He et al., https://arxiv.org/abs/1812.01187).

    Args:
        module: everything trainable: the student and what losses bring along.
        weight_decay: of the matrices.
    """
    trainable = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def adamw(groups: list[dict[str, Any]], train: TrainSpec) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov & Hutter, https://arxiv.org/abs/1711.05101)."""
    return torch.optim.AdamW(groups, lr=train.learning_rate)


def sgd(groups: list[dict[str, Any]], train: TrainSpec) -> torch.optim.Optimizer:
    """Return SGD with Nesterov momentum."""
    return torch.optim.SGD(
        groups,
        lr=train.learning_rate,
        momentum=train.momentum,
        nesterov=train.momentum > 0,
    )
