"""Teachers that are given as a model file: loaded, and held against the data before they teach."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from edgekd.data.split import Dataset
from edgekd.errors import ModelError, RunError
from edgekd.models.modes import evaluating
from edgekd.recipe import InputSpec, TeacherSpec
from edgekd.recordfile import read_record
from edgekd.records import ArtifactManifest, Preprocess
from edgekd.registry import load_target
from edgekd.runtimes.kinds import TRANSFORMERS, runtime_of
from edgekd.runtimes.module import FileModule, load_module

#: Samples of the training split that a file is tried on.
_TRIED = 8

#: How far means may be apart, in standard deviations, and deviations in their own size: the
#: statistics of two cuts of one data set differ by less.
_ALIKE = 0.05


@dataclass(frozen=True)
class Filed:
    """A teacher's network out of a file.

    Attributes:
        network: gives a tensor or an object with ``logits``.
        classes: the names of its outputs, in its order; empty: those of the data.
    """

    network: nn.Module
    classes: tuple[str, ...]


def load_filed(spec: TeacherSpec, seen: Dataset, where: str) -> Filed:
    """Load the teacher in ``spec.file``.

    Args:
        spec: its table.
        seen: the data as it sees it.
        where: the key path of its table.

    Raises:
        ModelFileError: the file is missing, damaged or unsupported.
        MissingExtraError: what runs it is not installed.
        ModelError: it does not fit the data, and the recipe does not say how to make it fit.
    """
    path = Path(spec.file or "").expanduser()
    if path.exists() and runtime_of(path) == TRANSFORMERS:
        loader = "edgekd.models.pretrained:load_pretrained"
        found = load_target(loader, what=f"{where}.file {str(path)!r}", extra="transformers")(path)
        _check_preprocess(found.preprocess, seen, spec.input, where)
        return Filed(found.network, _classes(spec, found.classes, found.outputs, seen, where))
    said = _manifest(path)
    names = spec.classes or (said.classes if said else ())
    network: nn.Module = load_module(
        path,
        sample_shape=seen.sample_shape,
        outputs=len(names or seen.classes),
        where=where,
    )
    _check_preprocess(said.preprocess if said else None, seen, spec.input, where)
    return Filed(network, names)


def _classes(
    spec: TeacherSpec, own: tuple[str, ...], outputs: int, seen: Dataset, where: str
) -> tuple[str, ...]:
    names = spec.classes or own
    if len(names or seen.classes) != outputs:
        raise ModelError(
            f"{where}.file {spec.file!r} has {outputs} classes, "
            f"{'the recipe names' if names else 'the data has'} {len(names or seen.classes)}",
            hint=f"Name all of its classes, in its own order: {where}.classes = [...].",
        )
    if not spec.classes and own and not set(seen.classes) <= set(own):
        missing = [name for name in seen.classes if name not in own]
        raise ModelError(
            f"{where}.file {spec.file!r} calls its classes {', '.join(own[:5])}"
            f"{', ...' if len(own) > 5 else ''}: none of them is {missing[0]!r}",
            hint=f"Name its outputs as the data does, in its own order: {where}.classes = [...].",
        )
    return names


def _manifest(path: Path) -> ArtifactManifest | None:
    """Return what edgekd said of a file that it exported itself."""
    try:
        manifest = read_record(path.absolute().parent / "manifest.json", ArtifactManifest)
    except RunError:  # none, or somebody else's
        return None
    return manifest if manifest.file == path.name else None


def _check_preprocess(
    wanted: Preprocess | None, seen: Dataset, declared: InputSpec, where: str
) -> None:
    """Refuse a normalisation that is not the one a file names, unless the recipe declares it.

    Raises:
        ModelError: with the lines to add.
    """
    given = seen.preprocess
    if wanted is None or (declared.mean is not None and declared.std is not None):
        return
    means, stds = np.array(wanted.mean), np.array(wanted.std)
    alike = (
        np.abs(means - np.array(given.mean)) <= _ALIKE * stds,
        np.abs(stds - np.array(given.std)) <= _ALIKE * stds,
    )
    if all(np.all(part) for part in alike):
        return
    lines = f"mean = {list(wanted.mean)}, std = {list(wanted.std)}"
    raise ModelError(
        f"{where}.file was trained with {lines}; "
        f"the data is normalised with mean = {list(given.mean)}, std = {list(given.std)}",
        hint=f"Add {where}.input = {{{lines}}}.",
    )


def check_gives(model: nn.Module, spec: TeacherSpec, seen: Dataset, where: str) -> None:
    """Run a few samples, and refuse outputs that are not what ``gives`` says they are.

    Args:
        model: the network as it stands in the file.
        spec: the teacher's table.
        seen: the data as it sees it.
        where: the key path of its table.

    Raises:
        ModelError: with the line to add.
    """
    count = min(_TRIED, len(seen.splits["train"]))
    inputs = torch.from_numpy(seen.normalised("train", np.arange(count)))
    with evaluating(model), torch.no_grad():
        found = model(inputs)
    tolerance = model.tolerance if isinstance(model, FileModule) else 0.01
    values = getattr(found, "logits", found).numpy()
    refuse_wrong_gives(values, spec.gives, tolerance, f"{where}.file {spec.file!r}", where)


def refuse_wrong_gives(
    values: np.ndarray, gives: str, tolerance: float, what: str, where: str
) -> None:
    """Refuse values (N, K) that are probabilities where logits are meant, and the reverse.

    Raises:
        ModelError: with the line to add.
    """
    if not np.isfinite(values).all():
        raise ModelError(f"{what} gives NaN or infinite values", hint="Look at the file itself.")
    soft = looks_like_probabilities(values, tolerance)
    if soft and gives == "logits":
        raise ModelError(
            f"{what} gives probabilities: every row is >= 0 and sums to 1",
            hint=f'Say so: {where}.gives = "probabilities".',
        )
    if not soft and gives == "probabilities":
        low, total = values.min(), values.sum(-1)
        raise ModelError(
            f"{what} does not give probabilities: values down to {low:.3g}, "
            f"rows that sum to {total.min():.3g} to {total.max():.3g}",
            hint=f'Leave {where}.gives out, or set it to "logits".',
        )


def looks_like_probabilities(values: np.ndarray, tolerance: float) -> bool:
    """Say whether every row of values (N, K) is >= 0 and sums to 1, within a tolerance.

    >>> looks_like_probabilities(np.array([[0.2, 0.8], [0.5, 0.5]]), 0.01)
    True
    >>> looks_like_probabilities(np.array([[0.2, 0.8], [-1.0, 2.0]]), 0.01)
    False
    """
    return bool((values >= -1e-6).all() and (np.abs(values.sum(-1) - 1.0) <= tolerance).all())
