"""The records of networks: how to build them, how large they are, what they reached and used.

Units: bytes, seconds, kilowatt-hours, kilograms of CO2e; fractions between 0 and 1.
"""

from __future__ import annotations

from typing import Any, Literal

from edgekd.recordbase import Fraction, Record, Sha256


class Preprocess(Record):
    """How raw samples become network input: ``(transforms(raw * scale) - mean[c]) / std[c]``.

    ``c`` runs over the first axis of a sample. One value in ``mean`` and ``std`` holds for all.
    ``transforms`` are rows of the table of transforms with their options, in order.
    """

    transforms: tuple[dict[str, Any], ...] = ()
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


class ModelFacts(Record):
    """What is known of a network without running it.

    ``macs``: multiply-accumulate operations of one sample (convolutions and matrix products).
    ``int8_bytes``: the estimated size of an int8 TFLite file.
    ``parameters`` is None for a teacher that is a model file or a file of answers.
    """

    name: str
    parameters: int | None = None
    macs: int | None = None
    size_bytes: int | None = None
    int8_bytes: int | None = None
    sha256: Sha256 | None = None


class ExitHeads(Record):
    """The early exits of a network: ``at`` are the modules before them, ``head`` their kind."""

    at: tuple[str, ...]
    head: Literal["linear", "conv"] = "linear"


class Network(Record):
    """How to build a network of a run again, and what it takes.

    ``input`` names the data's input that it sees, ``sample_shape`` and ``preprocess`` what that
    becomes for it, ``num_classes`` the number of its outputs, ``exits`` its early exits.
    ``pruned``: what the network was before it was pruned; the shapes in its file of weights say
    what is left.
    """

    model: str
    options: dict[str, Any] = {}
    num_classes: int
    sample_shape: tuple[int, ...]
    input: str = "input"
    preprocess: Preprocess = Preprocess()
    exits: ExitHeads | None = None
    pruned: ModelFacts | None = None


class Score(Record):
    """What one trained network reached. Fractions of the split named.

    ``test_agreement`` is with the teachers; of a peer, or of a teacher that followed the student,
    with the student. ``knn_accuracy`` is of nearest neighbours by the outputs on the test split,
    where no label was learned from: top-1 accuracy says nothing there.
    """

    seed: int
    epochs: int
    validation_accuracy: Fraction
    test_accuracy: Fraction
    test_agreement: Fraction | None = None
    knn_accuracy: Fraction | None = None
    train_seconds: float | None = None


class Energy(Record):
    """What one training used, measured or estimated: kilowatt-hours (1 kWh is 3.6 MJ), seconds.

    ``parts`` are ``cpu``, ``gpu`` and ``ram``; ``methods`` says how each is known. ``co2e_kg`` is
    ``kwh`` times the mean carbon intensity of ``country``, or of the world where that is None.
    ``students``: how many share a teacher's energy so far, those of the run among them.
    """

    phase: str
    name: str
    seed: int
    seconds: float
    kwh: float
    parts: dict[str, float] = {}
    methods: dict[str, str] = {}
    co2e_kg: float
    country: str | None = None
    students: int | None = None


class Link(Record):
    """What stands between the teachers and the student: an ``assistant`` or a ``generation``.

    ``hears`` names those that an assistant learned from; a generation learned from the one before.
    An assistant has one score; a generation one for each student, in their order.
    """

    name: str
    role: Literal["assistant", "generation"]
    facts: ModelFacts
    hears: tuple[str, ...] = ()
    scores: tuple[Score, ...] = ()
