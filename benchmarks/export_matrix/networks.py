"""Networks that edgekd's own zoo does not have, small, written as their papers describe them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _conv(inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> list[nn.Module]:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [layer, nn.BatchNorm2d(outputs)]


class SqueezeExcite(nn.Module):
    """Weigh channels by what their means say (Hu et al., 2018), gated by hard-sigmoid."""

    def __init__(self, channels: int) -> None:
        """Make the two layers; a quarter of the channels between them."""
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels // 4, 1)
        self.expand = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) of the same."""
        gate = F.hardsigmoid(self.expand(F.relu(self.reduce(F.adaptive_avg_pool2d(x, 1)))))
        return x * gate


class Bottleneck(nn.Module):
    """Widen, filter each channel, perhaps weigh channels, narrow."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, activation: type[nn.Module], squeeze: bool
    ) -> None:
        """Make the layers; four times the channels inside."""
        super().__init__()
        hidden = 4 * inputs
        middle = [SqueezeExcite(hidden)] if squeeze else []
        self.layers = nn.Sequential(
            *_conv(inputs, hidden, 1, 1),
            activation(),
            *_conv(hidden, hidden, 3, stride, groups=hidden),
            activation(),
            *middle,
            *_conv(hidden, outputs, 1, 1),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, ceil(H / stride), ceil(W / stride))."""
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


def mobilenetv3() -> nn.Module:
    """MobileNetV3's parts (Howard et al., 2019): hard-swish and squeeze-excite; 1x32x32 in."""
    return nn.Sequential(
        *_conv(1, 16, 3, 2),
        nn.Hardswish(),
        Bottleneck(16, 16, 2, nn.ReLU, squeeze=True),
        Bottleneck(16, 24, 2, nn.ReLU, squeeze=False),
        Bottleneck(24, 24, 1, nn.Hardswish, squeeze=True),
        Bottleneck(24, 40, 1, nn.Hardswish, squeeze=True),
        *_conv(40, 96, 1, 1),
        nn.Hardswish(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(96, 128),
        nn.Hardswish(),
        nn.Linear(128, 10),
    )


def efficientnet_lite() -> nn.Module:
    """EfficientNet-lite's parts: ReLU6 for swish, no squeeze-excite; 1x32x32 in."""
    return nn.Sequential(
        *_conv(1, 16, 3, 2),
        nn.ReLU6(),
        Bottleneck(16, 16, 1, nn.ReLU6, squeeze=False),
        Bottleneck(16, 24, 2, nn.ReLU6, squeeze=False),
        Bottleneck(24, 24, 1, nn.ReLU6, squeeze=False),
        Bottleneck(24, 48, 2, nn.ReLU6, squeeze=False),
        Bottleneck(48, 48, 1, nn.ReLU6, squeeze=False),
        *_conv(48, 128, 1, 1),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(128, 10),
    )


class LSTM(nn.Module):
    """One recurrent layer and a classifier on its last state; (N, L, D) in."""

    def __init__(self, inputs: int, hidden: int, classes: int) -> None:
        """Make the layers."""
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True)
        self.linear = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, classes)."""
        logits: Tensor = self.linear(self.lstm(x)[0][:, -1])
        return logits


def autoencoder(inputs: int = 64) -> nn.Module:
    """Fully connected, as MLPerf Tiny's for anomalies: a vector in, the same vector out."""
    widths = (inputs, 96, 96, 8, 96, 96)
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], inputs))


class UNet(nn.Module):
    """Two levels down, two up by transposed convolutions, with shortcuts; image in, image out."""

    def __init__(self, width: int = 12) -> None:
        """Make the layers."""
        super().__init__()

        def level(inputs: int, outputs: int) -> nn.Module:
            first, second = _conv(inputs, outputs, 3, 1), _conv(outputs, outputs, 3, 1)
            return nn.Sequential(*first, nn.ReLU(), *second, nn.ReLU())

        self.down1 = level(1, width)
        self.down2 = level(width, 2 * width)
        self.bottom = level(2 * width, 4 * width)
        self.widen2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
        self.up2 = level(4 * width, 2 * width)
        self.widen1 = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.up1 = level(2 * width, width)
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 1, H, W) of the same; H and W are multiples of 4."""
        one = self.down1(x)
        two = self.down2(F.max_pool2d(one, 2))
        three = self.bottom(F.max_pool2d(two, 2))
        two = self.up2(torch.cat([self.widen2(three), two], 1))
        one = self.up1(torch.cat([self.widen1(two), one], 1))
        image: Tensor = self.last(one)
        return image


class TwoInputs(nn.Module):
    """An image (N, 1, 16, 16) through convolutions, features (N, 16) beside it."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()
        )
        self.dense = nn.Linear(16, 32)
        self.head = nn.Linear(64, 10)

    def forward(self, image: Tensor, features: Tensor) -> Tensor:
        """Return logits (N, 10)."""
        seen = torch.flatten(F.adaptive_avg_pool2d(self.convolutions(image), 1), 1)
        logits: Tensor = self.head(torch.cat([seen, F.relu(self.dense(features))], 1))
        return logits


@dataclass
class Detections:
    """What a detector gives for every cell: scores (N, 10, H, W) and boxes (N, 4, H, W)."""

    scores: Tensor
    boxes: Tensor
    anchors: Tensor | None = None


class Detector(nn.Module):
    """One stage, two heads, a dataclass of outputs; the third is left out."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.trunk = nn.Sequential(
            *_conv(1, 16, 3, 2), nn.ReLU(), *_conv(16, 32, 3, 2), nn.ReLU(), *_conv(32, 32, 3, 1)
        )
        self.scores = nn.Conv2d(32, 10, 1)
        self.boxes = nn.Conv2d(32, 4, 1)

    def forward(self, image: Tensor) -> Detections:
        """Return detections of (N, 1, 32, 32)."""
        features = F.relu(self.trunk(image))
        return Detections(self.scores(features), torch.sigmoid(self.boxes(features)))


def bert(length: int) -> nn.Module:
    """BERT (Devlin et al., 2019) from a configuration: two layers, 64 features."""
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=1024,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=length,
    )
    return BertForSequenceClassification(config)


def distilbert(length: int) -> nn.Module:
    """DistilBERT (Sanh et al., 2019) from a configuration."""
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    config = DistilBertConfig(
        vocab_size=1024, dim=64, n_layers=2, n_heads=2, hidden_dim=128,
        max_position_embeddings=length,
    )  # fmt: skip
    return DistilBertForSequenceClassification(config)


def gpt2(length: int) -> nn.Module:
    """GPT-2 on bytes, from a configuration: logits of the next byte at every place."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=128, n_positions=length, n_embd=64, n_layer=2, n_head=2,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def llama(length: int) -> nn.Module:
    """Llama on bytes, from a configuration: rotary positions, RMS normalisation, gated layers."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=128, max_position_embeddings=length, hidden_size=64, intermediate_size=128,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config)
