"""How large a network will be as an int8 TFLite file, before it is trained or exported.

An estimate: a byte a weight, what a file holds for every channel of a convolution (scales, and the
bias that BatchNorm folds into), and for every operator. A linear layer's bias has four bytes a
value, and again at each step of a recurrent network, which a file holds unrolled: its scale is that
step's. The constants are a least-squares fit to files that edgekd made of the zoo;
``docs/students.md`` states the errors that are left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from edgekd.models.modes import evaluating

#: Bytes of a file that holds nothing.
_FILE = 1000
#: Bytes a channel of a convolution: its scale, its bias, the bias's scale.
_CHANNEL = 13.5
#: Bytes an operator with weights, and any other.
_WITH_WEIGHTS = 265
_OTHER = 105

_WEIGHTED = {"convolution", "addmm", "mm", "linear"}
#: Operators that a LayerNorm becomes.
_LAYER_NORM = 8
#: What leaves no operator behind: memory alone, or fused into the operator before.
_FREE = {
    *("zeros", "empty", "t", "detach", "expand", "_unsafe_view", "clone", "select", "alias"),
    *("native_batch_norm", "relu", "relu_", "hardtanh", "hardtanh_"),
}


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the tensors that operators give, by operator, and the values of their biases."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: Counter[str] = Counter()
        self.biases = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        run: Callable[..., Any] = func
        given = run(*args, **(kwargs or {}))
        name: str = func.overloadpacket.__name__
        several = sum(isinstance(leaf, torch.Tensor) for leaf in tree_leaves(given))
        self.counts[name] += _LAYER_NORM if name == "native_layer_norm" else several
        self.biases += args[0].numel() if name == "addmm" else 0
        return given


def int8_tflite_bytes(model: nn.Module, input_shape: tuple[int, ...]) -> int | None:
    """Estimate the size of a network's int8 TFLite file, in bytes.

    Args:
        model: the network.
        input_shape: the shape of one sample.

    Returns:
        the estimate; None where the network does not run on one sample.
    """
    example = next(model.parameters(), torch.zeros(()))
    sample = torch.zeros(1, *input_shape, device=example.device, dtype=example.dtype)
    operators = _Operators()
    with evaluating(model), torch.no_grad():
        try:
            with operators:
                model(sample)
        except Exception:  # a fact that cannot be had is left open; building has its own check
            return None
    found = operators.counts
    weighted = sum(found[name] for name in _WEIGHTED)
    other = sum(count for name, count in found.items() if name not in _FREE | _WEIGHTED)
    channels = sum(m.out_channels for m in model.modules() if isinstance(m, _ConvNd))
    estimate = (
        _FILE
        + _weights(model)
        + 4 * operators.biases
        + _CHANNEL * channels
        + _WITH_WEIGHTS * weighted
        + _OTHER * other
    )
    return round(estimate)


def _weights(model: nn.Module) -> int:
    """Return the number of weights, without those that are folded and those that are biases."""
    left_out = {
        id(parameter)
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if isinstance(module, _BatchNorm)
        or (isinstance(module, nn.Linear | nn.RNNBase) and name.startswith("bias"))
    }
    return sum(p.numel() for p in model.parameters() if id(p) not in left_out)
