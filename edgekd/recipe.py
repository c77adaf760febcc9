"""The recipe: TOML in, a frozen and fully checked `Recipe` out.

Every fault is reported at once, each with its key path. A recipe never executes code: models,
losses and data are named by a row of a table or by an import path ``package.module:attribute``.

Some tables are open: ``[data]``, ``[[teacher]]``, ``[student]``, ``[[loss]]`` and
``[[train.augment]]`` hand every key that is not listed here to what they name, e.g.
``temperature`` to the loss ``kd``. Those options are checked against its signature.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from edgekd import recipe_faults as faults_in
from edgekd.errors import RecipeError
from edgekd.schedule import Weight
from edgekd.toml import apply_overrides, dump_toml, read_toml

BUILTIN = Path(__file__).parent / "recipes"

Positive = Annotated[int, Field(gt=0)]
Size = Annotated[float | int, Field(ge=0)]


class Table(BaseModel):
    """A closed table: unknown keys are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class OpenTable(BaseModel):
    """A table that hands its other keys, the options, to what it names."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, strict=True)

    @property
    def options(self) -> dict[str, Any]:
        """The keys that are not fields of the table."""
        return dict(self.model_extra or {})


def _tuple(value: Any) -> Any:
    """TOML has arrays only; strict tuples take no lists."""
    return tuple(value) if isinstance(value, list) else value


class SplitSpec(Table):
    """``[data.split]``: sizes of what is cut out of the training part.

    An integer is a number of samples, a fraction is a fraction of the training part. Parts that
    the source brings itself are not cut. ``train`` keeps only so many of what is left to train
    with, for quick tries and for studies of little data; the rest goes unused.
    """

    train: Size | None = None
    calibration: Size = 128
    validation: Size = 0.1
    test: Size = 0.2
    seed: int = 0


class DataSpec(OpenTable):
    """``[data]``: where samples come from. Options go to the source."""

    source: str = "digits"
    split: SplitSpec = SplitSpec()


class AugmentSpec(OpenTable):
    """``[[train.augment]]``: one random augmentation of training batches."""

    name: str


def _named(value: Any) -> Any:
    """Let ``augment = ["flip"]`` stand for ``[[train.augment]] name = "flip"``."""
    if isinstance(value, list):
        return tuple({"name": item} if isinstance(item, str) else item for item in value)
    return value


class TrainSpec(Table):
    """``[train]``: how networks are trained.

    Attributes:
        epochs: passes over the training split.
        batch_size: samples a step.
        optimizer: ``adamw`` or ``sgd``.
        learning_rate: the peak of the schedule.
        weight_decay: decoupled for AdamW, L2 for SGD; not on biases and normalisation.
        momentum: SGD's momentum (Nesterov); AdamW ignores it.
        schedule: ``cosine``, ``one-cycle`` or ``constant``, a step at a time.
        warmup: fraction of all steps that the learning rate climbs from 0 to its peak.
        label_smoothing: for cross-entropy terms that do not set their own.
        ema: decay of the exponential moving average of the weights; 0 switches it off.
        clip_norm: largest gradient norm over everything trainable; 0 switches it off.
        patience: epochs without a better validation accuracy before stopping; 0: never stop.
        select: keep the weights of the ``best`` epoch on validation, or of the ``last``.
        augment: random augmentations of training batches, in order.
        precision: Lightning Fabric's name, e.g. ``32-true`` or ``bf16-mixed``.
        accelerator: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads of PyTorch; 0 leaves PyTorch's own choice.
        seeds: one student for each; empty: the recipe's ``seed`` alone.
        baseline: also train each student without its teacher, same seed and same budget.
        doctor: ``strict`` stops before the first epoch where the doctor finds a fault, ``warn``
            only says it, ``off`` does not look.
    """

    epochs: Positive = 30
    batch_size: Positive = 128
    optimizer: str = "adamw"
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    schedule: str = "cosine"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    patience: Annotated[int, Field(ge=0)] = 0
    select: Literal["best", "last"] = "best"
    augment: Annotated[tuple[AugmentSpec, ...], BeforeValidator(_named)] = ()
    precision: str = "32-true"
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=0)] = 0
    seeds: Annotated[tuple[int, ...], BeforeValidator(_tuple)] = ()
    baseline: bool = False
    doctor: Literal["strict", "warn", "off"] = "strict"


class ModelSpec(OpenTable):
    """``[student]``: a network. Options go to its factory.

    Attributes:
        model: a name of the zoo, or an import path.
        weights: safetensors or a state dict to start from.
    """

    model: str
    weights: str | None = None


class TeacherSpec(ModelSpec):
    """``[[teacher]]``: a network that teaches.

    Attributes:
        train: overrides of ``[train]`` for a teacher that the recipe trains itself.
    """

    train: dict[str, Any] = {}


class LossSpec(OpenTable):
    """``[[loss]]``: one term of the student's loss. Options go to the loss.

    Attributes:
        name: a row of the table of losses, or an import path.
        weight: what the term is multiplied with; there is no other weighting. A table, e.g.
            ``{schedule = "linear", start = 0.0, end = 1.0}``, changes it while training.
    """

    name: str
    weight: Weight = 1.0


class ExportSpec(Table):
    """``[[export]]``: one file to make."""

    target: str
    quantize: str = "none"


class BenchmarkSpec(Table):
    """``[benchmark]``: where and how files are measured."""

    devices: Annotated[tuple[str, ...], BeforeValidator(_tuple)] = ("cpu",)
    threads: Positive = 1


class Recipe(Table):
    """All that decides a run. See the module's docstring and ``docs/recipe.md``."""

    name: Annotated[str, Field(min_length=1)] = "run"
    seed: Annotated[int, Field(ge=0)] = 0
    data: DataSpec = DataSpec()
    teacher: Annotated[tuple[TeacherSpec, ...], BeforeValidator(_tuple), Field(min_length=1)]
    student: ModelSpec
    loss: Annotated[tuple[LossSpec, ...], BeforeValidator(_tuple), Field(min_length=1)]
    train: TrainSpec = TrainSpec()
    export: Annotated[tuple[ExportSpec, ...], BeforeValidator(_tuple)] = ()
    benchmark: BenchmarkSpec = BenchmarkSpec()
    budget: dict[str, Any] = {}

    @classmethod
    def load(
        cls,
        source: str | Path,
        overrides: Sequence[str] = (),
        *,
        options: bool = False,
    ) -> Recipe:
        """Read, override and check a recipe.

        Args:
            source: a path, or the name of a built-in recipe.
            overrides: ``key.path=value`` each; list items by number, e.g. ``loss.1.weight=0.5``.
            options: also check the open tables' options, which imports what they name.

        Raises:
            RecipeError: with every fault found.
        """
        path = find_recipe(source)
        raw = read_toml(path)
        faults = apply_overrides(raw, overrides)
        return cls.from_dict(raw, source=str(source), options=options, faults=faults)

    @classmethod
    def from_dict(
        cls,
        raw: Mapping[str, Any],
        *,
        source: str = "recipe",
        options: bool = True,
        faults: Sequence[str] = (),
    ) -> Recipe:
        """Check a recipe given as nested dictionaries.

        Args:
            raw: the tables, as TOML gives them.
            source: what to call it in messages.
            options: also check the open tables' options.
            faults: faults found before, to be reported with the others.

        Raises:
            RecipeError: with every fault found.
        """
        raw = copy.deepcopy(dict(raw))
        found = list(faults)
        recipe = None
        try:
            recipe = cls.model_validate(raw)
        except ValidationError as error:
            found += faults_in.structure(error, cls, raw)
        found += faults_in.names(raw)
        found += faults_in.sections(raw)
        if options:
            found += faults_in.options(raw)
        if found or recipe is None:
            raise RecipeError(
                source, list(dict.fromkeys(found)), hint="Every key: edgekd recipes init --stdout"
            )
        return recipe

    def to_toml(self) -> str:
        """Return the resolved recipe, defaults filled in, as TOML text."""
        return dump_toml(self.model_dump(mode="json", exclude_none=True))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the students, the run's own student first."""
        return self.train.seeds or (self.seed,)


def builtin_recipes() -> dict[str, Path]:
    """Return the built-in recipes by name."""
    return {path.stem: path for path in sorted(BUILTIN.glob("*.toml"))}


def find_recipe(source: str | Path) -> Path:
    """Return the file of a recipe.

    Raises:
        RecipeError: there is neither such a file nor a built-in recipe of that name.
    """
    path = Path(source)
    known = builtin_recipes()
    if path.suffix != ".toml" and str(source) in known:
        return known[str(source)]
    if path.is_file():
        return path
    from difflib import get_close_matches

    close = get_close_matches(path.stem, known, n=1)
    names = ", ".join(known)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    raise RecipeError(
        str(source),
        ["there is no such file, and no built-in recipe of that name"],
        hint=f"{hint}Built-in recipes: {names}. Write your own: edgekd recipes init",
    )
