"""A data set as a network sees it: which of its inputs, transformed and normalised how."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgekd.data.preprocess import Statistics
from edgekd.data.split import Dataset
from edgekd.errors import DataError, UnknownNameError
from edgekd.records import Network, Preprocess

if TYPE_CHECKING:
    from edgekd.recipe import InputSpec


def seen_by(dataset: Dataset, spec: InputSpec, where: str) -> Dataset:
    """Return the same data as a network with this input sees it.

    Args:
        dataset: as it was loaded.
        spec: what the recipe says of the network's input.
        where: the recipe's key path, e.g. ``student.input``, for messages.

    Raises:
        UnknownNameError: the data has no such input.
        DataError: a transform or the statistics do not fit.
    """
    name = spec.name or next(iter(dataset.inputs))
    if name not in dataset.inputs:
        raise UnknownNameError("input of the data", name, dataset.inputs)
    facts = dataset.inputs[name]
    base = facts.preprocess or Preprocess()
    transforms = tuple(step.model_dump(mode="json") for step in spec.transforms)
    given = {"scale": spec.scale, "mean": spec.mean, "std": spec.std}
    values = {key: value for key, value in given.items() if value is not None}
    if not transforms and not values:
        changed = base
    else:
        known = base.model_copy(update={**values, "transforms": transforms})
        changed = known if {"mean", "std"} <= set(values) else _measured(dataset, name, known)
        changed = changed.model_copy(update=values)
    seen = replace(dataset, input=name, preprocess=changed)
    if transforms:
        shape = seen.prepare().sample_shape
        seen = replace(seen, sample_shape=shape)  # type: ignore[arg-type]
    else:
        seen = replace(seen, sample_shape=facts.sample_shape)
    channels = seen.sample_shape[0]
    if not {len(changed.mean), len(changed.std)} <= {1, channels} or min(changed.std) <= 0.0:
        raise DataError(
            f"{where}: mean and std do not fit samples of {channels} channel(s)",
            hint=f"Give 1 or {channels} values each, and every std above 0.",
        )
    return seen


def as_trained(dataset: Dataset, network: Network) -> Dataset:
    """Return the data as a network was trained to see it."""
    name = network.input if network.input in dataset.inputs else dataset.input
    return replace(
        dataset, input=name, preprocess=network.preprocess, sample_shape=network.sample_shape
    )


def as_raw(dataset: Dataset) -> Dataset:
    """Return the data as a file sees it that normalises the samples itself."""
    facts = dataset.inputs.get(dataset.input)
    shape = dataset.sample_shape if facts is None else facts.sample_shape
    return replace(dataset, preprocess=Preprocess(), sample_shape=shape)


def _measured(dataset: Dataset, name: str, known: Preprocess) -> Preprocess:
    """Return the preprocessing with mean and deviation of the training split."""
    plain = known.model_copy(update={"mean": (0.0,), "std": (1.0,)})
    seen = replace(dataset, input=name, preprocess=plain)
    part = seen.splits["train"]
    statistics: Statistics | None = None
    for indices in part.batches():
        values = seen.normalised("train", indices)
        statistics = statistics or Statistics(values.shape[1])
        statistics.add(np.asarray(values))
    if statistics is None:
        return plain
    found = statistics.preprocess(1.0)
    return known.model_copy(update={"mean": found.mean, "std": found.std})
