"""The tables of a recipe that say who learns from whom: student, teachers, and the losses."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from edgekd.recipe_pruning import PruneSpec, prune_of
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


def cache_of(value: Any) -> Any:
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


class StartSpec(Table):
    """``[student.start]``, ``[teacher.start]``: weights that a network takes over before it learns.

    ``start = "teacher"`` stands for ``start = {from = "teacher"}``.

    Attributes:
        source: ``from`` in a recipe: a run or a file of weights; of a student also a teacher's
            name (``teacher`` is the first one).
        layers: which layers go into a student of fewer: ``every-second``, ``first``, ``last``,
            ``uniform``; or a table from the student's names to the source's. Default: equal names.
        slice: where the student is narrower, take the leading channels.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    source: Annotated[str, Field(alias="from", min_length=1)] = "teacher"
    layers: Literal["every-second", "first", "last", "uniform"] | dict[str, str] | None = None
    slice: bool = False


def _start(value: Any) -> Any:
    return {"from": value} if isinstance(value, str) else value


class ExitsSpec(Table):
    """``[student.exits]``: classifiers on what the student computes on the way.

    ``exits = ["layer2"]`` stands for ``exits = {at = ["layer2"]}``.

    Attributes:
        at: the modules that have one behind them, in the order they run.
        head: ``linear``: pooling and a linear layer; ``conv``: a separable convolution before it.
    """

    at: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    head: Literal["linear", "conv"] = "linear"


def _exits(value: Any) -> Any:
    return {"at": value} if isinstance(value, str | list | tuple) else value


class StudentSpec(ModelSpec):
    """``[student]``: the network that learns.

    Attributes:
        exits: early exits that it is given.
        start: weights that it takes over from a teacher or from another run.
        prune: channels that it loses, after it has its first weights.
        generations: trained so many times, each taught by the one before; the last is kept.
    """

    exits: Annotated[ExitsSpec | None, BeforeValidator(_exits)] = None
    start: Annotated[StartSpec | None, BeforeValidator(_start)] = None
    prune: Annotated[PruneSpec | None, BeforeValidator(prune_of)] = None
    generations: Positive = 1


class TeacherSpec(ModelSpec):
    """``[[teacher]]``: whoever teaches: one of ``model``, ``file``, ``outputs`` and ``follows``.

    Attributes:
        model: a name of the zoo, or an import path.
        file: a model in a file or folder, of any format that edgekd runs.
        outputs: a file of recorded answers by sample, .npz or .parquet.
        follows: ``student``: the teacher is the moving average of the student, and keeps learning.
        decay: of that average: how much of it stays in a step.
        name: what losses call it; default: its model's name, numbered where it stands twice.
        copies: so many networks of this kind, of different seeds.
        weight: its share among several teachers.
        classes: the names of its outputs, in its own order, where that is not the data's.
        gives: ``logits`` or ``probabilities``.
        view: it sees the ``same`` view of a sample as the student, an ``other`` random one, or
            the ``plain`` sample without augmentation.
        start: weights that a teacher takes over, from a run or a file, before the recipe trains it.
        train: overrides of ``[train]`` for a teacher that the recipe trains itself.
        data: what it is then trained on: the labelled samples that the ``student`` has, or ``all``
            that there are without ``data.split.train`` and ``data.split.labelled``.
        cache: compute its answers once and reuse them.
        fold: fold BatchNorm into the convolutions of the frozen teacher while it teaches: faster,
            and equal but for rounding. Only where no loss captures its layers.
    """

    # What a teacher is may be said in other ways; what takes any network asks for its title.
    model: str | None = None  # type: ignore[assignment]
    file: Annotated[str, Field(min_length=1)] | None = None
    outputs: Annotated[str, Field(min_length=1)] | None = None
    follows: Literal["student"] | None = None
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.99
    name: Annotated[str, Field(min_length=1)] | None = None
    copies: Positive = 1
    weight: Annotated[float, Field(gt=0)] = 1.0
    classes: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    gives: Literal["logits", "probabilities"] = "logits"
    view: Literal["same", "other", "plain"] = "same"
    start: Annotated[StartSpec | None, BeforeValidator(_start)] = None
    train: dict[str, Any] = {}
    data: Literal["student", "all"] = "student"
    cache: Annotated[CacheSpec | None, BeforeValidator(cache_of)] = None
    fold: bool = False

    @property
    def title(self) -> str:
        """What it is, in a word: its model's name, that of its file, or ``mean-teacher``."""
        return self.model or PurePath(self.file or self.outputs or "mean-teacher").name

    @property
    def given(self) -> bool:
        """Whether it comes as it is, so that the recipe does not train it."""
        return any(value is not None for value in (self.weights, self.file, self.outputs))

    @model_validator(mode="after")
    def _one_kind(self) -> TeacherSpec:
        """Hold the keys against the kind of teacher; those at their defaults say nothing."""
        kinds = ("model", "file", "outputs", "follows")
        stands = [kind for kind in kinds if getattr(self, kind) is not None]
        if len(stands) != 1:
            found = " and ".join(stands) or "none"
            raise ValueError(f"a teacher has one of model, file, outputs and follows, not {found}")
        if self.follows is None and self.decay != TeacherSpec.model_fields["decay"].default:
            raise ValueError("decay goes with follows")
        if self.start is not None and self.weights is not None:
            raise ValueError(
                "a teacher with weights is taken as it is, one with start learns on: "
                "leave out one of the two"
            )
        if self.model is not None:
            return self
        if self.follows and self.cache is not None:
            raise ValueError("a teacher that follows the student keeps learning: no cache for it")
        if self.follows and self.fold:
            raise ValueError("a teacher that follows the student keeps learning: it cannot fold")
        plain = TeacherSpec.model_construct()
        fields = [name for name in type(self).model_fields if name not in _TAKES[stands[0]]]
        unfit = [name for name in fields if getattr(self, name) != getattr(plain, name)]
        unfit += list(self.options)
        if unfit:
            raise ValueError(f"{_CALLED[stands[0]]} takes no {', '.join(unfit)}")
        return self


#: What each kind of teacher is called, and which keys it takes; one with a model takes all.
_CALLED = {
    "file": "a teacher that is given as a file",
    "outputs": "a teacher that is given as recorded outputs",
    "follows": "a teacher that follows the student",
}
_TAKES = {
    "file": {"file", "name", "weight", "input", "classes", "gives", "view", "cache"},
    "outputs": {"outputs", "name", "weight", "classes", "view"},
    "follows": {"follows", "decay", "name", "weight", "view"},
}


class PeerSpec(ModelSpec):
    """``[[peer]]``: a network that learns beside the student, each from the other.

    Attributes:
        name: what losses call it; default: its model's name, numbered where it stands twice.
        weight: its share among those that another network listens to; the student's is 1.
        classes: the names of its outputs, in its own order, where that is not the data's.
        gives: ``logits`` or ``probabilities``.
        view: it sees the ``same`` view of a sample as the student, an ``other`` random one, or
            the ``plain`` sample without augmentation.
    """

    name: Annotated[str, Field(min_length=1)] | None = None
    weight: Annotated[float, Field(gt=0)] = 1.0
    classes: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    gives: Literal["logits", "probabilities"] = "logits"
    view: Literal["same", "other", "plain"] = "same"


class EnsembleSpec(Table):
    """``[ensemble]``: how several teachers become one.

    Attributes:
        average: of ``probabilities`` at ``temperature``, or of ``logits``.
        temperature: where probabilities are averaged; a loss that softens at the same
            temperature sees exactly their mean.
        weigh: ``fixed`` shares; or for each sample by ``confidence`` (low entropy) or
            ``correctness`` (low cross-entropy with the label); or one at ``random`` a batch.
        with_self: with peers, whom a network listens to includes the network itself.
    """

    average: Literal["probabilities", "logits"] = "probabilities"
    temperature: Annotated[float, Field(gt=0)] = 1.0
    weigh: Literal["fixed", "confidence", "correctness", "random"] = "fixed"
    with_self: bool = False


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
