"""The section on peers of ``docs/evidence.md``, between its markers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, median
from typing import Any

from benchmarks.markdown import points, table, write_between

BEGIN = "<!-- begin: benchmarks/peers.py -->"
END = "<!-- end: benchmarks/peers.py -->"


def write(page: Path, result: Mapping[str, Any]) -> None:
    """Put the table between the markers of a page.

    Raises:
        SystemExit: the page has no markers.
    """
    write_between(page, BEGIN, END, render(result))


def render(result: Mapping[str, Any]) -> str:
    """Return what was done, the table, and where."""
    setting = result["setting"]
    alpha = setting["label_weight"]
    said = (
        f"{setting['teacher']['model']} ({result['teacher_accuracy']:.2%}) teaches "
        f"{setting['student']['model']} on {setting['images']:,} images of Fashion-MNIST, "
        f"{setting['epochs']} epochs, seeds {', '.join(map(str, result['seeds']))}. Both sides get "
        "the same weights to start from, the same teacher, the same order of the images, the same "
        f"augmentations by the same calls, SGD with half a cosine, cross-entropy times {alpha:g} "
        f"and KL divergence at T = {setting['temperature']:g} times {1 - alpha:g}; no weight "
        "decay, because torchdistill's falls on normalisation too and edgekd's does not. Accuracy "
        "is of the last weights on the 10,000 test images, by the same code. They take turns of an "
        "epoch; images/s leave the first epoch out, and only their ratio means anything."
    )
    heads = ["", "Test accuracy, mean", "By seed", "Images/s, median", "Over torchdistill"]
    rows = []
    rates = {name: median(_rates(side, setting)) for name, side in result["sides"].items()}
    for name, side in result["sides"].items():
        reached = side["test_accuracy"]
        rows.append(
            [
                _NAMES.get(name, name),
                f"{fmean(reached):.2%}",
                ", ".join(f"{value:.2%}" for value in reached),
                f"{rates[name]:.0f}",
                f"{rates[name] / rates['torchdistill']:.2f}",
            ]
        )
    return f"{said}\n\n{table(heads, rows)}\n\n{_differences(result)}\n\n{_where(result)}"


_NAMES = {
    "torchdistill": "torchdistill 1.1.5",
    "edgekd": "edgekd, no switches",
    "edgekd-fast": "edgekd, `channels_last` and `fold`",
}


def _rates(side: Mapping[str, Any], setting: Mapping[str, Any]) -> list[float]:
    return [setting["images"] / entry["seconds"] for times in side["epochs"] for entry in times]


def _differences(result: Mapping[str, Any]) -> str:
    parts = []
    for name, tests in result["tests"].items():
        p = "" if tests["t_p"] is None else f", p = {tests['t_p']:.2f} by the paired t-test"
        parts.append(
            f"{_NAMES.get(name, name)} against torchdistill: {points(tests['difference'])} "
            f"points over {tests['n']} seeds{p}"
        )
    agree = result["mapping"]
    return (
        ". ".join(parts)
        + f". Without augmentation, the losses of the first {agree['steps']} steps "
        f"of the two differ by {agree['largest']:.1e} at most, relatively: they compute the same."
    )


def _where(result: Mapping[str, Any]) -> str:
    facts = result["provenance"]
    packages = ", ".join(f"{name} {number}" for name, number in result["packages"].items())
    return f"{facts['cpu']}, {facts['cores']} cores, {packages}. {facts['created'][:10]}."
