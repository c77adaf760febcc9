"""A plan: which ways of training are compared, over which seeds, and what is to be reached."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from benchmarks.evidence.places import Places
from edgekd.errors import RecipeError
from edgekd.toml import read_toml

#: What a goal may be about: of the int8 TFLite file, or of that of another target.
What = Literal["int8 accuracy", "int8 gain", "int8 drop", "int8 size"]

#: The arm whose first seed is committed, and which all others are held against.
BEST = "best"

File = Literal["tflite-fp32", "tflite-int8", "onnx-fp32", "onnx-int8"]
FILES: tuple[File, ...] = ("tflite-fp32", "tflite-int8", "onnx-fp32", "onnx-int8")

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Goal(_Table):
    """What is to be reached, by the mean over all seeds (and folds) of the arm ``best``.

    Attributes:
        what: ``int8 accuracy``; ``int8 gain`` over the arm ``over``; ``int8 drop`` below the
            float file; ``int8 size`` in bytes. Accuracies are fractions: 0.03 is 3 points.
        at_least: the least that will do.
        at_most: the most.
        over: an arm.
        file: which file ``int8`` is.
    """

    what: What
    at_least: float | None = None
    at_most: float | None = None
    over: str | None = None
    file: Literal["tflite-int8", "onnx-int8"] = "tflite-int8"


class Arm(_Table):
    """One way of training.

    Attributes:
        name: what tables call it.
        why: what it is there to show, in a few words.
        recipe: another recipe than the plan's: a built-in name, or a path beside the plans.
        set: overrides of the recipe, after those that are common.
        seeds: other seeds than the plan's.
        own_teacher: it means to train another teacher than the arm ``best``.
    """

    name: Name
    why: str = ""
    recipe: str | None = None
    set: tuple[str, ...] = ()
    seeds: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    own_teacher: bool = False


class Fold(_Table):
    """One of several splits of the data, each trained on by every arm; e.g. a speaker left out."""

    name: Name
    set: tuple[str, ...] = Field(min_length=1)


class Job(_Table):
    """One run: an arm, a seed, and a fold where the plan has any."""

    arm: str
    seed: int
    fold: str = ""

    @property
    def key(self) -> str:
        """A name for files.

        >>> Job(arm="kd", seed=1).key, Job(arm="kd", seed=1, fold="theo").key
        ('kd-1', 'kd-theo-1')
        """
        return "-".join(part for part in (self.arm, self.fold, str(self.seed)) if part)

    @property
    def pair(self) -> str:
        """What it shares with the run of another arm that it may be compared with."""
        return f"{self.fold} {self.seed}".strip()


def _goals(value: Any) -> Any:
    return (value,) if isinstance(value, dict) else value


class Plan(_Table):
    """``plans/NAME.toml``.

    Attributes:
        name: that of the file.
        title: the heading of its tables.
        recipe: a recipe of the wheel: the best one, which the arm ``best`` runs.
        goal: one table or several.
        seeds: of the students; all of them share the recipe's teachers.
        reference: a file of ``$EDGEKD_DATA/mlperf_tiny`` that the latency is held against.
        common: overrides of every arm.
        files: what is exported and scored of every run.
        arm: the ways of training, ``best`` among them.
        fold: splits of the data.
    """

    name: Name
    title: str
    recipe: str
    goal: Annotated[tuple[Goal, ...], BeforeValidator(_goals)] = ()
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0, 1, 2)
    reference: str | None = None
    common: tuple[str, ...] = ()
    files: tuple[File, ...] = FILES
    arm: Annotated[tuple[Arm, ...], Field(min_length=1)]
    fold: tuple[Fold, ...] = ()

    def jobs(self, *, arm: str | None = None, seed: int | None = None) -> list[Job]:
        """Return the runs, those of the first seed first: a plan cut short compares all arms.

        Args:
            arm: of this arm only.
            seed: of this seed only.
        """
        folds = [fold.name for fold in self.fold] or [""]
        found = [
            Job(arm=one.name, seed=number, fold=fold)
            for one in self.arm
            for number in (self.seeds if one.seeds is None else one.seeds)
            for fold in folds
            if arm in (None, one.name) and seed in (None, number)
        ]
        return sorted(found, key=lambda job: job.seed)

    def arm_of(self, name: str) -> Arm:
        """Return an arm by its name.

        Raises:
            RecipeError: there is none.
        """
        for one in self.arm:
            if one.name == name:
                return one
        known = ", ".join(one.name for one in self.arm)
        raise RecipeError(self.name, [f"no arm {name!r}"], hint=f"Its arms: {known}.")

    def fold_of(self, name: str) -> Fold | None:
        """Return a fold by its name; None for a plan without."""
        return next((one for one in self.fold if one.name == name), None)


def load_plan(name: str, places: Places) -> Plan:
    """Read and check a plan.

    Args:
        name: of a file in the folder of plans, without its suffix; or a path.
        places: where that folder is.

    Raises:
        RecipeError: with every fault found.
    """
    path = Path(name) if name.endswith(".toml") else places.plans / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(places.plan_names()) or "none"
        raise RecipeError(name, ["there is no such plan"], hint=f"Plans: {known}.")
    raw = read_toml(path)
    plan, faults = None, []
    try:
        plan = Plan.model_validate(raw)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
    if plan is not None:
        faults += _contradictions(plan, path)
    if faults or plan is None:
        raise RecipeError(str(path), faults)
    return plan


def _contradictions(plan: Plan, path: Path) -> list[str]:
    """Return what each key by itself does not show."""
    names = [arm.name for arm in plan.arm]
    found = [] if plan.name == path.stem else [f"name: {plan.name!r} is not that of the file"]
    for kind, given in (("arm", names), ("fold", [fold.name for fold in plan.fold])):
        twice = [name for name, count in Counter(given).items() if count > 1]
        found += [f"{kind}: two are called {name!r}" for name in twice]
    keys = Counter(job.key for job in plan.jobs())
    found += [f"two runs would be called {key!r}" for key, count in keys.items() if count > 1]
    if BEST not in names:
        found.append(f"arm: none is called {BEST!r}")
    for number, goal in enumerate(plan.goal):
        found += [f"goal[{number}]: {fault}" for fault in _faults_of(goal, plan, names)]
    best = {job.seed for job in plan.jobs(arm=BEST)}
    for arm in plan.arm:
        if best and not best & {job.seed for job in plan.jobs(arm=arm.name)}:
            found.append(f"arm {arm.name}: shares no seed with {BEST!r}")
    return found


def _faults_of(goal: Goal, plan: Plan, names: list[str]) -> list[str]:
    found = []
    if (goal.at_least is None) == (goal.at_most is None):
        found.append("give one of at_least and at_most")
    if (goal.what == "int8 gain") != (goal.over is not None):
        found.append("over goes with 'int8 gain', and that needs it")
    if goal.over is not None and goal.over not in names:
        found.append(f"there is no arm {goal.over!r}")
    if goal.file not in plan.files:
        found.append(f"{goal.file} is not among the files")
    return found
