"""The matrix: which network, trained on what, through which schemes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.export_matrix import networks, samples
from benchmarks.export_matrix.samples import Arrays, Split
from edgekd.models.build import build

_CONVOLUTIONAL = {"onnx": ("none", "int8"), "tflite": ("none", "int8")}
_ATTENTION = {"onnx": ("none", "int8-dynamic", "int8"), "tflite": ("none", "int8-dynamic", "int8")}


@dataclass(frozen=True)
class Case:
    """A network and what becomes of it.

    Attributes:
        name: in the table.
        network: makes it, with random weights.
        data: gives its samples.
        schemes: by target.
        loss: ``(outputs, batch) -> loss``; None: cross-entropy with the labels.
        epochs: of training.
        rate: of learning.
        free_axis: of its inputs, beside the batch, that ONNX files leave free.
    """

    name: str
    network: Callable[[], nn.Module]
    data: Callable[[], Split]
    schemes: dict[str, tuple[str, ...]]
    loss: Callable[[Any, dict[str, Tensor]], Tensor] | None = None
    epochs: int = 6
    rate: float = 3e-3
    free_axis: int | None = None

    def trained(self) -> tuple[nn.Module, Arrays]:
        """Return the network after a few seconds of training, and the samples to judge it by."""
        torch.manual_seed(0)
        train, judged = self.data()
        network = self.network()
        if self.epochs:
            _fit(network, train, self)
        return network.eval(), judged


def _fit(network: nn.Module, train: Arrays, case: Case) -> None:
    tensors = {name: torch.from_numpy(values) for name, values in train.items()}
    names = [name for name in tensors if name in ("input", "image", "features") or "_" in name]
    optimizer = torch.optim.AdamW(network.parameters(), case.rate)
    total = len(next(iter(tensors.values())))
    network.train()
    for _ in range(case.epochs):
        for rows in torch.randperm(total).split(64):
            batch = {name: values[rows] for name, values in tensors.items()}
            inputs = [batch[name] for name in names]
            by_name = names[0] == "input_ids"
            outputs = (
                network(**dict(zip(names, inputs, strict=True))) if by_name else network(*inputs)
            )
            optimizer.zero_grad()
            (case.loss or _labels)(outputs, batch).backward()
            optimizer.step()


def _labels(outputs: Any, batch: dict[str, Tensor]) -> Tensor:
    return F.cross_entropy(getattr(outputs, "logits", outputs), batch["targets"])


def _same(outputs: Any, batch: dict[str, Tensor]) -> Tensor:
    return F.mse_loss(outputs, batch.get("clean", batch["input"]))


def _next(outputs: Any, batch: dict[str, Tensor]) -> Tensor:
    return F.cross_entropy(
        outputs.logits[:, :-1].flatten(0, 1), batch["input_ids"][:, 1:].flatten()
    )


def _found(outputs: Any, batch: dict[str, Tensor]) -> Tensor:
    """Return the loss of a detector: class and box at the cell of the digit's centre."""
    rows = torch.arange(len(batch["digit"]))
    y, x = ((batch["corner"] + 8) // 4).clamp(max=7).T
    scores = F.cross_entropy(outputs.scores[rows, :, y, x], batch["digit"])
    boxes = outputs.boxes[rows, :2, y, x]
    return scores + F.mse_loss(boxes, batch["corner"] / 16.0)


def _zoo(name: str, shape: tuple[int, ...], **options: Any) -> Callable[[], nn.Module]:
    return lambda: build(name, options, num_classes=10, input_shape=shape)


_IMAGE = (1, 16, 16)

CASES = (
    Case(
        "MobileNetV2",
        _zoo("mobilenetv2", _IMAGE, width=0.35, depth=0.5),
        samples.digits,
        _CONVOLUTIONAL,
    ),
    Case("MobileNetV3", networks.mobilenetv3, lambda: samples.digits(4), _CONVOLUTIONAL),
    Case("ResNet-8", _zoo("resnet8", _IMAGE), samples.digits, _CONVOLUTIONAL, epochs=3),
    Case("ResNet-20", _zoo("resnet20", _IMAGE), samples.digits, _CONVOLUTIONAL),
    Case("ResNet-56", _zoo("resnet56", _IMAGE, width=0.5), samples.digits, _CONVOLUTIONAL),
    Case(
        "EfficientNet-lite", networks.efficientnet_lite, lambda: samples.digits(4), _CONVOLUTIONAL
    ),
    Case("DS-CNN", _zoo("ds-cnn", (1, 49, 10)), samples.spectrograms, _CONVOLUTIONAL),
    Case("Conv1d", _zoo("conv1d", (1, 8000)), samples.waveforms, _CONVOLUTIONAL),
    Case("GRU", _zoo("gru", (16, 16), hidden=48), samples.rows, _CONVOLUTIONAL, epochs=12),
    Case("LSTM", lambda: networks.LSTM(16, 48, 10), samples.rows, _CONVOLUTIONAL, epochs=12),
    # Its patches are a convolution, which int8-dynamic makes slower in onnxruntime: refused.
    Case(
        "ViT",
        _zoo("vit", _IMAGE),
        samples.digits,
        {**_ATTENTION, "onnx": ("none", "int8")},
        epochs=8,
    ),
    Case(
        "BERT",
        lambda: networks.bert(samples.TOKENS),
        samples.sentences,
        _ATTENTION,
        epochs=3,
        rate=1e-3,
        free_axis=1,
    ),
    Case(
        "DistilBERT",
        lambda: networks.distilbert(samples.TOKENS),
        samples.sentences,
        _ATTENTION,
        epochs=3,
        rate=1e-3,
        free_axis=1,
    ),
    Case("autoencoder", networks.autoencoder, samples.vectors, _CONVOLUTIONAL, loss=_same),
    Case("U-Net", networks.UNet, samples.noisy, _CONVOLUTIONAL, loss=_same),
    Case("two inputs", networks.TwoInputs, samples.halves, _CONVOLUTIONAL),
    Case("detector", networks.Detector, samples.placed, _CONVOLUTIONAL, loss=_found),
    Case(
        "GPT-2",
        lambda: networks.gpt2(samples.BYTES),
        samples.characters,
        _ATTENTION,
        loss=_next,
        epochs=3,
    ),
    Case(
        "Llama",
        lambda: networks.llama(samples.BYTES),
        samples.characters,
        _ATTENTION,
        loss=_next,
        epochs=3,
    ),
)
