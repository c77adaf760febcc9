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
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from edgekd import recipe_faults as faults_in
from edgekd.errors import RecipeError
from edgekd.recipe_exits import faults_in_exits, fill_exits
from edgekd.recipe_progressive import AssistantSpec, ChainSpec, StageSpec
from edgekd.recipe_pruning import PruneSpec
from edgekd.recipe_specs import (
    AugmentSpec,
    BenchmarkSpec,
    DataSpec,
    EnergySpec,
    ExportSpec,
    MixSpec,
    QuantizeSpec,
    SplitSpec,
    SynthesisSpec,
    Table,
    TrainSpec,
    UnlabelledSpec,
    as_tuple,
)
from edgekd.recipe_teaching import (
    CacheSpec,
    EnsembleSpec,
    ExitsSpec,
    InputSpec,
    LossSpec,
    ModelSpec,
    PeerSpec,
    StartSpec,
    StudentSpec,
    TeacherSpec,
    TransformSpec,
)
from edgekd.toml import apply_overrides, dump_toml, read_toml

__all__ = [
    "AssistantSpec",
    "AugmentSpec",
    "BenchmarkSpec",
    "CacheSpec",
    "ChainSpec",
    "DataSpec",
    "EnergySpec",
    "EnsembleSpec",
    "ExitsSpec",
    "ExportSpec",
    "InputSpec",
    "LossSpec",
    "MixSpec",
    "ModelSpec",
    "PeerSpec",
    "PruneSpec",
    "QuantizeSpec",
    "Recipe",
    "SplitSpec",
    "StageSpec",
    "StartSpec",
    "StudentSpec",
    "SynthesisSpec",
    "TeacherSpec",
    "TrainSpec",
    "TransformSpec",
    "UnlabelledSpec",
    "builtin_recipes",
    "find_recipe",
]

BUILTIN = Path(__file__).parent / "recipes"


class Recipe(Table):
    """All that decides a run. See the module's docstring and ``docs/recipe.md``."""

    name: Annotated[str, Field(min_length=1)] = "run"
    seed: Annotated[int, Field(ge=0)] = 0
    licence: str | None = None
    data: DataSpec = DataSpec()
    teacher: Annotated[tuple[TeacherSpec, ...], BeforeValidator(as_tuple)] = ()
    peer: Annotated[tuple[PeerSpec, ...], BeforeValidator(as_tuple)] = ()
    ensemble: EnsembleSpec = EnsembleSpec()
    assistant: Annotated[tuple[AssistantSpec, ...], BeforeValidator(as_tuple)] = ()
    chain: ChainSpec = ChainSpec()
    student: StudentSpec
    stage: Annotated[tuple[StageSpec, ...], BeforeValidator(as_tuple)] = ()
    loss: Annotated[tuple[LossSpec, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    train: TrainSpec = TrainSpec()
    synthesis: SynthesisSpec | None = None
    quantize: QuantizeSpec | None = None
    export: Annotated[tuple[ExportSpec, ...], BeforeValidator(as_tuple)] = ()
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
        fill_exits(raw)
        found = list(faults)
        recipe = None
        try:
            recipe = cls.model_validate(raw)
        except ValidationError as error:
            found += faults_in.structure(error, cls, raw)
        found += faults_in.names(raw)
        found += faults_in.sections(raw)
        found += faults_in_exits(raw)
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
    def every_teacher(self) -> tuple[TeacherSpec, ...]:
        """The teachers one by one, as a run numbers them: copies share their table."""
        return tuple(spec for spec in self.teacher for _ in range(spec.copies))

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
