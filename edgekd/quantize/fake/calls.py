"""What a network computes, call by call: where a file has tensors, and which of them are rounded.

A hook on modules would miss ``F.relu(x)`` and ``x + y``. A mode of ``torch.overrides`` sees every
function of PyTorch that a forward pass calls, whatever the modules around it; their names and
order are the same each time, since what is to be exported has one way through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from edgekd.models.modes import evaluating

#: Functions with weights, and the axis of their output channels.
CHANNEL_AXIS = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "linear"), 0),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), 1),
}

#: What converters fuse into the function before it.
_FUSED = ("relu", "relu6", "hardtanh")

#: What only picks and rearranges values that are rounded already.
_TRANSPARENT = frozenset(
    "get getitem detach clone contiguous to float type_as dropout dropout1d dropout2d "
    "alpha_dropout feature_dropout view view_as reshape flatten unflatten permute transpose t "
    "swapaxes movedim squeeze unsqueeze expand expand_as repeat tile chunk split unbind select "
    "narrow roll flip pad max_pool1d max_pool2d max_pool3d adaptive_max_pool1d "
    "adaptive_max_pool2d amax requires_grad_ retain_grad rearrange pixel_shuffle "
    "pixel_unshuffle".split()
)


def name_of(function: Callable[..., Any]) -> str:
    """Return what a function does, without the signs of how it was called.

    >>> import operator
    >>> name_of(torch.relu_), name_of(Tensor.__iadd__), name_of(torch.conv2d)
    ('relu', 'add', 'conv2d')
    """
    name: str = getattr(function, "__name__", "").strip("_")
    return {"iadd": "add", "radd": "add", "imul": "mul", "rmul": "mul"}.get(name, name)


def counted(name: str, result: object) -> bool:
    """Say whether a call computes new real numbers."""
    computes = isinstance(result, Tensor) and result.is_floating_point()
    return computes and name not in _TRANSPARENT


@dataclass
class Call:
    """One counted call of a forward pass.

    Attributes:
        name: of the function.
        tensors: what it was given that is no activation: weights, statistics.
        before: the call that gave its first argument; None: it does not come from the input.
        users: the calls that take its result.
    """

    name: str
    tensors: tuple[Tensor, ...] = ()
    before: Call | None = None
    users: list[Call] = field(default_factory=list)

    @property
    def alone(self) -> Call | None:
        """The one call that takes the result, or None."""
        return self.users[0] if len(self.users) == 1 else None

    @property
    def rounded(self) -> bool:
        """Whether a file holds the result in 8 bits: not what the next call is fused into."""
        if self.before is None:
            return False
        return self.alone is None or self.alone.name not in (*_FUSED, "batch_norm")


class _Recorder(TorchFunctionMode):
    """Notes every counted call, and which calls its arguments come from."""

    def __init__(self, given: Tensor) -> None:
        super().__init__()
        self.calls: list[Call] = []
        # The tensors are kept, so that no two of them ever have one id.
        self._known: dict[int, tuple[Tensor, Call]] = {id(given): (given, Call("input"))}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        given = list(_tensors((*args, *(kwargs or {}).values())))
        sources = [self._known[id(tensor)][1] for tensor in given if id(tensor) in self._known]
        others = tuple(tensor for tensor in given if id(tensor) not in self._known)
        result = func(*args, **(kwargs or {}))
        name = name_of(func)
        if counted(name, result):
            call = Call(name, others, sources[0] if sources else None)
            for source in sources:
                source.users.append(call)
            self.calls.append(call)
            if sources:
                self._known[id(result)] = (result, call)
        elif sources:  # what is rearranged is still of the call that computed it
            self._known.update({id(tensor): (tensor, sources[0]) for tensor in _tensors((result,))})
        return result


def calls_of(network: nn.Module, example: Tensor) -> list[Call]:
    """Return the counted calls of a forward pass in eval mode, in their order.

    Args:
        network: its mode is put back.
        example: (N, *sample_shape).
    """
    given = example.clone()
    recorder = _Recorder(given)
    with evaluating(network), torch.no_grad(), recorder:
        network(given)
    return recorder.calls


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from _tensors(value)
