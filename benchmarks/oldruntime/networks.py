"""One small network for every operator that converters emit.

Weights of different channels differ by up to two orders of magnitude, so that a kernel that reads
one scale where there are many cannot pass by chance.
"""

# ruff: noqa: D102, D107 -- what forward() and __init__() do is said by the class
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

SAMPLES = 8
VOCABULARY = 48
IMAGE = (8, 12, 12)
SEQUENCE = (10, 32)


@dataclass(frozen=True)
class Case:
    """A network and what goes into it.

    Attributes:
        name: of the case.
        make: builds the network, after torch's generator was seeded.
        shapes: of its inputs, without the batch.
        integers: inputs that hold indices below ``VOCABULARY``, by position.
        positive: inputs are drawn from 0.1 to 2 instead of a normal distribution.
    """

    name: str
    make: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...] = (IMAGE,)
    integers: frozenset[int] = field(default_factory=frozenset)
    positive: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """What its inputs are called."""
        return tuple("abcd"[: len(self.shapes)])

    def network(self) -> nn.Module:
        """Return the network, in eval mode, its channels badly scaled."""
        torch.manual_seed(7)
        network = self.make().eval()
        spread(network)
        return network

    def samples(self, seed: int) -> dict[str, NDArray[np.float32] | NDArray[np.int64]]:
        """Return ``SAMPLES`` samples of every input, by name."""
        generator = np.random.default_rng(seed)
        made = {}
        for index, (name, shape) in enumerate(zip(self.names, self.shapes, strict=True)):
            size = (SAMPLES, *shape)
            if index in self.integers:
                made[name] = generator.integers(0, VOCABULARY, size)
            elif self.positive:
                made[name] = generator.uniform(0.1, 2.0, size).astype(np.float32)
            else:
                made[name] = generator.standard_normal(size).astype(np.float32)
        return made


@torch.no_grad()
def spread(network: nn.Module) -> None:
    """Multiply the channels of all weights by 0.03 to 3, in a mixed order."""
    for module in network.modules():
        for name, weight in module.named_parameters(recurse=False):
            if weight.ndim < 2 or isinstance(module, nn.LayerNorm | nn.BatchNorm2d):
                continue
            axis = 1 if isinstance(module, nn.ConvTranspose2d) else 0
            if name == "stack":  # the constant side of a product of matrices
                axis = weight.ndim - 1
            count = weight.shape[axis]
            factors = torch.logspace(-1.5, 0.5, count)[torch.randperm(count)]
            weight.mul_(factors.reshape([-1 if i == axis else 1 for i in range(weight.ndim)]))


class Function(nn.Module):
    """A function of tensors as a network."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
        return self.function(*args, *inputs.values())


class Named(nn.Module):
    """A network called by the names of its inputs, as the converter does."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        return self.network(*(inputs[name] for name in sorted(inputs)))


class ConstantProduct(nn.Module):
    """A product with a stack of constant matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = nn.Parameter(torch.randn(4, 16, 24) / 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.matmul(x, self.stack)


class Recurrent(nn.Module):
    """A recurrent layer, its last output."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.layer = kind(16, 24, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)[0][:, -1]


class Attention(nn.Module):
    """One block of a transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(32), nn.Linear(32, 96), nn.Linear(32, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, d = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(n, t, 3, 4, d // 4).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, d)
        return x + self.out(y)


class Channels(nn.Module):
    """Squeeze and excite with hard-swish, as in MobileNetV3."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.down, self.up = (
            nn.Conv2d(8, 16, 1),
            nn.Conv2d(16, 4, 1),
            nn.Conv2d(4, 16, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.hardswish(self.conv(x))
        return x * F.hardsigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))


def _of(name: str, function: Callable[..., torch.Tensor], *shapes: tuple[int, ...]) -> Case:
    return Case(name, lambda: Function(function), shapes or (IMAGE,))


def _layer(name: str, make: Callable[[], nn.Module], *shapes: tuple[int, ...]) -> Case:
    return Case(name, make, shapes or (IMAGE,))


_INDEX = torch.tensor([3, 0, 5])
_FLAT = (32,)

LAYERS = (
    _layer("conv2d", lambda: nn.Conv2d(8, 16, 3, padding=1)),
    _layer("conv2d-relu6", lambda: nn.Sequential(nn.Conv2d(8, 16, 3), nn.ReLU6())),
    _layer("conv2d-1x1-no-bias", lambda: nn.Conv2d(8, 16, 1, bias=False)),
    _layer("conv2d-stride-dilated", lambda: nn.Conv2d(8, 16, 3, dilation=2)),
    _layer("conv2d-grouped", lambda: nn.Conv2d(8, 16, 3, groups=2)),
    _layer("conv1d", lambda: nn.Conv1d(10, 16, 3), SEQUENCE),
    _layer("conv3d", lambda: nn.Conv3d(2, 4, 3), (2, 6, 6, 6)),
    _layer("depthwise", lambda: nn.Conv2d(8, 8, 3, groups=8, padding=1)),
    _layer("depthwise-dilated", lambda: nn.Conv2d(8, 8, 3, groups=8, dilation=2)),
    _layer("depthwise-multiplier", lambda: nn.Conv2d(8, 16, 3, groups=8)),
    _layer("transposed-conv", lambda: nn.ConvTranspose2d(8, 16, 2, stride=2)),
    _layer("transposed-conv-no-bias", lambda: nn.ConvTranspose2d(8, 16, 3, 2, bias=False)),
    _layer("linear", lambda: nn.Linear(32, 24), _FLAT),
    _layer("linear-relu", lambda: nn.Sequential(nn.Linear(32, 24), nn.ReLU()), _FLAT),
    _layer("linear-no-bias", lambda: nn.Linear(32, 24, bias=False), _FLAT),
    _layer("linear-3d", lambda: nn.Linear(32, 24), SEQUENCE),
    _layer("linear-4d", lambda: nn.Linear(12, 24), IMAGE),
    _layer("matmul-constant", ConstantProduct, (4, 10, 16)),
    _of("matmul", torch.matmul, (4, 10, 16), (4, 16, 12)),
    _of("matmul-transposed", lambda a, b: a @ b.mT, (4, 10, 16), (4, 12, 16)),
    Case("embedding", lambda: nn.Embedding(VOCABULARY, 32), ((10,),), frozenset({0})),
    Case(
        "embedding-linear",
        lambda: nn.Sequential(nn.Embedding(VOCABULARY, 32), nn.Linear(32, 24)),
        ((10,),),
        frozenset({0}),
    ),
    _layer("gru", lambda: Recurrent(nn.GRU), (6, 16)),
    _layer("lstm", lambda: Recurrent(nn.LSTM), (6, 16)),
    _layer("attention", Attention, SEQUENCE),
    _layer("squeeze-excite", Channels),
    _layer("layer-norm", lambda: nn.LayerNorm(32), SEQUENCE),
    _layer("group-norm", lambda: nn.GroupNorm(2, 8)),
    _layer("instance-norm", lambda: nn.InstanceNorm2d(8)),
    _layer("prelu", lambda: nn.PReLU(8)),
)

ACTIVATIONS = tuple(
    _of(name, function)
    for name, function in {
        "relu": F.relu,
        "relu6": F.relu6,
        "leaky-relu": F.leaky_relu,
        "elu": F.elu,
        "hard-swish": F.hardswish,
        "hard-sigmoid": F.hardsigmoid,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "silu": F.silu,
        "gelu": F.gelu,
        "gelu-tanh": lambda x: F.gelu(x, approximate="tanh"),
        "softplus": F.softplus,
        "softmax": lambda x: torch.softmax(x, -1),
        "log-softmax": lambda x: torch.log_softmax(x, -1),
        "clamp": lambda x: x.clamp(-0.5, 0.7),
    }.items()
)

UNARY = (
    *(
        Case(name, lambda function=function: Function(function), positive=True)
        for name, function in {"sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "log": torch.log}.items()
    ),
    *(
        _of(name, function)
        for name, function in {
            "abs": torch.abs,
            "neg": torch.neg,
            "exp": torch.exp,
            "square": lambda x: x**2,
            "sin": torch.sin,
            "cos": torch.cos,
            "floor": torch.floor,
            "round": torch.round,
            "sign": torch.sign,
            "cumsum": lambda x: torch.cumsum(x, 1),
            "mean": lambda x: x.mean((2, 3)),
            "average-pool-all": lambda x: F.adaptive_avg_pool2d(x, 1),
            "sum": lambda x: x.sum(-1),
            "max": lambda x: x.amax(-1),
            "min": lambda x: x.amin(-1),
            "argmax": lambda x: x.argmax(1),
            "average-pool": lambda x: F.avg_pool2d(x, 2),
            "max-pool": lambda x: F.max_pool2d(x, 2),
            "pad": lambda x: F.pad(x, (1, 1, 2, 2)),
            "pad-value": lambda x: F.pad(x, (1, 1, 2, 2), value=0.5),
            "pad-reflect": lambda x: F.pad(x, (1, 1, 2, 2), mode="reflect"),
            "transpose": lambda x: x.permute(0, 2, 3, 1),
            "transpose-5d": lambda x: x.reshape(-1, 2, 4, 12, 12).permute(0, 3, 1, 4, 2),
            "transpose-6d": lambda x: x.reshape(-1, 2, 4, 3, 4, 12).permute(0, 3, 1, 5, 4, 2),
            "reshape": lambda x: x.flatten(1) * 1.5,
            "slice": lambda x: x[:, 2:5, ::2],
            "split": lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
            "unbind-stack": lambda x: torch.stack(x.unbind(1)[::-1], 1),
            "gather": lambda x: x[:, _INDEX],
            "index-select": lambda x: x.index_select(3, _INDEX),
            "masked": lambda x: torch.where(x > 0.2, x, x * 0.1),
            "masked-fill": lambda x: x.masked_fill(x < 0, -3.0),
            "roll": lambda x: x.roll(2, 2),
            "flip": lambda x: x.flip(1),
            "repeat": lambda x: x.repeat(1, 2, 1, 1),
            "expand": lambda x: x[:, :1].expand(-1, 4, -1, -1) * 2,
            "pixel-shuffle": lambda x: F.pixel_shuffle(x, 2),
            "pixel-unshuffle": lambda x: F.pixel_unshuffle(x, 2),
            "resize-bilinear": lambda x: F.interpolate(x, scale_factor=2.0, mode="bilinear"),
            "resize-bilinear-corners": lambda x: F.interpolate(
                x, scale_factor=2.0, mode="bilinear", align_corners=True
            ),
            "resize-nearest": lambda x: F.interpolate(x, scale_factor=2.0),
            "topk": lambda x: x.flatten(1).topk(5)[0],
            "multiply-by-constant": lambda x: x * torch.linspace(0.1, 3, 8).reshape(8, 1, 1),
            "normalise": lambda x: F.normalize(x, dim=1),
        }.items()
    ),
)

BINARY = tuple(
    _of(name, function, IMAGE, (8, 1, 1) if name.endswith("-broadcast") else IMAGE)
    for name, function in {
        "add": torch.add,
        "add-broadcast": torch.add,
        "sub": torch.sub,
        "mul": torch.mul,
        "mul-broadcast": torch.mul,
        "div": lambda a, b: a / (b.abs() + 0.5),
        "maximum": torch.maximum,
        "minimum": torch.minimum,
        "concat": lambda a, b: torch.cat([a, b], 1),
        "squared-difference": lambda a, b: (a - b) ** 2,
        "compare": lambda a, b: torch.where(a > b, a, b * 0.5),
        "add-5d": lambda a, b: a.reshape(-1, 2, 4, 12, 12) + b.reshape(-1, 2, 4, 12, 12)[:, :1],
    }.items()
)

CASES = (*LAYERS, *ACTIVATIONS, *UNARY, *BINARY)
