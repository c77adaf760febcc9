"""Networks for small inputs, named as in their papers, and the user's own by import path.

A factory is ``f(*, num_classes, input_shape, **options) -> nn.Module``; `edgekd.models.build`
calls it.
"""

from __future__ import annotations

from edgekd.registry import Row, Table

MODELS = Table(
    "model",
    [
        Row("resnet8", "edgekd.models.resnet:resnet8", "ResNet-8 of MLPerf Tiny", extra="train"),
        Row("resnet20", "edgekd.models.resnet:resnet20", "ResNet-20 for CIFAR", extra="train"),
        Row("resnet56", "edgekd.models.resnet:resnet56", "ResNet-56 for CIFAR", extra="train"),
        Row(
            "wideresnet",
            "edgekd.models.wideresnet:wideresnet",
            "wide residual network, any depth 6n + 4 and width",
            extra="train",
        ),
        Row(
            "mobilenetv2",
            "edgekd.models.mobilenetv2:mobilenetv2",
            "MobileNetV2 with width multiplier",
            extra="train",
        ),
        Row(
            "ds-cnn",
            "edgekd.models.dscnn:dscnn",
            "depthwise separable CNN of keyword spotting",
            extra="train",
        ),
        Row(
            "conv1d",
            "edgekd.models.conv1d:conv1d",
            "one-dimensional convolutions, for waveforms, and for images row by row",
            extra="train",
        ),
        Row(
            "vit",
            "edgekd.models.vit:vit",
            "small vision transformer, the mean of its tokens classified",
            extra="train",
        ),
        Row(
            "gru",
            "edgekd.models.gru:gru",
            "gated recurrent layers, for sequences and for images row by row",
            extra="train",
        ),
        Row("mlp", "edgekd.models.mlp:mlp", "fully connected layers, for vectors", extra="train"),
    ],
)
