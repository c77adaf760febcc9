"""Networks as a user would write them, named by import path in the tests."""

from __future__ import annotations

import torch
from torch import nn


def plain() -> nn.Module:
    """States nothing about its input."""
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5))


def with_shape(input_shape: tuple[int, ...] = (3, 2, 2)) -> nn.Module:
    """States the shape of one sample."""
    channels = input_shape[0]
    model = nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )
    model.input_shape = input_shape
    return model


def with_example() -> nn.Module:
    """States an example input."""
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    model.example_inputs = (torch.zeros(1, 6),)
    return model


def for_digits(num_classes: int) -> nn.Module:
    """Needs the number of classes, which a recipe gives."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))


def no_model() -> str:
    """Gives something else."""
    return "model"


def broken() -> nn.Module:
    """Fails."""
    raise ValueError("no weights found")
