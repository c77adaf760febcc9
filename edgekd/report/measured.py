"""Sections of what was measured: latencies one by one, under load, operators, instructions."""

from __future__ import annotations

from collections.abc import Sequence

from edgekd import format as fmt
from edgekd.records import Measurement
from edgekd.records_bench import OperatorTime
from edgekd.report import timing
from edgekd.report.blocks import MOST_ROWS, Block, Figure, Folded, Row, Section, Table
from edgekd.report.charts import bars
from edgekd.summary import Row as Line

#: Kinds of operators of a file that are drawn, and lines of a chart of sustained load.
_DRAWN = 8
_MOST_SOAKS = 7


def sections(table: Sequence[Line], measurements: Sequence[Measurement]) -> list[Section]:
    """Return a section for each kind of number that something was measured of.

    Args:
        table: of the run; what is out of date is left out.
        measurements: of the run.
    """
    found = {(one.artifact, one.device): one for one in measurements}
    keys = [(row.name, row.device or "") for row in table if row.status == "ok"]
    known = [found[key] for key in keys if key in found]
    timed = [one for one in known if one.latency is not None and not one.emulated]
    return [
        Section("How long each inference took", _latencies(timed), _LATENCIES),
        Section("Under sustained load", _soaks(known), _SOAKS),
        Section("Instructions and energy", _counts(known)),
        Section("Where the time goes", _operators(known), _OPERATORS),
    ]


_LATENCIES = (
    "The bar holds the middle half of the inferences, its line is the median, the whiskers reach "
    "from the 1st to the 99th percentile. Nothing was dropped."
)
_SOAKS = "The median of each window while inferences went on without a pause."
_OPERATORS = (
    "By the runtime's own profiler, in a run of its own: a profiled inference takes longer than "
    "one that is only timed."
)


def _latencies(timed: Sequence[Measurement]) -> list[Block]:
    blocks: list[Block] = []
    for device in dict.fromkeys(found.device for found in timed):
        here = [found for found in timed if found.device == device]
        raw = {m.artifact: m.latency.raw_ms for m in here if m.latency and m.latency.raw_ms}
        if raw:
            blocks.append(Figure(f"On {device}", "", timing.distributions(raw), wide=True))
        table = Table("", _LATENCY_HEAD, [_latency(found) for found in here])
        blocks.append(Folded(f"The numbers on {device}", table))
    return blocks


_LATENCY_HEAD = ("file", "inferences", "loading", "first", "least", "p50", "p90", "p99", "outliers")


def _latency(found: Measurement) -> tuple[str, ...]:
    one = found.latency
    if one is None:
        return (found.artifact, *[fmt.MISSING] * (len(_LATENCY_HEAD) - 1))
    times = (one.load_ms, one.first_ms, one.min_ms, one.p50_ms, one.p90_ms, one.p99_ms)
    outliers = fmt.MISSING if one.outliers is None else f"{one.outliers:,}"
    return (found.artifact, f"{one.n:,}", *map(fmt.milliseconds, times), outliers)


def _soaks(known: Sequence[Measurement]) -> list[Block]:
    blocks: list[Block] = []
    for device in dict.fromkeys(found.device for found in known):
        soaks = {
            m.artifact: m.soak for m in known if m.device == device and m.soak and not m.emulated
        }
        if soaks:
            # More lines could not be told apart.
            shown = dict([*soaks.items()][:_MOST_SOAKS])
            drifts = ", ".join(f"{n} {(s.drift - 1) * 100:+.1f}%" for n, s in soaks.items())
            note = f"The last quarter against the first: {drifts}."
            blocks.append(Figure(f"On {device}", note, timing.windows(shown), wide=True))
    return blocks


def _counts(known: Sequence[Measurement]) -> list[Block]:
    figures: list[Figure] = []
    for device in dict.fromkeys(found.device for found in known):
        here = [found for found in known if found.device == device]
        counts = {
            m.artifact: (
                float(m.instructions.per_inference),
                fmt.count(m.instructions.per_inference),
            )
            for m in here
            if m.instructions
        }
        if counts:
            cpu = next(m.instructions.cpu for m in here if m.instructions)
            note = f"Of one inference, on an emulated {cpu}."
            figures.append(Figure(f"Instructions on {device}", note, bars(counts)))
        joules = {
            m.artifact: (
                m.energy.joules_per_inference,
                fmt.joules(m.energy.joules_per_inference, estimated=not m.energy.measured),
            )
            for m in here
            if m.energy
        }
        if joules:
            note = 'Of one inference. "~": an estimate, not measured.'
            figures.append(Figure(f"Energy on {device}", note, bars(joules)))
    return [Row(figures)] if figures else []


def _operators(known: Sequence[Measurement]) -> list[Block]:
    profiled = [found for found in known if found.operators]
    blocks: list[Block] = []
    figures = [
        Figure(
            f"{found.artifact} on {found.device}",
            f"{len(found.operators)} operators, {fmt.milliseconds(_sum(found.operators))} in all.",
            bars(_slowest(found.operators)),
        )
        for found in profiled
    ]
    if figures:
        blocks.append(Row(figures))
    for found in profiled:
        shown = sorted(found.operators, key=lambda one: -one.mean_ms)[:MOST_ROWS]
        rows = [
            (o.name, o.kind, f"{o.calls}", fmt.milliseconds(o.mean_ms), fmt.percent(o.share, 1))
            for o in shown
        ]
        head = ("operator", "kind", "calls", "time", "share")
        left = len(found.operators) - len(shown)
        note = f"The slowest {len(shown)}; {left} more are in the record." if left else ""
        table = Table("", head, rows, note, frozenset({1}))
        blocks.append(Folded(f"The operators of {found.artifact} on {found.device}", table))
    return blocks


def _sum(operators: Sequence[OperatorTime]) -> float:
    return sum(one.mean_ms for one in operators)


def _slowest(operators: Sequence[OperatorTime]) -> dict[str, tuple[float, str]]:
    """Return the kinds of operators that take longest, with how many there are, and the rest."""
    kinds: dict[str, list[OperatorTime]] = {}
    for one in operators:
        kinds.setdefault(one.kind, []).append(one)
    ordered = sorted(kinds.items(), key=lambda item: -_sum(item[1]))
    found = {
        kind if len(of) == 1 else f"{kind} ({len(of)})": (_sum(of), _share(of))
        for kind, of in ordered[:_DRAWN]
    }
    rest = [one for _, of in ordered[_DRAWN:] for one in of]
    if rest:
        found[f"the other {len(rest)}"] = (_sum(rest), _share(rest))
    return found


def _share(operators: Sequence[OperatorTime]) -> str:
    return fmt.percent(min(sum(one.share for one in operators), 1.0), 1)
