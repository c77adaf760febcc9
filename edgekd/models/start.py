"""Starting weights from another network: by name, by a rule over its layers, or sliced.

Taking every second layer of the teacher is how DistilBERT's student starts: V. Sanh et al.,
"DistilBERT, a distilled version of BERT", 2019, https://arxiv.org/abs/1910.01108, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, cast

import torch
from torch import Tensor, nn

from edgekd import format as fmt
from edgekd.errors import ModelError
from edgekd.models.slicing import leading

Rule = Literal["every-second", "first", "last", "uniform"]
Layers = Rule | Mapping[str, str] | None


@dataclass(frozen=True)
class Share:
    """So many tensors of a network, buffers among them, and the parameters in them."""

    tensors: int
    parameters: int

    def __str__(self) -> str:
        """Write both numbers."""
        plural = "" if self.tensors == 1 else "s"
        return f"{self.tensors} tensor{plural} ({fmt.count(self.parameters)} parameters)"


@dataclass(frozen=True)
class Started:
    """Where the weights of a network come from.

    Attributes:
        copied: taken whole.
        sliced: the leading channels of wider tensors.
        random: as they were.
        left: the names of those that stay as they were.
    """

    copied: Share
    sliced: Share
    random: Share
    left: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.copied} copied, {self.sliced} sliced, {self.random} stay random"


def start_from(
    student: nn.Module,
    source: Mapping[str, Tensor],
    *,
    layers: Layers = None,
    slice: bool = False,
    what: str = "the source",
) -> Started:
    """Copy weights and buffers into a network, in place, from another one's state.

    Args:
        student: the network to start; what finds no counterpart stays as it is.
        source: the state dict of the other network.
        layers: which of its repeated layers go into a network of fewer: ``every-second`` (0, 2,
            4, ...), the ``first``, the ``last``, or ``uniform`` (evenly spread, the first and the
            last among them); or a table from the student's module names to the source's, and then
            nothing else is copied. None: tensors of the same name.
        slice: where the student is narrower, take the leading channels; see
            `edgekd.models.slicing`.
        what: the source's name in messages.

    Returns:
        What was copied, what was sliced, and what stays as it was.

    Raises:
        ModelError: nothing fits, a table names what is not there, or a rule wants more layers
            than the source has.
    """
    own = {name: value for name, value in student.state_dict().items() if _is_tensor(value)}
    names = _by_table(own, source, layers) if isinstance(layers, Mapping) else None
    if names is None:
        names = _by_rule(student, own, source, cast("Rule | None", layers), what)
    kinds: dict[str, list[str]] = {"copied": [], "sliced": [], "random": []}
    with torch.no_grad():
        for name, target in own.items():
            given = source.get(names[name]) if name in names else None
            kind = "copied"
            if given is not None and given.shape != target.shape:
                kind, given = "sliced", leading(student, name, given) if slice else None
            if given is None:
                kind = "random"
            else:
                target.copy_(given)
            kinds[kind].append(name)
    started = _summary(student, kinds)
    if not started.copied.parameters and not started.sliced.parameters:
        raise ModelError(
            f"nothing of {what} fits the student: no tensor has the same name and shape",
            hint='Name the layers, e.g. layers = {"blocks.0" = "blocks.1"}, or set slice = true '
            "where the student is narrower.",
        )
    return started


def chosen(rule: Rule, ours: int, theirs: int) -> list[int]:
    """Return which of ``theirs`` layers goes into each of ``ours``.

    >>> chosen("every-second", 3, 6), chosen("last", 2, 6), chosen("uniform", 4, 12)
    ([0, 2, 4], [4, 5], [0, 4, 7, 11])

    Raises:
        ModelError: there are too few.
    """
    step = 2 if rule == "every-second" and ours != theirs else 1
    if step * (ours - 1) >= theirs:
        raise ModelError(
            f"{ours} layers cannot start from {theirs} by the rule {rule!r}",
            hint="Take another rule, or a table of layers.",
        )
    if rule == "last":
        return list(range(theirs - ours, theirs))
    if rule == "uniform" and ours > 1:
        gaps = ours - 1
        return [(2 * number * (theirs - 1) + gaps) // (2 * gaps) for number in range(ours)]
    return [step * number for number in range(ours)]


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


def _by_rule(
    student: nn.Module,
    own: Mapping[str, Tensor],
    source: Mapping[str, Tensor],
    rule: Rule | None,
    what: str,
) -> dict[str, str]:
    """Return the source's name of every tensor; only the numbers of layers change."""
    if rule is None:
        return {name: name for name in own}
    lengths = {
        path: len(module) for path, module in student.named_modules() if _is_repeated(module)
    }
    return {name: _renamed(name, lengths, source, rule, what) for name in own}


def _is_repeated(module: nn.Module) -> bool:
    """Say whether a module is a row of layers of one kind."""
    if not isinstance(module, nn.Sequential | nn.ModuleList) or not len(module):
        return False
    kinds = {type(child) for child in module}
    return len(kinds) == 1 and next(module.parameters(), None) is not None


def _renamed(
    name: str, lengths: Mapping[str, int], source: Mapping[str, Tensor], rule: Rule, what: str
) -> str:
    """Walk down a name, and write the source's number where the rule chooses a layer."""
    ours, theirs = "", ""
    for part in name.split("."):
        other = part
        if ours in lengths and part.isdigit():
            skip = len(theirs) + 1 if theirs else 0
            there = {key[skip:].split(".")[0] for key in source if _below(key, theirs)}
            if there:
                other = str(_chosen_at(ours, rule, lengths[ours], len(there), what)[int(part)])
        ours, theirs = f"{ours}.{part}".lstrip("."), f"{theirs}.{other}".lstrip(".")
    return theirs


def _chosen_at(path: str, rule: Rule, ours: int, theirs: int, what: str) -> list[int]:
    try:
        return chosen(rule, ours, theirs)
    except ModelError as error:
        raise ModelError(f"{path!r} of {what}: {error.message}", hint=error.hint) from error


def _by_table(
    own: Mapping[str, Tensor], source: Mapping[str, Tensor], table: Mapping[str, str]
) -> dict[str, str]:
    """Return the source's name of every tensor that a table names; the longest entry wins."""
    for role, prefixes, names in (
        ("student", table.keys(), own),
        ("source", table.values(), source),
    ):
        for prefix in prefixes:
            if not any(_below(name, prefix) for name in names):
                parts = [name.split(".") for name in names]
                modules = {".".join(p[:end]) for p in parts for end in range(1, len(p))}
                close = get_close_matches(prefix, modules, n=3, cutoff=0.4)
                raise ModelError(
                    f"layers: the {role} has no weights at {prefix!r}",
                    hint=f"There are {', '.join(map(repr, close or sorted(modules)[:5]))}.",
                )
    found = {}
    for prefix in sorted(table, key=len):
        for name in own:
            if _below(name, prefix):
                found[name] = table[prefix] + name[len(prefix) :]
    return found


def _below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}." if prefix else "")


def _summary(student: nn.Module, kinds: Mapping[str, list[str]]) -> Started:
    sizes = {name: parameter.numel() for name, parameter in student.named_parameters()}

    def share(kind: str) -> Share:
        return Share(len(kinds[kind]), sum(sizes.get(name, 0) for name in kinds[kind]))

    return Started(share("copied"), share("sliced"), share("random"), tuple(kinds["random"]))
