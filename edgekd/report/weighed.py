"""Sections of what stands in the files: bytes by layer, and what quantizing each layer costs."""

from __future__ import annotations

from collections.abc import Sequence

from edgekd import format as fmt
from edgekd.errors import EdgekdError
from edgekd.modelfile import read
from edgekd.modelfile.weights import Weights, weigh
from edgekd.records_quantize import LayerCost, Sensitivity
from edgekd.report.blocks import MOST_ROWS, Block, Figure, Folded, Row, Section, Table
from edgekd.report.charts import bars
from edgekd.rundir import Artifact, Run, read_record

#: Layers of a file that are drawn.
_DRAWN = 10


def sections(run: Run, artifacts: Sequence[Artifact]) -> list[Section]:
    """Return the sizes by layer of each file, and the sensitivity analyses of the run.

    Raises:
        RunError: the record of an analysis is damaged.
    """
    note = "Constants that each operator reads; the rest of a file describes the graph."
    found = sorted(run.artifacts_dir.glob("*.sensitivity.json"))
    analyses = [read_record(path, Sensitivity) for path in found]
    return [
        Section("Sizes by layer", _sizes(artifacts), note),
        *[_sensitivity(record) for record in analyses],
    ]


def _sizes(artifacts: Sequence[Artifact]) -> list[Block]:
    """Return a chart a file; files that cannot be read here have none."""
    figures: list[Figure] = []
    folded: list[Block] = []
    for artifact in artifacts:
        name = artifact.manifest.name
        try:
            graph = read(artifact.path)
        except EdgekdError:  # another format, or no package that reads it: sizes are an extra
            continue
        weights = weigh(graph)
        if not weights.layers:
            continue
        note = f"{fmt.size(weights.stored_bytes)} of {fmt.size(graph.size_bytes)} are constants."
        figures.append(Figure(name, note, bars(_largest(weights))))
        rows = [
            (layer.name, layer.operator, fmt.size(layer.stored_bytes), fmt.count(layer.parameters))
            for layer in weights.layers[:MOST_ROWS]
        ]
        table = Table("", ("layer", "operator", "size", "weights"), rows, "", frozenset({1}))
        folded.append(Folded(f"The layers of {name}", table))
    return [Row(figures), *folded] if figures else []


def _largest(weights: Weights) -> dict[str, tuple[float, str]]:
    shown = weights.layers[:_DRAWN]
    found: dict[str, tuple[float, str]] = {}
    for layer in shown:
        name, number = layer.name, 1
        while name in found:
            number += 1
            name = f"{layer.name} ({number})"
        found[name] = (layer.stored_bytes, fmt.size(layer.stored_bytes))
    rest = weights.layers[_DRAWN:]
    if rest:
        total = sum(layer.stored_bytes for layer in rest)
        found[f"the other {len(rest)}"] = (total, fmt.size(total))
    return found


def _sensitivity(record: Sensitivity) -> Section:
    kept = record.keep_float or ()
    layers = record.layers[:MOST_ROWS]
    noise = {
        one.layer: (10 ** (-one.snr_db / 10), f"{one.snr_db:.1f} dB")
        for one in layers
        if one.snr_db is not None
    }
    lost = {one.layer: (max(one.drop, 0.0), f"{one.drop:.2f} pp") for one in layers if one.drop}
    figures = []
    if lost:
        figures.append(Figure("Accuracy lost", "With this layer alone quantized.", bars(lost)))
    if noise:
        note = "Its power over that of the outputs: longer is worse."
        figures.append(Figure("Noise at the output", note, bars(noise)))
    rows = [_layer(one, one.layer in kept) for one in layers]
    head: tuple[str, ...] = ("layer", "operators", "accuracy", "lost", "signal to noise")
    if kept:
        head = (*head, "keep in float")
    else:
        rows = [row[: len(head)] for row in rows]
    table = Table("", head, rows, _proposal(record))
    blocks: list[Block] = [Row(figures), table] if figures else [table]
    return Section(f"Which layers mind being quantized: {record.name}", blocks if rows else [])


def _layer(one: LayerCost, kept: bool) -> tuple[str, ...]:
    return (
        one.layer,
        f"{one.operators}",
        fmt.percent(one.accuracy),
        fmt.MISSING if one.drop is None else f"{one.drop:.2f} pp",
        fmt.MISSING if one.snr_db is None else f"{one.snr_db:.1f} dB",
        "yes" if kept else "",
    )


def _proposal(record: Sensitivity) -> str:
    """Say what the analysis proposes."""
    if record.keep_float is None:
        return f"No set of layers keeps within {record.max_drop:g} pp."
    if not record.keep_float:
        return f"All of them may be quantized: the file keeps within {record.max_drop:g} pp."
    text = f"Proposed to keep in float: {', '.join(record.keep_float)}."
    return f"{text} {record.command}" if record.command else text
