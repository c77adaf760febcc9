"""Structured pruning: whole channels leave a trained network, which becomes a smaller, dense one.

Channels go in groups that hang together (`edgekd.models.prunable`), the least important first
(`edgekd.models.importance`). H. Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017,
https://arxiv.org/abs/1608.08710, take the same share of every layer and train on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

import torch
from torch import Tensor, nn

from edgekd.errors import ModelError
from edgekd.models.count import macs
from edgekd.models.importance import Criterion, worth
from edgekd.models.prunable import Graph, Group, cut, reasons, same, silenced
from edgekd.models.shrink import shrink

_Choice = Callable[[float], dict[str, list[int]]]

#: Why a group is left whole that the caller names.
KEPT = "is to be kept"

#: Ranked over the whole network, a layer keeps at least this share of its channels.
_LEAST = 0.1

#: Halvings in the search for the share of channels that leaves so many MACs.
_HALVINGS = 8


@dataclass(frozen=True)
class Pruned:
    """What was taken out of a network.

    Attributes:
        left: channels left of how many, by the first layer of every group that can lose some.
        whole: layers that were left whole, and why.
    """

    left: dict[str, tuple[int, int]]
    whole: dict[str, str]


def prune(
    network: nn.Module,
    input_shape: tuple[int, ...],
    *,
    amount: float,
    criterion: Criterion = "l1",
    of: Literal["channels", "macs"] = "channels",
    scope: Literal["layer", "network"] = "layer",
    keep: Sequence[str] = (),
    round_to: int = 1,
) -> Pruned:
    """Take the least important channels out of a network, in place.

    The result is what the network gives with these channels silenced; that is checked. It follows
    from network and arguments alone.

    Args:
        network: trained. For ``taylor`` with the gradients of a loss in its parameters.
        input_shape: the shape of one sample.
        amount: the share to take out.
        criterion: what tells a channel's importance.
        of: ``channels``, or the multiply-accumulates of the network, of which at least ``amount``
            go.
        scope: the same share of every ``layer``, or the least important ones of the whole
            ``network``; at least a tenth of every layer stays then.
        keep: layers whose channels all stay, with everything below them.
        round_to: channels that stay are a multiple of this, or all there are.

    Returns:
        what was taken out and what was left whole.

    Raises:
        MissingExtraError: torch-pruning is not installed.
        ModelError: nothing can be taken out, or not that much; ``keep`` names no layer.
    """
    _check_names(network, keep)
    first = next(network.parameters())
    generator = torch.Generator().manual_seed(0)
    example = torch.randn(2, *input_shape, generator=generator).to(first.device)
    graph = Graph(network, example)
    whole = {**reasons(graph), **_kept(graph.groups, keep)}
    groups = [group for group in graph.groups if group.root not in whole]
    if not groups:
        raise _nothing(network, whole)
    values = {group.root: worth(network, group, criterion) for group in groups}

    def chosen(share: float) -> dict[str, list[int]]:
        return _chosen(values, share, scope=scope, round_to=round_to)

    gone = chosen(amount) if of == "channels" else _by_macs(network, example, chosen, amount)
    if not any(gone.values()):
        raise ModelError(
            f"{amount:.0%} of {of}, the rest rounded to multiples of {round_to}: that is nothing",
            hint="Raise amount or lower round_to.",
        )
    _apply(network, example, groups, gone)
    left = {g.root: (g.channels - len(gone[g.root]), g.channels) for g in groups}
    return Pruned(left, whole)


def _apply(
    network: nn.Module, example: Tensor, groups: Sequence[Group], gone: Mapping[str, Sequence[int]]
) -> None:
    """Take channels out, and see that it did what silencing them does."""
    pruned, expected = cut(network, example, gone), silenced(network, groups, gone)
    shrink(network, pruned.state_dict())
    network.load_state_dict(pruned.state_dict())
    network.zero_grad(set_to_none=True)
    try:
        right = same(network, expected, example)
    except Exception:  # the user's code meets other sizes than it was written for
        right = False
    if not right:
        raise ModelError(
            f"{type(network).__name__} computes something else without these channels: "
            + ", ".join(root for root, indices in gone.items() if indices),
            hint="Leave some of these layers whole: keep = [...].",
        )


def _chosen(
    worth: Mapping[str, Tensor], share: float, *, scope: str, round_to: int
) -> dict[str, list[int]]:
    """Return the least important channels of every group."""
    # Tolerant of rounding: 0.3 of 10 channels are 3.
    count = {root: int(share * len(values) + 1e-9) for root, values in worth.items()}
    if scope == "network":
        count = _ranked(worth, int(share * sum(map(len, worth.values())) + 1e-9))
    found = {}
    for root, values in worth.items():
        stay = math.ceil(max(1, len(values) - count[root]) / round_to) * round_to
        order = torch.argsort(values, stable=True).tolist()
        found[root] = sorted(order[: max(0, len(values) - stay)])
    return found


def _ranked(worth: Mapping[str, Tensor], total: int) -> dict[str, int]:
    """Return how many channels each group loses when all are ranked together."""
    most = {root: len(v) - max(1, math.ceil(_LEAST * len(v))) for root, v in worth.items()}
    count = dict.fromkeys(worth, 0)
    roots = [root for root, values in worth.items() for _ in range(len(values))]
    for place in torch.argsort(torch.cat(list(worth.values())), stable=True).tolist():
        if sum(count.values()) == total:
            break
        if count[roots[place]] < most[roots[place]]:
            count[roots[place]] += 1
    return count


def _by_macs(
    network: nn.Module, example: Tensor, chosen: _Choice, amount: float
) -> dict[str, list[int]]:
    """Return the fewest channels that take so many of the multiply-accumulates with them."""
    shape = tuple(example.shape[1:])
    total = macs(network, shape)
    if total is None:
        raise ModelError(
            "the multiply-accumulates of this network cannot be counted", hint='of = "channels"'
        )
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        left = macs(cut(network, example, chosen(middle)), shape) or 0
        low, high = (low, middle) if left <= (1 - amount) * total else (middle, high)
    if high == 1.0:
        left = macs(cut(network, example, chosen(high)), shape) or 0
        if left > (1 - amount) * total:
            raise ModelError(
                f"at most {1 - left / total:.1%} of the multiply-accumulates can be taken out",
                hint="Lower amount, or keep fewer layers whole.",
            )
    return chosen(high)


def _kept(groups: Sequence[Group], keep: Sequence[str]) -> dict[str, str]:
    """Return the groups that a layer to be kept belongs to."""
    return {
        group.root: KEPT
        for group in groups
        if any(f"{layer}.".startswith(f"{name}.") for name in keep for layer in group.layers)
    }


def _check_names(network: nn.Module, keep: Sequence[str]) -> None:
    known = {name for name, _ in network.named_modules() if name}
    for name in keep:
        if name not in known:
            close = get_close_matches(name, known, n=3, cutoff=0.5)
            raise ModelError(
                f"keep: there is no layer {name!r}",
                hint=f"There are {', '.join(map(repr, close or sorted(known)[:5]))}.",
            )


def _nothing(network: nn.Module, whole: Mapping[str, str]) -> ModelError:
    why = "; ".join(f"{name or 'itself'} {reason}" for name, reason in whole.items())
    return ModelError(
        f"nothing can be taken out of {type(network).__name__}: "
        + (why or "it has neither convolutions nor linear layers behind one another"),
        hint="Train a smaller network instead: options of its model, e.g. width or hidden.",
    )
