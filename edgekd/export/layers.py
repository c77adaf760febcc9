"""The layers of a network by the names that its author gave them, and which a user means.

A module without submodules is called by its path (``stem.conv``). What the ``forward()`` of a
module with submodules computes itself, e.g. the addition of a residual block, is called by the
module's path and ``.forward`` (``blocks.0.forward``). Normalisation and transforms that became
a part of the file are one layer, ``preprocess``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from edgekd.errors import ExportError
from edgekd.export.attention import SmallFills
from edgekd.export.embed import Embedded
from edgekd.export.prepare import Named
from edgekd.export.surface import ChannelsLast
from edgekd.models.parts import Part

_FORWARD = "forward"

#: What stands before the network in a file that takes raw samples, and its name in `Embedded`.
PREPROCESS = "preprocess"

#: What edgekd wraps around a network -> the attribute that holds it.
_WRAPPERS: dict[type[nn.Module], str] = {
    ChannelsLast: "model",
    Named: "model",
    Embedded: "network",
    Part: "network",
    SmallFills: "model",
}

#: Modules that only hold others, and compute nothing.
_LISTS = (nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Chosen:
    """The layers that patterns mean.

    Attributes:
        names: of the layers.
        named: those whose own name fits, not only that of a module around them.
        patterns: as the user gave them.
    """

    names: frozenset[str]
    named: frozenset[str]
    patterns: tuple[str, ...]


class Layers:
    """The layers of a network.

    Args:
        model: the network, as `edgekd.export.surface.Surface` holds it.

    Attributes:
        names: of all layers, in the order in which they were defined.
        root: what the network's own ``forward()`` is called: ``forward``.
    """

    root = _FORWARD

    def __init__(self, model: nn.Module) -> None:
        """Look through what edgekd put around the network."""
        path: list[str] = []
        self._before: str | None = None
        while type(model) in _WRAPPERS:
            if isinstance(model, Embedded):
                self._before = ".".join([*path, PREPROCESS])
            path.append(_WRAPPERS[type(model)])
            model = getattr(model, path[-1])
        self._root = ".".join(path)
        self._inner = {
            name for name, module in model.named_modules() if any(True for _ in module.children())
        }
        self._modules = frozenset(name for name, _ in model.named_modules())
        own = [
            self._own(name) for name, module in model.named_modules() if type(module) not in _LISTS
        ]
        self.names = (*([] if self._before is None else [PREPROCESS]), *own)

    def layer_of(self, path: str) -> str | None:
        """Return the layer that a module's path in the whole model belongs to.

        Args:
            path: e.g. ``model.model.stem.conv``.

        Returns:
            None for what edgekd put around the network.
        """
        if self._before is not None and f"{path}.".startswith(f"{self._before}."):
            return PREPROCESS
        if self._root and path != self._root and not path.startswith(f"{self._root}."):
            return None
        inner = path[len(self._root) :].lstrip(".")
        return self._own(inner) if inner in self._modules else None

    def layer_of_parameter(self, name: str) -> str | None:
        """Return the layer that a parameter belongs to, by its name in the whole model."""
        return self.layer_of(name.rpartition(".")[0]) if "." in name else None

    def choose(self, patterns: Sequence[str]) -> Chosen:
        """Return the layers that patterns mean: of that name, or inside a module of that name.

        Args:
            patterns: names, with ``*``, ``?`` and ``[...]`` as in file names.

        Raises:
            ExportError: a pattern fits nothing.
        """
        names: set[str] = set()
        named: set[str] = set()
        for pattern in patterns:
            own = {name for name in self.names if fnmatchcase(name, pattern)}
            around = {name for name in self.names if _inside(name, pattern)}
            if not own | around:
                raise ExportError(
                    f"--keep-float {pattern}: the network has no such layer",
                    hint=f"Close to it: {', '.join(self._close(pattern))}",
                )
            names |= own | around
            named |= own
        return Chosen(frozenset(names), frozenset(named), tuple(patterns))

    def _own(self, name: str) -> str:
        if name in self._inner:
            return f"{name}.{_FORWARD}" if name else _FORWARD
        return name or _FORWARD

    def _close(self, pattern: str) -> list[str]:
        known = sorted({*self.names, *self._modules} - {""})
        close = difflib.get_close_matches(pattern, known, n=4, cutoff=0.4)
        return close or list(self.names[:4])


def _inside(name: str, pattern: str) -> bool:
    parts = name.split(".")
    return any(fnmatchcase(".".join(parts[:end]), pattern) for end in range(1, len(parts)))


def vanished(chosen: Chosen, present: Iterable[str | None]) -> tuple[str, ...]:
    """Return a note on the chosen layers that have no operator of their own in the file.

    Args:
        chosen: what the user wants to keep in float.
        present: the layers of the file's operators.

    Raises:
        ExportError: none of the chosen layers has one.
    """
    there = {name for name in present if name is not None}
    if not chosen.names & there:
        raise ExportError(
            f"--keep-float {' '.join(chosen.patterns)}: nothing of it is an operator of the file",
            hint="Batch normalisation and activations become part of the layer before them, and "
            f"dropout of nothing: name that layer. Operators come from {_some(there)}.",
        )
    gone = sorted(chosen.named - there)
    if not gone:
        return ()
    return (f"no operator of their own, part of the layer before them or of none: {_some(gone)}",)


def _some(names: Iterable[str], most: int = 8) -> str:
    listed = sorted(names)
    more = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {more} more" if more > 0 else "")
