"""What quantizing each layer costs, as a table, and what to type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekd import format as fmt
from edgekd.cli.render import _table as new_table

if TYPE_CHECKING:
    from rich.table import Table

    from edgekd.records import Parity
    from edgekd.records_quantize import Sensitivity


def sensitivity_table(found: Sensitivity) -> Table:
    """Every layer, quantized alone; the dearest first."""
    names = ("layer alone", "operators", "accuracy", "points lost", "SNR")
    table = new_table(*names, right=range(1, 5))
    for cost in found.layers:
        table.add_row(
            cost.layer,
            str(cost.operators),
            fmt.percent(cost.accuracy),
            "-" if cost.drop is None else f"{cost.drop:.2f}",
            _decibel(cost.snr_db),
        )
    return table


def sensitivity_lines(found: Sensitivity) -> list[str]:
    """What the whole loses, what is proposed, and the line to type."""
    lines = [f"everything quantized: {_parity(found.whole)}"]
    if found.keep_float is None:
        return [*lines, "no set of layers in float passes; training can: [quantize] qat = true"]
    if not found.keep_float:
        return [*lines, "it passes: no layer has to stay in float"]
    kept = ", ".join(found.keep_float)
    shown = found.verified or found.proposal
    lines.append(f"with {kept} in float: {_parity(shown) if shown else ''}".rstrip(": "))
    if found.verified is None:
        lines.append("the ordinary export of it did not pass: take one layer more")
    return [*lines, found.command]


def _parity(parity: Parity) -> str:
    parts = []
    if parity.accuracy_file is not None:
        before = fmt.percent(parity.accuracy_model)
        parts.append(f"accuracy {fmt.percent(parity.accuracy_file)} (was {before})")
    parts.append(f"SNR {_decibel(parity.snr_db)}")
    return ", ".join(parts)


def _decibel(value: float | None) -> str:
    return "no noise" if value is None else f"{value:.1f} dB"
