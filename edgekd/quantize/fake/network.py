"""A network with fake quantization: it computes in float32 what its int8 file will compute."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from edgekd.errors import ModelError
from edgekd.models.modes import evaluating
from edgekd.quantize.fake.calls import CHANNEL_AXIS, calls_of, counted, name_of
from edgekd.quantize.fake.equalize import equalize as equalized
from edgekd.quantize.fake.fold import fold
from edgekd.quantize.fake.rounding import round_activation, round_weight

_Action = Literal["round", "observe", "nothing"]

#: Share of the newest batch in a range that follows the training.
_MOMENTUM = 0.05


class FakeQuantized(nn.Module):
    """A copy of a network, BatchNorm folded, whose weights and activations lie on int8 grids.

    Layers keep their names. Ranges of activations are buffers, so that checkpoints, averages and
    files hold them: number 0 is the input's, the others are those of ``names``, in the order of
    the forward pass. They begin with `calibrate`, follow the training as moving averages (that
    of what the network gives only widens), and stand still in its last part.

    Args:
        network: stays as it is.
        example: (N, *sample_shape) of network input, on the network's device.
        per_channel: convolutions have a scale for each output channel; linear layers have one
            for all in any case, as files for older runtimes need it.
        freeze: fraction of the training, at its end, in which ranges stand still.
        equalize: make channels between layers alike in size first; see
            `edgekd.quantize.fake.equalize`.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self,
        network: nn.Module,
        example: Tensor,
        *,
        per_channel: bool = True,
        freeze: float = 0.3,
        equalize: bool = True,
    ) -> None:
        """Copy, fold, and find out which results are rounded."""
        super().__init__()
        self.network = copy.deepcopy(network).eval()
        self.folded = fold(self.network, example)
        self.pairs = equalized(self.network, example) if equalize else 0
        self.per_channel = per_channel
        self.freeze = freeze
        self.progress = 0.0
        calls = calls_of(self.network, example)
        self.calls = tuple(call.name for call in calls)
        rounded = [index for index, call in enumerate(calls) if call.rounded]
        self.slots = {index: slot for slot, index in enumerate(rounded, start=1)}
        self.names = ("input", *(f"{index:03d}-{calls[index].name}" for index in rounded))
        # What nobody takes is given by the file: two classes cut off at one value would be equal.
        self.given = {slot for index, slot in self.slots.items() if not calls[index].users}
        self.weighted = tuple(
            call.name in CHANNEL_AXIS and call.before is not None for call in calls
        )
        for name in ("low", "high"):
            self.register_buffer(name, torch.zeros(len(self.names), device=example.device))
        self._action: _Action = "round"

    def train(self, mode: bool = True) -> FakeQuantized:
        """Switch to training, but for every BatchNorm that could not be folded."""
        super().train(mode)
        for module in self.network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.training = False
        return self

    def set_progress(self, progress: float) -> None:
        """Say how far the training is, from 0 to 1: in the last part ranges stand still."""
        self.progress = progress

    def forward(self, inputs: Tensor) -> Any:
        """Return what the network gives, as an int8 file would.

        Raises:
            ModelError: the forward pass takes another way than it did for the example.
        """
        given, mode = self.activation(0, inputs), _Rounding(self)
        with mode:
            found = self.network(given)
        if mode.done != len(self.calls):
            raise _other_way(f"{mode.done} computations instead of {len(self.calls)}")
        return found

    def activation(self, slot: int, values: Tensor) -> Tensor:
        """Return a result as a file would hold it; before that, let its range follow.

        Args:
            slot: the number of its range.
            values: any shape.
        """
        if self._action == "nothing" or not values.is_floating_point():
            return values
        if self._action == "observe":
            self._widen(slot, values)
            return values
        if self.training and self.progress < 1.0 - self.freeze:
            (self._widen if slot in self.given else self._follow)(slot, values)
        return round_activation(values, self.low[slot], self.high[slot])

    def _widen(self, slot: int, values: Tensor) -> None:
        least, most = torch.aminmax(values.detach())
        self.low[slot] = torch.minimum(self.low[slot], least)
        self.high[slot] = torch.maximum(self.high[slot], most)

    def _follow(self, slot: int, values: Tensor) -> None:
        least, most = torch.aminmax(values.detach())
        self.low[slot] += _MOMENTUM * (least - self.low[slot])
        self.high[slot] += _MOMENTUM * (most - self.high[slot])

    def rounds_weight(self, index: int) -> bool:
        """Say whether a call has weights that a file holds in 8 bits."""
        return self._action == "round" and self.weighted[index]

    @contextmanager
    def acting(self, action: _Action) -> Iterator[None]:
        """Do something else than rounding for a while: look at values only, or nothing."""
        before, self._action = self._action, action
        try:
            yield
        finally:
            self._action = before

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Set all ranges to the smallest and largest value of the float network (min-max).

        Args:
            batches: of network input, (N, *sample_shape) each.
        """
        self.low.fill_(torch.inf)
        self.high.fill_(-torch.inf)
        with evaluating(self), torch.no_grad(), self.acting("observe"):
            for batch in batches:
                self(batch)


class _Rounding(TorchFunctionMode):
    """Rounds weights on their way into a call, and results on their way out."""

    def __init__(self, owner: FakeQuantized) -> None:
        super().__init__()
        self._owner = owner
        self.done = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        name, given = name_of(func), dict(kwargs or {})
        known = self._owner.calls
        index = self.done
        if name in CHANNEL_AXIS and index < len(known) and self._owner.rounds_weight(index):
            args, given = self._with_weight(name, list(args), given)
        result = func(*args, **given)
        if not counted(name, result):
            return result
        if index >= len(known) or known[index] != name:
            raise _other_way(f"computation {index + 1} is {name!r}")
        self.done += 1
        slot = self._owner.slots.get(index)
        return result if slot is None else self._owner.activation(slot, result)

    def _with_weight(
        self, name: str, args: list[Any], kwargs: dict[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        per_channel = self._owner.per_channel and name != "linear"
        axis = CHANNEL_AXIS[name] if per_channel else None
        if "weight" in kwargs:
            return args, {**kwargs, "weight": round_weight(kwargs["weight"], axis)}
        args[1] = round_weight(args[1], axis)
        return args, kwargs


def _other_way(what: str) -> ModelError:
    return ModelError(
        f"quantize.qat: the forward pass takes another way than it did at first: {what}",
        hint="A file has one way only. Does the network do something else while training?",
    )
