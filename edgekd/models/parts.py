"""Parts of a network: as far as one of its modules, or from there on.

Nothing is rewritten. The network runs as it is, with hooks that hand a value in where the part
begins and keep one where it ends; modules that the part does not need give zeros instead. What is
left of the rest are operations whose result nobody looks at, which converters leave out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.errors import ModelError
from edgekd.models.exits import first
from edgekd.models.modes import evaluating


class Part(nn.Module):
    """A network from behind one module as far as another.

    Args:
        network: the whole network.
        begin: the module whose output the part takes as its input; None: the network's input.
        end: the module whose output the part gives; None: the network's output.
        input_shape: the shape of one sample of the whole network.
    """

    def __init__(
        self,
        network: nn.Module,
        begin: str | None,
        end: str | None,
        input_shape: tuple[int, ...],
    ) -> None:
        """Store the network."""
        super().__init__()
        self.network = network
        self.begin = begin
        self.end = end
        self.input_shape = tuple(input_shape)

    def forward(self, x: Tensor) -> Tensor:
        """Return what ``end`` gives.

        Args:
            x: (N, *input_shape), or what ``begin`` gives.
        """
        handles: list[Any] = []
        kept: list[Tensor] = []
        if self.begin is not None:
            before = self.network.get_submodule(self.begin)
            handles.append(before.register_forward_hook(lambda *_: x))
        if self.end is not None:
            after = self.network.get_submodule(self.end)
            handles.append(after.register_forward_hook(lambda *given: kept.append(first(given[2]))))
        try:
            # Not cut short by an exception: torch.export must see every module end.
            found: Tensor = self.network(self._sample(x))
        finally:
            for handle in handles:
                handle.remove()
        return kept[0] if kept else found

    def _sample(self, x: Tensor) -> Tensor:
        """Return what the network is run on; a part that begins later does not look at it."""
        return x if self.begin is None else x.new_zeros(x.shape[0], *self.input_shape)


def cut(
    network: nn.Module, begin: str | None, end: str | None, *, input_shape: tuple[int, ...]
) -> Part:
    """Cut a part out of a copy of a network.

    Args:
        network: the network.
        begin: see `Part`.
        end: see `Part`.
        input_shape: the shape of one sample of the whole network.

    Returns:
        The part, in eval mode; modules that it does not need are gone from it.

    Raises:
        ModelError: what comes after ``begin`` looks at more than what that module gives.
    """
    part = Part(copy.deepcopy(network), begin, end, input_shape).eval()
    samples = torch.randn(2, *input_shape, generator=torch.Generator().manual_seed(0))
    with evaluating(part), torch.no_grad():
        if begin is not None:
            feature = Part(part.network, None, begin, input_shape)(samples)
            _check_alone(part, feature, Part(part.network, None, end, input_shape)(samples), begin)
        else:
            feature = samples
        return _slim(part, feature)


def _check_alone(part: Part, feature: Tensor, expected: Tensor, begin: str) -> None:
    """Refuse a part that gives something else than the whole network does on other samples.

    The part runs the network on zeros: what goes around ``begin`` comes from them.
    """
    if not torch.allclose(part(feature), expected, rtol=1e-4, atol=1e-5):
        raise ModelError(
            f"the network cannot be cut at {begin!r}: what comes after takes more than its output",
            hint="A connection leads around that layer. Export whole exits: --exit all",
        )


class _Gone(nn.Module):
    """Stands where a module stood whose output nobody looks at."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor, *_: Any) -> Tensor:
        return x.new_zeros(x.shape[0], *self.shape)


def _slim(part: Part, feature: Tensor) -> Part:
    """Return the part without the modules that it does not need, or as it is.

    A network may look inside its modules; then nothing is taken out, and converters leave what is
    not needed out of the file anyway.
    """
    slim = copy.deepcopy(part)
    try:
        _take_out(slim, feature)
        same = torch.equal(slim(feature), part(feature))
    except Exception:  # the user's code meets other modules than it made: anything may happen
        return part
    return slim if same else part


def _take_out(part: Part, feature: Tensor) -> None:
    """Put modules out of use that run before the part begins, after it ends, or never."""
    inside = part.begin is None
    idle: dict[str, tuple[int, ...]] = {}
    needed: set[str] = set()
    awkward: set[str] = set()

    def note(name: str) -> Any:
        def hook(_module: nn.Module, inputs: Any, output: Any) -> None:
            nonlocal inside
            simple = isinstance(output, Tensor) and output.shape[:1] == feature.shape[:1]
            simple = simple and bool(inputs) and isinstance(inputs[0], Tensor)
            if inside:
                needed.add(name)
            elif simple and idle.get(name, output.shape[1:]) == output.shape[1:]:
                idle[name] = tuple(output.shape[1:])
            else:
                awkward.add(name)
            inside = (inside or name == part.begin) and name != part.end

        return hook

    named = {name: module for name, module in part.network.named_modules() if name}
    handles = [module.register_forward_hook(note(name)) for name, module in named.items()]
    part(feature)
    for handle in handles:
        handle.remove()
    _replace(part.network, {n: shape for n, shape in idle.items() if n not in awkward}, needed)
    for name in set(named) - set(idle) - needed - awkward:
        if not any(named[name].children()) and name in dict(part.network.named_modules()):
            # It never runs. Not deleted: whatever is indexed or iterated over keeps its length.
            part.network.set_submodule(name, nn.Identity())


def _replace(network: nn.Module, idle: dict[str, tuple[int, ...]], needed: set[str]) -> None:
    """Put zeros in the place of the outermost idle modules that hold nothing that is needed."""

    def below(name: str, names: Iterable[str]) -> bool:
        return any(other.startswith(f"{name}.") for other in names)

    gone = [name for name in idle if name not in needed and not below(name, needed)]
    for name in gone:
        if not any(below(other, [name]) for other in gone):
            network.set_submodule(name, _Gone(idle[name]))
