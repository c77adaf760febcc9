"""A network to export, and all that is known of it: inputs, data, weights, descent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgekd.data.split import Dataset
from edgekd.errors import ExportError
from edgekd.export.embed import Embedded
from edgekd.export.parity import Floats, HeldOut
from edgekd.export.ports import INPUT, Arrays, Port
from edgekd.export.samples import Samples
from edgekd.models.count import macs, parameters
from edgekd.models.modes import evaluating
from edgekd.models.parts import Part
from edgekd.quantize.calibration import CalibrationPlan, calibration_part, check_finite, record_of
from edgekd.recipe import Recipe
from edgekd.records import Calibration, FileRecord, ModelFacts, Preprocess
from edgekd.rundir import Run

#: The split that a file is held against: training only used it to choose the epoch.
SPLIT = "validation"


@dataclass(frozen=True, eq=False)
class Source:
    """A network and all that is known of it.

    Attributes:
        model: the network.
        name: its name in the zoo, its import path, or its class.
        ports: its inputs.
        home: where its artifacts go unless the user says otherwise.
        dataset: the data, or None where no recipe names it.
        samples: the user's own samples, where no recipe names data.
        embedded: normalisation is a part of the network, which then takes raw samples.
        weights: the hash and size of the file that its weights came from.
        parents: hashes of what it descends from.
        recipe_sha256: the hash of the recipe that it was trained by.
        licence: under which it may be used, where the recipe says so.
        before: what turns samples into its input, where it is a later segment of a network.
        exit: the early exit that it ends at, from 1 on; None: at the network's own end.
        segment: it begins where the exit before it ends.
        run: whose student it is, if it is one.
        reference: what the file is held against, where that is not the network itself.
    """

    model: nn.Module
    name: str
    ports: tuple[Port, ...]
    home: Path
    dataset: Dataset | None = None
    samples: Samples | None = None
    embedded: bool = False
    weights: FileRecord | None = None
    parents: dict[str, str] = field(default_factory=dict)
    recipe_sha256: str | None = None
    licence: str | None = None
    before: Part | None = None
    exit: int | None = None
    segment: bool = False
    run: Run | None = None
    reference: nn.Module | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample of the first input, channels first."""
        return self.ports[0].shape

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in label order."""
        return () if self.dataset is None else self.dataset.classes

    @property
    def preprocess(self) -> Preprocess:
        """How raw samples become network input; a later segment takes no samples."""
        if self.dataset is None or self.before is not None or self.embedded:
            return Preprocess()
        return self.dataset.preprocess

    def embed_preprocess(self, *, uint8: bool) -> Source:
        """Return the same with normalisation, and softmax, as a part of the network.

        Args:
            uint8: the network is to take raw samples as uint8, not as float32.

        Raises:
            ExportError: nothing says how samples are normalised.
        """
        if self.dataset is None or self.before is not None:
            raise ExportError(
                "--embed-preprocess: nothing says how raw samples become this network's input",
                hint="Export a run, or give --recipe; a later segment takes no samples.",
            )
        shape = self.dataset.inputs[self.dataset.input].sample_shape
        dtype = "uint8" if uint8 else "float32"
        model = Embedded(self.model, self.dataset, shape)
        port = Port(INPUT, shape, dtype, 0, 255)
        held = self.reference
        reference = None if held is None else Embedded(held, self.dataset, shape)
        return replace(self, model=model, reference=reference, ports=(port,), embedded=True)

    def fed(self, inputs: Floats) -> Floats:
        """Return the source's own input for input of the whole network."""
        if self.before is None:
            return inputs
        with evaluating(self.before), torch.no_grad():
            found: Floats = self.before(torch.from_numpy(inputs)).numpy()
        return found

    def facts(self) -> ModelFacts:
        """Count parameters and multiply-accumulates."""
        plain = len(self.ports) == 1 and (self.embedded or self.ports[0].dtype == "float32")
        return ModelFacts(
            name=self.name,
            parameters=parameters(self.model),
            macs=macs(self.model, self.input_shape) if plain else None,
            size_bytes=None if self.weights is None else self.weights.size_bytes,
            sha256=None if self.weights is None else self.weights.sha256,
        )

    def held_out(self, samples: int, seed: int) -> HeldOut:
        """Return samples to hold a file against: of the validation split, or random ones.

        Args:
            samples: take at most this many, drawn with the seed.
            seed: decides which.
        """
        generator = np.random.default_rng(seed)
        if self.dataset is not None:
            part = self.dataset.splits[SPLIT]
            chosen = _drawn(len(part), samples, generator)
            ids = tuple(part.ids[index] for index in chosen)
            return HeldOut(self._of_data(SPLIT, chosen), ids, part.targets[chosen], SPLIT)
        if self.samples is not None:
            return self.samples.held_out(samples, seed)
        if self.before is None:
            made = {port.name: port.made_up(samples, generator) for port in self.ports}
        else:
            shape = (samples, *self.before.input_shape)
            made = {INPUT: self.fed(generator.standard_normal(shape, dtype=np.float32))}
        ids = tuple(f"random/{index:04d}" for index in range(samples))
        return HeldOut(made, ids, None, "random")

    def calibration(self, plan: CalibrationPlan, seed: int) -> tuple[Arrays, Calibration]:
        """Return samples that set the ranges of activations, and which they are.

        Args:
            plan: how many at most, drawn with the seed.
            seed: decides which.

        Raises:
            DataError: there are none, or one is not finite.
            ExportError: there is no data.
        """
        if self.dataset is not None:
            chosen, ids = calibration_part(self.dataset, plan, seed)
            found: Arrays = self._of_data("calibration", chosen)
            split = "calibration"
        elif self.samples is not None:
            found, ids = self.samples.calibration(plan.samples, seed)
            split = "samples"
        else:
            raise ExportError(
                "int8 needs data to set the ranges of activations, and no recipe names any",
                hint="Give --recipe recipe.toml or --samples samples.npz. "
                "Without data: --quantize fp16.",
            )
        for name, values in found.items():
            check_finite(values, ids, name)
        return found, record_of(plan, ids, split, seed)

    def _of_data(self, split: str, chosen: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        if self.dataset is None:  # the callers have looked
            return {}
        if self.embedded:
            raw = self.dataset.raw(split, chosen)
            return {INPUT: raw if self.ports[0].dtype == "uint8" else raw.astype(np.float32)}
        return {INPUT: self.fed(self.dataset.normalised(split, chosen))}


def _drawn(total: int, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    if total <= count:
        return np.arange(total)
    return np.sort(generator.choice(total, count, replace=False))


@dataclass(frozen=True)
class Wanted:
    """What the user said of a source, beside its name.

    Attributes:
        recipe: gives data, and the architecture of a checkpoint.
        ports: its inputs, where no recipe gives them.
        samples: samples of its inputs, where no recipe gives data.
        seed: of a factory's random weights.
    """

    recipe: Recipe | None = None
    ports: tuple[Port, ...] = ()
    samples: Samples | None = None
    seed: int = 0
