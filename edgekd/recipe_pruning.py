"""``[student.prune]``: the channels that a student loses before it learns."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from edgekd.recipe_specs import Positive, Table, as_tuple


class PruneSpec(Table):
    """``[student.prune]``: channels that the student loses before it learns.

    ``prune = 0.5`` stands for ``prune = {amount = 0.5}``.

    Attributes:
        amount: the share to take out.
        of: the share of ``channels``, or of ``macs``, the network's multiply-accumulates.
        criterion: what tells the channels to take: ``l1``, ``l2``, ``bn`` or ``taylor``.
        scope: the same share of every ``layer``, or the least important ones of the ``network``.
        keep: layers that keep all their channels, with everything below them.
        round_to: what is left of a layer is a multiple of this.
    """

    amount: Annotated[float, Field(gt=0, lt=1)]
    of: Literal["channels", "macs"] = "channels"
    criterion: Literal["l1", "l2", "bn", "taylor"] = "l1"
    scope: Literal["layer", "network"] = "layer"
    keep: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    round_to: Positive = 1


def prune_of(value: Any) -> Any:
    """Let ``prune = 0.5`` stand for ``[student.prune]`` with that amount."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"amount": value} if number else value
