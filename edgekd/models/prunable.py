"""Which channels of a network hang together, and which of them can be taken out exactly.

G. Fang, X. Ma, M. Song, M. Bi Mi, X. Wang, "DepGraph: Towards Any Structural Pruning", CVPR 2023,
https://arxiv.org/abs/2301.12900: a channel that leaves a layer leaves its normalisation, the
layers that read it, and every layer that a sum ties to it. The package torch-pruning finds these
groups in the graph of a forward pass.

A graph does not see everything: heads of attention, zeros that a shortcut pads, sizes written in
the code. So every group is tried: taking channels out must do what silencing them does, in a copy
with random weights, or the group is left whole.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from edgekd.errors import EdgekdError, ModelError
from edgekd.models.modes import evaluating
from edgekd.registry import load_target

#: Why a group is left whole.
OUTPUT = "gives the network's output"
FIXED = "its size is fixed in the code behind it"
MIXED = "its channels are mixed or regrouped on the way"
IDLE = "it changes nothing in the output"

#: The share of a group that is taken out to try it, and the difference that rounding makes.
_TRIED = 1 / 3
_ROUNDING = 1e-3


@dataclass(frozen=True)
class Member:
    """One tensor axis that loses channels with its group.

    Attributes:
        layer: the name of the module.
        axis: of its weight.
        indices: on that axis.
        channels: of the group's first layer, for each index.
        reads: these are channels that the layer reads, not those that it gives.
    """

    layer: str
    axis: int
    indices: tuple[int, ...]
    channels: tuple[int, ...]
    reads: bool


@dataclass(frozen=True)
class Group:
    """Channels of several layers that can only go together.

    Attributes:
        root: the first layer that gives them.
        channels: how many there are.
        members: all layers with weights that give or read them.
    """

    root: str
    channels: int
    members: tuple[Member, ...]

    @property
    def layers(self) -> list[str]:
        """The layers that give these channels."""
        return [member.layer for member in self.members if not member.reads]


class Graph:
    """The groups of a network.

    Args:
        network: is run once, in evaluation mode, and not changed.
        example: samples as input.

    Raises:
        MissingExtraError: torch-pruning is not installed.
        ModelError: the network cannot be traced.
    """

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        """Trace the network."""
        require()
        self.network = network
        self.example = example
        self._names = {module: name for name, module in network.named_modules()}
        with _tracing(network):
            self._graph = _dependency_graph().build_dependency(
                network, example_inputs=(example,), verbose=False
            )
            found = list(self._graph.get_all_groups())
        self._roots = {self._names[group[0].dep.target.module]: group[0].dep for group in found}
        self.groups = [self._group(group) for group in found]

    def take_out(self, channels: Mapping[str, Sequence[int]]) -> None:
        """Take channels out of the network, in place; the graph is of no use afterwards.

        Args:
            channels: of the first layer of each group, by its name.

        Raises:
            ModelError: the layers do not allow it.
        """
        with _tracing(self.network):
            for root, indices in channels.items():
                if indices:
                    dep = self._roots[root]
                    group = self._graph.get_pruning_group(
                        dep.target.module, dep.handler, list(indices)
                    )
                    group.prune()

    def _group(self, group: Any) -> Group:
        members = tuple(self._member(item) for item in group if self._counts(item.dep))
        return Group(self._names[group[0].dep.target.module], len(group[0].idxs), members)

    def _counts(self, dep: Any) -> bool:
        module = dep.target.module
        return isinstance(module, nn.Module) and isinstance(
            getattr(module, "weight", None), nn.Parameter
        )

    def _member(self, item: Any) -> Member:
        module = item.dep.target.module
        dense = isinstance(module, nn.Linear) or (
            isinstance(module, _ConvNd) and module.groups == 1
        )
        reads = dense and bool(self._graph.is_in_channel_pruning_fn(item.dep.handler))
        # The weight of a transposed convolution has the channels that it reads on the first axis.
        axis = int(dense and reads != isinstance(module, _ConvTransposeNd))
        return Member(
            self._names[module], axis, tuple(item.idxs), tuple(item.root_idxs), reads=reads
        )


def require() -> None:
    """Refuse when torch-pruning is missing.

    Raises:
        MissingExtraError: names the extra.
    """
    _dependency_graph()


def cut(network: nn.Module, example: Tensor, channels: Mapping[str, Sequence[int]]) -> nn.Module:
    """Return a copy of a network without some channels.

    Args:
        network: stays as it is.
        example: samples as input.
        channels: of the first layer of each group, by its name.

    Raises:
        ModelError: the layers do not allow it.
    """
    copied = _learnable(network)
    Graph(copied, example).take_out(channels)
    return copied


def silenced(
    network: nn.Module, groups: Sequence[Group], channels: Mapping[str, Sequence[int]]
) -> nn.Module:
    """Return a copy of a network in which nothing listens to some channels."""
    copied = copy.deepcopy(network)
    with torch.no_grad():
        for group in groups:
            gone = set(channels.get(group.root, ()))
            for member in (member for member in group.members if member.reads):
                pairs = zip(member.indices, member.channels, strict=True)
                indices = torch.tensor([i for i, c in pairs if c in gone], dtype=torch.long)
                weight = copied.get_parameter(f"{member.layer}.weight")
                weight.index_fill_(member.axis, indices, 0.0)
    return copied


def same(one: nn.Module, other: nn.Module, example: Tensor) -> bool:
    """Say whether two networks give the same, but for rounding.

    Raises:
        Exception: whatever a network raises that cannot run.
    """
    ours, theirs = _run(one, example), _run(other, example)
    if ours.shape != theirs.shape:
        return False
    return bool((ours - theirs).abs().max() <= _ROUNDING * theirs.abs().max())


def reasons(graph: Graph) -> dict[str, str]:
    """Try every group of a network; return why some cannot lose channels, by their first layer.

    What comes out depends on the network's layers alone, not on its weights.
    """
    network = _scrambled(graph.network)
    before = _run(network, graph.example)
    found = {}
    for group in graph.groups:
        generator = torch.Generator().manual_seed(group.channels)
        order = torch.randperm(group.channels, generator=generator).tolist()
        gone = {group.root: sorted(order[: max(1, int(_TRIED * group.channels))])}
        reason = _tried(network, graph, gone, before) if group.channels > 1 else FIXED
        if reason is not None:
            found[group.root] = reason
    return found


def _tried(
    network: nn.Module, graph: Graph, gone: Mapping[str, Sequence[int]], before: Tensor
) -> str | None:
    """Take channels out of a copy; return what is wrong with it."""
    expected = _run(silenced(network, graph.groups, gone), graph.example)
    try:
        found = _run(cut(network, graph.example, gone), graph.example)
    except Exception:  # the user's code meets other sizes than it was written for
        return FIXED
    if found.shape != expected.shape:
        return OUTPUT
    scale = _ROUNDING * before.abs().max()
    if not bool((found - expected).abs().max() <= scale):
        return MIXED
    return None if bool((expected - before).abs().max() > scale) else IDLE


def _run(network: nn.Module, example: Tensor) -> Tensor:
    with evaluating(network), torch.no_grad():
        found: Tensor = network(example)
    return found


def _learnable(network: nn.Module) -> nn.Module:
    """Return a copy whose weights all have gradients: the graph is read off them."""
    return copy.deepcopy(network).requires_grad_(True)


def _scrambled(network: nn.Module) -> nn.Module:
    """Return a copy with random weights: none of them zero, and no two channels alike."""
    copied = _learnable(network)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in copied.state_dict().items():
            if not tensor.is_floating_point():
                continue
            if tensor.ndim > 1:
                scale = tensor[0].numel() ** -0.5
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale)
            elif name.endswith(("bias", "running_mean")):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
            else:
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return copied


def _dependency_graph() -> Any:
    kind = load_target("torch_pruning:DependencyGraph", what="student.prune", extra="prune")
    return kind()


@contextmanager
def _tracing(network: nn.Module) -> Iterator[None]:
    """Let torch-pruning look at a network: quietly, its errors mapped, the modes as they were."""
    with evaluating(network), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except EdgekdError:
            raise
        except Exception as error:
            raise ModelError(
                f"{type(network).__name__} cannot be pruned: {type(error).__name__}: {error}",
                hint="Train a smaller network instead: options of its model, e.g. width.",
            ) from error
