"""Files of a network with early exits: as far as one of them, or cut into segments.

A whole exit computes everything up to it from the sample. Segments share that work: each goes on
from what the one before it gives, so that a sample that leaves late was not computed twice.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from edgekd.errors import ExportError
from edgekd.export.ports import INPUT, Port
from edgekd.export.source import Source
from edgekd.models.exits import exits_of, without_exits
from edgekd.models.modes import evaluating
from edgekd.models.parts import Part, cut

#: What a segment gives beside its logits: the input of the next one.
TRUNK = "trunk"


class Segment(nn.Module):
    """A part of a network and the exit at its end.

    Args:
        part: the network up to the exit.
        head: the exit.
    """

    def __init__(self, part: Part, head: nn.Module) -> None:
        """Store both."""
        super().__init__()
        self.part = part
        self.head = head

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return ``logits`` of the exit, and the ``trunk`` that the next segment goes on from."""
        trunk = self.part(x)
        return {"logits": self.head(trunk), TRUNK: trunk}


def suffix(exit: int | None, *, segment: bool) -> str:
    """Return what an artifact's name ends with.

    >>> suffix(None, segment=False), suffix(1, segment=False), suffix(2, segment=True)
    ('', '-exit-1', '-segment-2')
    """
    return "" if exit is None else f"-{'segment' if segment else 'exit'}-{exit}"


def at_exit(source: Source, exit: int | None, *, segment: bool) -> Source:
    """Return a source that ends at an exit.

    Args:
        source: a network, with or without exits.
        exit: counted from 1; the network's own end counts as the last. None: that end.
        segment: begin where the exit before it ends.

    Raises:
        ExportError: there is no such exit, or a segment without a number.
        ModelError: the network cannot be cut there.
    """
    at, network = exits_of(source.model), without_exits(source.model)
    if exit is None and not segment:
        return replace(source, model=network)
    if not at:
        raise ExportError(
            "the network has no early exits", hint="Give the student some: [student.exits]"
        )
    if exit is None or not 1 <= exit <= len(at) + 1:
        raise ExportError(
            f"there is no exit {exit}: the network has {len(at)}, and its own end is "
            f"number {len(at) + 1}"
        )
    end = at[exit - 1] if exit <= len(at) else None
    begin = at[exit - 2] if segment and exit > 1 else None
    if begin is None and end is None:
        return replace(source, model=network)
    shape = source.input_shape
    part = cut(network, begin, end, input_shape=shape)
    before = None if begin is None else cut(network, None, begin, input_shape=shape)
    heads = source.model.get_submodule("exits")
    model: nn.Module = part
    if end is not None:
        head = heads.get_submodule(str(exit - 1))
        model = Segment(part, head) if segment else nn.Sequential(part, head)
    return replace(
        source,
        model=model,
        ports=(Port(INPUT, shape if before is None else _shape(before, shape)),),
        before=before,
        exit=exit if end is not None else None,
        segment=segment,
    )


def _shape(before: Part, shape: tuple[int, ...]) -> tuple[int, ...]:
    with evaluating(before), torch.no_grad():
        return tuple(before(torch.zeros(1, *shape)).shape[1:])
