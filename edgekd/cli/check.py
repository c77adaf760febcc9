"""``edgekd check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli.output import DebugFlag, JsonFlag, QuietFlag, running


def check(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="Default: the newest run.")
    ] = None,
    budget: Annotated[
        Path | None, typer.Option(help="TOML file of limits. Default: the budget in the recipe.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="RUN|FILE", help="What relative limits are held against."),
    ] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Hold what was measured against a budget; exit code 1 when a limit is broken."""
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.check.stage import check as verb
        from edgekd.cli.render import verdict_table
        from edgekd.cli.schemas import CheckOutput

        verdicts = verb(run, budget=budget, baseline=baseline)
        passed = not any(verdict.status == "fail" for verdict in verdicts)
        output.result(CheckOutput(passed=passed, verdicts=tuple(verdicts)))
        output.show(verdict_table(verdicts))
        broken = sum(1 for verdict in verdicts if verdict.status == "fail")
        output.line("passed" if passed else f"failed: {broken} of {len(verdicts)} checks")
        if not passed:
            raise typer.Exit(1)
