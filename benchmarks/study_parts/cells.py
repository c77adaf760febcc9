"""What the study trains: one network a cell, and in which order.

A network is a teacher, a student of one, or a twin: the student's network that hears labels only.
All take the same number of steps of the same size, however many labels there are, so that few
labels do not mean little training too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Kind = Literal["teacher", "student", "twin"]

#: Who has seen which labels. ``same``: teacher and student the same; ``all``: the teacher all
#: there are; ``unlabelled``: both the same labels, but the student all images, most without one.
Arm = Literal["same", "all", "unlabelled"]

#: Augmentation of training samples, by strength.
AUGMENT: dict[str, dict[str, Any]] = {
    "none": {"augment": []},
    "basic": {"augment": ["crop", "flip"]},
    "strong": {"augment": ["crop", "flip", "erase"], "mix": {"kind": "mixup"}},
}


@dataclass(frozen=True)
class Setting:
    """What all cells have in common.

    Attributes:
        data: ``[data]`` without the split; the path in ``root`` decides nothing.
        labels: what a fraction of the labels is in samples, from few to all.
        passes: over all labelled samples; with fewer of them, as many steps.
        batch_size: of all networks.
        learning_rate: the peak of one cycle, of all networks.
        label_weight: of cross-entropy with the labels; the rest goes to the teacher's answers.
        student: the network of students and twins.
        teachers: the ladder, from small to large.
        temperatures: of the distillation loss.
        validation: samples; they choose nothing, the last weights are kept.
        mean: of the pixels after scaling to 0..1; the same for all, so that any teacher's weights
            suit any part of the data.
        std: likewise.
        precision: of training.
    """

    data: Mapping[str, Any] = field(default_factory=lambda: {"source": "idx"})
    labels: Mapping[str, int] = field(
        default_factory=lambda: {"1%": 590, "10%": 5900, "100%": 59000}
    )
    passes: int = 3
    batch_size: int = 64
    learning_rate: float = 4e-3
    label_weight: float = 0.1
    student: Mapping[str, Any] = field(default_factory=lambda: {"model": "resnet8", "width": 0.5})
    teachers: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: {
            "resnet8": {"model": "resnet8"},
            "resnet20": {"model": "resnet20"},
            "wrn-16-2": {"model": "wideresnet", "depth": 16, "width": 2.0},
        }
    )
    temperatures: Sequence[float] = (1.0, 4.0, 10.0)
    validation: int = 100
    mean: float = 0.286
    std: float = 0.353
    precision: str = "32-true"

    @property
    def all_labels(self) -> str:
        """The name of the largest fraction."""
        return max(self.labels, key=lambda name: self.labels[name])

    @property
    def middle(self) -> tuple[float, str, str]:
        """Temperature, teacher and augmentation of the cell that others differ from."""
        ladder = list(self.teachers)
        temperature = self.temperatures[len(self.temperatures) // 2]
        return temperature, ladder[len(ladder) // 2], "basic"

    def epochs(self, samples: int) -> int:
        """Return the epochs over so many samples that take as many steps as all labels do."""
        steps = self.passes * _batches(self.labels[self.all_labels], self.batch_size)
        return max(1, round(steps / _batches(samples, self.batch_size)))

    @property
    def sha256(self) -> str:
        """What tells rows of this setting from those of another, 12 digits."""
        decides = {**asdict(self), "data": {k: v for k, v in self.data.items() if k != "root"}}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """Return all fields, for the command line of a worker."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Setting:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


def _batches(samples: int, size: int) -> int:
    return -(-samples // size)


@dataclass(frozen=True)
class Cell:
    """One network to train.

    Attributes:
        kind: what it is.
        labels: the fraction of the labels that it has.
        augment: of its training samples.
        seed: of its weights and of the order of samples.
        teacher: the network's name on the ladder: its own, or its teacher's.
        temperature: of the distillation loss.
        arm: who has seen which labels.
    """

    kind: Kind
    labels: str
    augment: str
    seed: int = 0
    teacher: str | None = None
    temperature: float | None = None
    arm: Arm = "same"

    @property
    def name(self) -> str:
        """Tells it from all other cells; a file name."""
        labels = self.labels.replace("%", "pct")
        heat = None if self.temperature is None else f"T{self.temperature:g}"
        arm = None if self.arm == "same" else self.arm
        parts = (self.kind, labels, self.teacher, heat, self.augment, arm, f"seed{self.seed}")
        return "-".join(part for part in parts if part)

    def teacher_cell(self, setting: Setting) -> Cell | None:
        """Return the teacher that a student needs. All its students share it, whatever seed."""
        if self.kind != "student":
            return None
        labels = setting.all_labels if self.arm == "all" else self.labels
        return Cell("teacher", labels, "basic", teacher=self.teacher)

    @property
    def cache(self) -> str | None:
        """What students have in common that learn from the same answers to the same views."""
        if self.kind != "student":
            return None
        return replace(self, seed=0, temperature=None).name

    @property
    def twin(self) -> Cell:
        """The same network, labels, steps, augmentation and seed, without a teacher."""
        return Cell("twin", self.labels, self.augment, self.seed)


def plan(setting: Setting, waves: str = "ABCD") -> list[Cell]:
    """Return the cells in the order of training: what matters most comes first.

    Args:
        setting: of the study.
        waves: of the letters A (one factor at a time, seed 0), B (the same, seed 1), C (the arms
            ``all`` and ``unlabelled``), D (all combinations where labels are few, seed 0), E (one
            factor at a time, seed 2), F (all combinations with all labels, seed 0).
    """
    few = [name for name in setting.labels if name != setting.all_labels]
    makers = {
        "A": lambda: _one_at_a_time(setting, 0),
        "B": lambda: _one_at_a_time(setting, 1),
        "C": lambda: _arms(setting, few, (0, 1)),
        "D": lambda: _combinations(setting, few),
        "E": lambda: _one_at_a_time(setting, 2),
        "F": lambda: _combinations(setting, [setting.all_labels]),
    }
    found: dict[Cell, None] = {}
    for wave in waves:
        for cell in makers[wave]():
            teacher = cell.teacher_cell(setting)
            if teacher is not None:
                found.setdefault(teacher)
                found.setdefault(cell.twin)
            found.setdefault(cell)
    return list(found)


def _one_at_a_time(setting: Setting, seed: int) -> Iterator[Cell]:
    temperature, teacher, augment = setting.middle
    for labels in setting.labels:
        middle = Cell("student", labels, augment, seed, teacher, temperature)
        yield middle
        yield from (replace(middle, temperature=heat) for heat in setting.temperatures)
        yield from (replace(middle, teacher=name) for name in setting.teachers)
        yield from (replace(middle, augment=name) for name in AUGMENT)


def _arms(setting: Setting, few: Sequence[str], seeds: Sequence[int]) -> Iterator[Cell]:
    temperature, teacher, augment = setting.middle
    for labels in few:
        for seed in seeds:
            for arm in ("all", "unlabelled"):
                yield Cell("student", labels, augment, seed, teacher, temperature, arm)


def _combinations(setting: Setting, fractions: Sequence[str]) -> Iterator[Cell]:
    for labels in fractions:
        for teacher in setting.teachers:
            for augment in AUGMENT:
                for heat in setting.temperatures:
                    yield Cell("student", labels, augment, 0, teacher, heat)
