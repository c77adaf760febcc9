"""``edgekd exits``."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd.cli.output import DebugFlag, JsonFlag, QuietFlag, running

if TYPE_CHECKING:
    from rich.table import Table

    from edgekd.records_exits import ExitCurve


class Split(str, Enum):
    """The splits that nothing was trained with."""

    test = "test"
    validation = "validation"


def exits(
    source: Annotated[
        str | None, typer.Argument(metavar="RUN", help="A run. Default: the newest.")
    ] = None,
    split: Annotated[
        Split, typer.Option(help="The samples to run; choose a threshold on validation.")
    ] = Split.test,
    threshold: Annotated[
        list[float] | None,
        typer.Option(
            min=0,
            help="Leave where the largest probability is at least this; may be given several "
            "times. Default: 12 values from 0 on.",
        ),
    ] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Say what early exits save and cost, over confidence thresholds.

    Runs the files of edgekd export --exit all or --exit segments; latencies are those that edgekd
    benchmark measured.
    """
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.cli.loading import stage
        from edgekd.cli.schemas import ExitsOutput

        verb = stage("edgekd.evaluate.exits:exits", "exits", extra="bench")
        options = {} if not threshold else {"thresholds": threshold}
        curves = verb(source, split=split.value, say=output.say, **options)
        output.result(ExitsOutput(curves=curves))
        for curve in curves:
            output.show(_table(curve))


def _table(curve: ExitCurve) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from edgekd import format as fmt

    devices = sorted({device for file in curve.files for device in file.latency_ms})
    title = f"{curve.name}, {curve.samples:,} {curve.split} samples"
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 1))
    table.add_column("threshold")
    for number in range(len(curve.files)):
        table.add_column(f"exit {curve.files[number].exit}", justify="right")
    for title in ("accuracy", "MACs", *(f"ms on {device}" for device in devices)):
        table.add_column(title, justify="right")
    for point in curve.points:
        table.add_row(
            f"{point.threshold:g}" if point.threshold <= 1 else "never",
            *(fmt.percent(share, 1) for share in point.shares),
            fmt.percent(point.accuracy),
            fmt.MISSING if point.macs is None else fmt.count(round(point.macs)),
            *(fmt.milliseconds(point.latency_ms.get(name), unit=False) for name in devices),
        )
    if curve.whole is not None:
        table.add_row(
            "no exits",
            *("" for _ in curve.files),
            fmt.percent(curve.whole.accuracy),
            fmt.count(curve.whole.macs),
            *(fmt.milliseconds(curve.whole.latency_ms.get(name), unit=False) for name in devices),
        )
    return table
