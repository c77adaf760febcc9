"""Training samples made from a teacher alone, where its data is not at hand. Experimental.

A method is a function ``f(teacher, sample_shape, classes, spec, seed) -> (inputs, labels)`` that
makes one batch: (N, *sample_shape), normalised as the teacher takes them, and (N,).
"""

from __future__ import annotations

from edgekd.registry import Row, Table

SYNTHESISERS = Table(
    "synthesiser",
    [
        Row(
            "inversion",
            "edgekd.distill.synthesis.inversion:invert",
            "samples optimised until the teacher's BatchNorm statistics fit (Yin et al. 2020)",
            extra="train",
        ),
        Row(
            "generator",
            "edgekd.distill.synthesis.generator:generate",
            "a generator that the teacher is sure of, class by class (DAFL, Chen et al. 2019)",
            extra="train",
        ),
    ],
)
