"""One small convolutional network in every format that a teacher can have."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from edgekd.quantize.schemes import INT8, NONE
from tests.export.making import make, prepared_with


def make_teacher(num_classes: int, input_shape: tuple[int, ...], channels: int = 16) -> nn.Module:
    """Take images (N, C, H, W) with even sides, return logits (N, num_classes)."""
    return nn.Sequential(
        nn.Conv2d(input_shape[0], channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * channels, num_classes),
    )


def save_keras(
    path: Path, model: nn.Module, input_shape: Sequence[int], *, softmax: bool = False
) -> Path:
    """Write the same network with the same weights, channels last, as a Keras file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras, about NumPy's next version
        _keras(model, input_shape, softmax=softmax).save(path)
    return path


def _keras(model: nn.Module, input_shape: Sequence[int], *, softmax: bool) -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    channels, height, width = input_shape
    first, second, last = (model[number] for number in (0, 3, 7))  # type: ignore[index]
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((height, width, channels)),
            layers.Conv2D(first.out_channels, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(second.out_channels, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(last.out_features, activation="softmax" if softmax else None),
        ]
    )
    weights = [
        *(first.weight.permute(2, 3, 1, 0), first.bias),
        *(second.weight.permute(2, 3, 1, 0), second.bias),
        *(last.weight.T, last.bias),
    ]
    network.set_weights([tensor.detach().numpy() for tensor in weights])
    return network


def as_file(
    model: nn.Module, samples: np.ndarray, target: str, folder: Path, *, int8: bool = False
) -> Path:
    """Export a network: ``onnx`` or ``tflite``.

    Args:
        model: the network.
        samples: (N, *sample_shape) network inputs; they set the ranges of int8.
        target: the format.
        folder: where to write.
        int8: quantize it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scheme, calibration = (INT8, samples) if int8 else (NONE, None)
    return make(target, prepared_with(model, samples), folder, scheme, calibration).path
