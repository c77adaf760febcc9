"""Capturing what a network computes on the way, by forward hooks on named modules.

No model is edited: hooks are put on when training begins and taken off when it ends, so that a
copied, saved or exported network never carries one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.distill.taught import inner
from edgekd.errors import ModelError, UnknownNameError
from edgekd.models.modes import evaluating


class Capture:
    """Keeps the outputs of named modules of one forward pass.

    Args:
        model: the network.
        names: names as in ``model.named_modules()``; ``name[1]`` takes the second of several
            outputs.
        role: ``student`` or ``teacher``, for messages.

    Raises:
        UnknownNameError: a name is no module of the network; the closest ones are named.
    """

    def __init__(self, model: nn.Module, names: Iterable[str], role: str) -> None:
        """Look the modules up; nothing is hooked yet."""
        modules = {name: module for name, module in inner(model).named_modules() if name}
        self._wanted: list[tuple[str, nn.Module, int | None]] = []
        for name in dict.fromkeys(names):
            module_name, index = _split(name)
            if module_name not in modules:
                raise UnknownNameError(f"layer of the {role}", module_name, modules)
            self._wanted.append((name, modules[module_name], index))
        self.role = role
        self._model = model
        self._found: dict[str, tuple[Tensor, int]] = {}
        self._copied: set[str] = set()

    @contextmanager
    def hooked(self) -> Iterator[Capture]:
        """Put the hooks on, and take them off whatever happens."""
        handles = [
            module.register_forward_hook(self._keep(name, index))
            for name, module, index in self._wanted
        ]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()
            self._found.clear()

    def rehearse(self, example: Tensor) -> None:
        """Run once, to learn which outputs the network changes in place afterwards.

        A residual ``out += x`` or a ReLU in place writes over the very tensor that was captured.
        Such outputs are copied from then on.

        Args:
            example: (N, *sample_shape).
        """
        with evaluating(self._model), torch.no_grad(), self.hooked():
            self._model(example)
            self._copied = {name for name, kept in self._found.items() if _changed(*kept)}

    def _keep(self, name: str, index: int | None) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            found = _tensor(output, name, index, self.role)
            if name in self._copied:
                found = found.clone()
            self._found[name] = (found, found._version)

        return hook

    def take(self) -> dict[str, Tensor]:
        """Return what the last forward pass left, and forget it.

        Raises:
            ModelError: a module did not run, e.g. a head that is used in training only, or its
                output was changed in place after it was captured.
        """
        missing = [name for name, _, _ in self._wanted if name not in self._found]
        if missing:
            raise ModelError(
                f"the {self.role}'s layer {missing[0]!r} did not run in its forward pass",
                hint="Choose a layer that every forward pass goes through: edgekd layers",
            )
        changed = [name for name, kept in self._found.items() if _changed(*kept)]
        if changed:
            raise ModelError(
                f"the {self.role} changes the output of its layer {changed[0]!r} in place, "
                "after it was captured",
                hint="Capture the layer after it, or take the inplace=True out.",
            )
        found = {name: value for name, (value, _) in self._found.items()}
        self._found.clear()
        return found


def _changed(value: Tensor, version: int) -> bool:
    """Say whether a tensor was written to since it had this version."""
    return value._version != version


def _split(name: str) -> tuple[str, int | None]:
    """Take ``name[1]`` apart.

    >>> _split("encoder.0[1]"), _split("encoder.0")
    (('encoder.0', 1), ('encoder.0', None))
    """
    if name.endswith("]") and "[" in name:
        module, _, index = name[:-1].rpartition("[")
        if index.isdecimal():
            return module, int(index)
    return name, None


def _tensor(output: Any, name: str, index: int | None, role: str) -> Tensor:
    """Pick the tensor out of what a module returned."""
    picked = output
    if isinstance(output, Mapping):  # transformers' ModelOutput and plain dicts
        picked = list(output.values())[index or 0]
    elif isinstance(output, tuple | list):
        if index is not None and index >= len(output):
            raise ModelError(f"the {role}'s layer {name!r}: it has {len(output)} outputs only")
        picked = output[index or 0]
    if not isinstance(picked, Tensor):
        raise ModelError(
            f"the {role}'s layer {name!r} gives a {type(picked).__name__}, not a tensor",
            hint="Where a layer gives several outputs, pick one by its number: name[1].",
        )
    return picked


def shapes_of(
    model: nn.Module, names: Iterable[str], example: Tensor, role: str
) -> tuple[dict[str, tuple[int, ...]], tuple[int, ...]]:
    """Run a dry batch in eval mode; return the captured shapes and that of the logits.

    Args:
        model: the network; its mode is put back.
        names: the modules to capture.
        example: (N, *sample_shape).
        role: ``student`` or ``teacher``.

    Returns:
        Shapes without the batch axis: by name, and of the logits.
    """
    capture = Capture(model, names, role)
    capture.rehearse(example)
    with evaluating(model), torch.no_grad(), capture.hooked():
        logits = model(example)
        found = capture.take()
    return {name: tuple(value.shape[1:]) for name, value in found.items()}, tuple(logits.shape[1:])
