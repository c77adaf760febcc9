"""How alike the layers of two networks are, by linear CKA on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.data.split import Dataset
from edgekd.evaluate.answers import NetworkAnswers
from edgekd.metrics.similarity import Floats, alignment, centred_gram
from edgekd.models.layers import block_ends, capturable, without_idle
from edgekd.models.modes import evaluating
from edgekd.records_evaluation import LayerSimilarity

#: Samples of the split that layers are compared on.
SAMPLES = 256

#: Samples that run at once.
_BATCH = 64

#: What the network's own output is called among the layers.
OUTPUT = "output"


def similarity(
    a: str,
    b: str,
    networks: Mapping[str, NetworkAnswers],
    dataset: Dataset,
    split: str,
    *,
    samples: int = SAMPLES,
) -> LayerSimilarity:
    """Compare the ends of blocks, and the outputs, of two networks.

    Args:
        a: the network whose layers are the rows.
        b: the one whose layers are the columns.
        networks: both, by name.
        dataset: as it was loaded.
        split: where samples come from, evenly spread over it.
        samples: how many, at most.

    Raises:
        DataError: a layer gives NaN, or there are fewer than two samples.
    """
    count = len(dataset.splits[split])
    chosen = np.unique(np.linspace(0, count - 1, min(samples, count)).round().astype(np.int64))
    grams = {name: _grams(networks[name], dataset, split, chosen) for name in (a, b)}
    values = tuple(
        tuple(alignment(ours, theirs) for theirs in grams[b].values()) for ours in grams[a].values()
    )
    return LayerSimilarity(
        a=a,
        b=b,
        a_layers=tuple(grams[a]),
        b_layers=tuple(grams[b]),
        values=values,
        samples=len(chosen),
    )


def _grams(
    answers: NetworkAnswers, dataset: Dataset, split: str, indices: np.ndarray
) -> dict[str, Floats]:
    """Return the centred Gram matrix of every chosen layer, in the order they run."""
    model, seen = answers.model, answers.view(dataset)
    example = torch.from_numpy(seen.normalised(split, indices[:2]))
    shapes = capturable(model, example)
    names = block_ends(without_idle(model, shapes))
    kept: dict[str, list[np.ndarray]] = {name: [] for name in (*names, OUTPUT)}

    def keep(name: str, value: Tensor) -> None:
        if name in kept:
            # Copied at once: a residual sum or a ReLU in place writes over it later.
            kept[name].append(value.detach().flatten(1).float().cpu().numpy().copy())

    with evaluating(model), torch.no_grad(), _watched(model, keep):
        for start in range(0, len(indices), _BATCH):
            inputs = seen.normalised(split, indices[start : start + _BATCH])
            found = model(torch.from_numpy(inputs))
            keep(OUTPUT, getattr(found, "logits", found))
    return {name: centred_gram(np.concatenate(chunks)) for name, chunks in kept.items()}


@contextmanager
def _watched(model: nn.Module, keep: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Hand every tensor that a named module gives to ``keep``, for as long as this lasts."""

    def hook(name: str) -> Any:
        def see(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                keep(name, output)
            elif isinstance(output, Sequence):
                for index, value in enumerate(output):
                    if isinstance(value, Tensor):
                        keep(f"{name}[{index}]", value)

        return see

    handles = [
        module.register_forward_hook(hook(name))
        for name, module in model.named_modules()
        if name and name != OUTPUT
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
