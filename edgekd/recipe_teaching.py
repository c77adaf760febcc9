"""The tables of a recipe that say who learns from whom: student, teachers, and the losses."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from edgekd.recipe_specs import OpenTable, Positive, Table, as_tuple, named
from edgekd.schedule import Weight

Values = Annotated[tuple[float, ...], BeforeValidator(as_tuple)]


class TransformSpec(OpenTable):
    """``[[X.input.transforms]]``: one fixed step from the data's samples to a network's input."""

    name: str


class InputSpec(Table):
    """``[student.input]``, ``[teacher.input]``: how a network sees the samples.

    ``input = "waveform"`` stands for ``input = {name = "waveform"}``.

    Attributes:
        name: which of the data's inputs it takes; default: the data's first.
        transforms: what is done to it, in order, e.g. ``["grey"]``; a device has to do it too.
        scale: the factor on raw values; default: the data's.
        mean: of every channel, after scale and transforms; default: that of the training split.
        std: likewise.
    """

    name: str | None = None
    transforms: Annotated[tuple[TransformSpec, ...], BeforeValidator(named)] = ()
    scale: Annotated[float, Field(gt=0)] | None = None
    mean: Values | None = None
    std: Values | None = None


def _input(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class CacheSpec(Table):
    """``[teacher.cache]``, or ``cache = true``: the teacher's answers are computed once.

    Attributes:
        views: augmented views of each sample; epoch e shows view e modulo this number.
        precision: of what is stored.
        top_k: keep only the k largest probabilities; 0 keeps all logits.
    """

    views: Positive = 8
    precision: Literal["fp16", "fp32"] = "fp16"
    top_k: Annotated[int, Field(ge=0)] = 0


def _cache(value: Any) -> Any:
    """Let ``cache = true`` stand for an empty ``[teacher.cache]``."""
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


class ModelSpec(OpenTable):
    """``[student]``: a network. Options go to its factory.

    Attributes:
        model: a name of the zoo, or an import path.
        weights: safetensors or a state dict to start from.
        input: how it sees the samples.
    """

    model: str
    weights: str | None = None
    input: Annotated[InputSpec, BeforeValidator(_input)] = InputSpec()


class TeacherSpec(ModelSpec):
    """``[[teacher]]``: a network that teaches.

    Attributes:
        name: what losses call it; default: its model's name, numbered where it stands twice.
        copies: so many networks of this kind, of different seeds.
        weight: its share among several teachers.
        classes: the names of its outputs, in its own order, where that is not the data's.
        gives: ``logits`` or ``probabilities``.
        view: it sees the ``same`` view of a sample as the student, an ``other`` random one, or
            the ``plain`` sample without augmentation.
        train: overrides of ``[train]`` for a teacher that the recipe trains itself.
        cache: compute its answers once and reuse them.
        fold: fold BatchNorm into the convolutions of the frozen teacher while it teaches: faster,
            and equal but for rounding. Only where no loss captures its layers.
    """

    name: Annotated[str, Field(min_length=1)] | None = None
    copies: Positive = 1
    weight: Annotated[float, Field(gt=0)] = 1.0
    classes: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    gives: Literal["logits", "probabilities"] = "logits"
    view: Literal["same", "other", "plain"] = "same"
    train: dict[str, Any] = {}
    cache: Annotated[CacheSpec | None, BeforeValidator(_cache)] = None
    fold: bool = False


class EnsembleSpec(Table):
    """``[ensemble]``: how several teachers become one.

    Attributes:
        average: of ``probabilities`` at ``temperature``, or of ``logits``.
        temperature: where probabilities are averaged; a loss that softens at the same
            temperature sees exactly their mean.
        weigh: ``fixed`` shares; or for each sample by ``confidence`` (low entropy) or
            ``correctness`` (low cross-entropy with the label); or one at ``random`` a batch.
    """

    average: Literal["probabilities", "logits"] = "probabilities"
    temperature: Annotated[float, Field(gt=0)] = 1.0
    weigh: Literal["fixed", "confidence", "correctness", "random"] = "fixed"


class LossSpec(OpenTable):
    """``[[loss]]``: one term of the student's loss. Options go to the loss.

    Attributes:
        name: a row of the table of losses, or an import path.
        weight: what the term is multiplied with; there is no other weighting. A table, e.g.
            ``{schedule = "linear", start = 0.0, end = 1.0}``, changes it while training.
        teacher: the name of the teacher it listens to; default: all of them, as ``[ensemble]``
            says.
    """

    name: str
    weight: Weight = 1.0
    teacher: str | None = None
