"""The tables of a recipe that say when: assistants in a chain, and stages of one training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from edgekd.recipe_specs import Positive, Table, as_tuple
from edgekd.recipe_teaching import CacheSpec, ModelSpec, cache_of

Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]


class AssistantSpec(ModelSpec):
    """``[[assistant]]``: a network between teachers and student: it learns, then it teaches.

    With ``weights`` it is taken as it is, as a teacher would be.

    Attributes:
        name: what losses call it; default: ``assistant-1`` and so on.
        losses: the recipe's terms that it learns by; default: those that capture no layers.
        weight: its share where a network listens to several.
        view: it teaches from the ``same`` view of a sample as its student sees, an ``other``
            random one, or the ``plain`` sample without augmentation.
        train: overrides of ``[train]``.
        cache: compute its answers once and reuse them.
        fold: fold BatchNorm into its convolutions while it teaches.
    """

    name: Annotated[str, Field(min_length=1)] | None = None
    losses: Names = ()
    weight: Annotated[float, Field(gt=0)] = 1.0
    view: Literal["same", "other", "plain"] = "same"
    train: dict[str, Any] = {}
    cache: Annotated[CacheSpec | None, BeforeValidator(cache_of)] = None
    fold: bool = False


class ChainSpec(Table):
    """``[chain]``: how assistants and generations hand on.

    Attributes:
        densely: every network listens to all before it, not to the one before it alone.
        direct: also train each student from the teachers without the chain, to compare.
        cache: compute the answers of each generation once and reuse them.
    """

    densely: bool = False
    direct: bool = False
    cache: Annotated[CacheSpec | None, BeforeValidator(cache_of)] = None


class StageSpec(Table):
    """``[[stage]]``: one part of the student's training; optimizer and schedule start anew.

    Attributes:
        name: in the log and in messages.
        epochs: passes over the training split.
        losses: the recipe's terms that count in it; default: all.
        freeze: modules or parameters of the student that do not learn.
        only: those that learn, and nothing else of the student.
        train: overrides of ``[train]``, e.g. ``learning_rate``.
    """

    name: Annotated[str, Field(min_length=1)]
    epochs: Positive
    losses: Names = ()
    freeze: Names = ()
    only: Names = ()
    train: dict[str, Any] = {}
