"""``edgekd check``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd.cli.output import DebugFlag, JsonFlag, Output, QuietFlag, running
from edgekd.cli.where import OneAddress, OneSerial
from edgekd.errors import EdgekdError

if TYPE_CHECKING:
    from edgekd.bench.options import Options
    from edgekd.check.stage import Examination


def check(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN|FILE ...",
            help="A run, model files, or a folder of measurements. Default: the newest run.",
        ),
    ] = None,
    budget: Annotated[
        Path | None,
        typer.Option(help="TOML file of limits. Default: budget.toml, else that of the recipe."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="RUN|FILE|git:REF:PATH",
            help="What relative limits are held against. Its files and those that are checked "
            "take turns, to see which is slower.",
        ),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            help="Where they take turns; may be given several times. Default: the recipe's "
            "devices, else cpu."
        ),
    ] = None,
    address: OneAddress = None,
    serial: OneSerial = None,
    latency: Annotated[
        bool, typer.Option("--latency/--no-latency", help="Run files against the baseline's.")
    ] = True,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail where it cannot be told, too.")
    ] = False,
    size_only: Annotated[
        bool,
        typer.Option("--size-only", help="Hold the sizes of these files and nothing else: a hook."),
    ] = False,
    init: Annotated[
        bool, typer.Option("--init", help="Propose a budget from what was measured.")
    ] = False,
    update: Annotated[
        bool,
        typer.Option("--update", help="Rewrite the limits of the budget from what was measured."),
    ] = False,
    reason: Annotated[
        str | None, typer.Option(help="With --update: why limits are loosened; the file keeps it.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
    markdown: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-",
            help="Write Markdown, for a pull request or the summary of a job; -: print it.",
        ),
    ] = None,
    annotations: Annotated[
        bool | None,
        typer.Option(
            "--annotations/--no-annotations",
            help="Print GitHub's annotations on stderr. Default: in GitHub Actions.",
        ),
    ] = None,
    history: Annotated[
        str | None,
        typer.Option(
            metavar="URL|FILE",
            help="Where the check is remembered. Default: $EDGEKD_HISTORY, else the runs folder.",
        ),
    ] = None,
    no_history: Annotated[
        bool, typer.Option("--no-history", help="Do not remember the check.")
    ] = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Hold what was measured against a budget and a baseline.

    Exit code 1 when a limit is broken, and with --strict also when it cannot be told.
    """
    with running(json=json, quiet=quiet, debug=debug) as output:
        _refuse(json=json, markdown=markdown, init=init, update=update, reason=reason)
        if baseline is None and (device or address is not None or serial is not None):
            raise EdgekdError(
                "--device, --address and --serial say where files take turns with a baseline's",
                hint="Give a --baseline; edgekd benchmark measures on a device.",
            )
        if init or update:
            from edgekd.cli import check_budget

            wanted = check_budget.init if init else check_budget.update
            wanted(output, sources or [], budget, reason)
            return
        from edgekd.check.stage import examine
        from edgekd.check.turns import Latency
        from edgekd.cli.check_outputs import Written, write

        compared = None
        if latency and not size_only:
            compared = Latency(
                tuple(device or ()), options=_options(address, serial), say=output.say
            )
        found = examine(
            sources or None, budget=budget, baseline=baseline, latency=compared, size_only=size_only
        )
        passed = found.passed(strict=strict)
        if not (no_history or size_only):
            _remember(output, found, history)
        write(
            found,
            Written(junit, markdown, baseline or "", strict=strict, passed=passed),
        )
        _show(output, found, baseline, strict=strict, printed=markdown == "-")
        wants = annotations
        if wants is None:
            wants = os.environ.get("GITHUB_ACTIONS") == "true"
        if wants:
            from edgekd.check.annotations import annotated

            lines = annotated(found.verdicts, strict=strict)
            sys.stderr.writelines(f"{line}\n" for line in lines)
        if not passed:
            raise typer.Exit(1)


def _refuse(
    *, json: bool, markdown: str | None, init: bool, update: bool, reason: str | None
) -> None:
    if init and update:
        raise EdgekdError("--init writes a new budget and --update rewrites one", hint="Give one.")
    if reason is not None and not update:
        raise EdgekdError("--reason belongs to --update", hint="edgekd check --update --reason ...")
    if json and markdown == "-":
        raise EdgekdError(
            "--json and --markdown - both print on stdout", hint="Write one into a file."
        )


def _options(address: str | None, serial: str | None) -> Options | None:
    """Say where the device is; the module needs NumPy, which a check of sizes does not."""
    if address is None and serial is None:
        return None
    from edgekd.cli.loading import stage

    kind: type[Options] = stage("edgekd.bench.options:Options", "check", extra="bench")
    return kind(address=address, serial=serial)


def _remember(output: Output, found: Examination, url: str | None) -> None:
    from edgekd.history import append

    hashes = {item.name: item.sha256 for item in found.subject.exported if item.sha256}
    trouble = append(
        found.verdicts, found.measurements, found.subject.run, url, duels=found.duels, hashes=hashes
    )
    if trouble is not None:
        output.warn(f"{trouble} (--no-history leaves it out)")


def _show(
    output: Output, found: Examination, baseline: str | None, *, strict: bool, printed: bool
) -> None:
    from edgekd.cli.render import verdict_table
    from edgekd.cli.schemas import CheckOutput

    passed = found.passed(strict=strict)
    output.result(
        CheckOutput(
            passed=passed,
            strict=strict,
            subject=found.subject.label,
            budget=found.budget.source,
            baseline=baseline,
            verdicts=found.verdicts,
        )
    )
    if printed:
        return
    output.show(verdict_table(found.verdicts))
    output.say(f"limits: {found.budget.source}")
    status = [verdict.status for verdict in found.verdicts]
    broken, open_ = status.count("fail"), status.count("inconclusive")
    if passed:
        remarks = [f"{open_} inconclusive"] if open_ else []
        warnings = status.count("warn")
        remarks += [f"{warnings} warning{'s' if warnings > 1 else ''}"] if warnings else []
        output.line("passed" + (f" ({', '.join(remarks)})" if remarks else ""))
    else:
        counted = f"{broken} of {len(status)} checks"
        output.line(f"failed: {counted}" + (f", {open_} inconclusive" if open_ else ""))
