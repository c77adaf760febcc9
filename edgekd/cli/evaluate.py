"""``edgekd evaluate``."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from edgekd.cli.output import DebugFlag, JsonFlag, Output, QuietFlag, running
from edgekd.errors import EdgekdError


class Split(str, Enum):
    """The splits that nothing was trained with."""

    test = "test"
    validation = "validation"


def evaluate(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN|FILE",
            help="A run, or a model file of one. Default: the newest run.",
        ),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE",
            help="student, teacher, baseline, an artifact, or any model file; may be given "
            "several times. Default: all that the run has.",
        ),
    ] = None,
    split: Annotated[Split, typer.Option(help="The samples to evaluate on.")] = Split.test,
    against: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Another run to compare with, sample by sample."),
    ] = None,
    slices: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Accuracy for each value of a column of the data; may be given several times.",
        ),
    ] = None,
    cka: Annotated[
        bool, typer.Option("--cka/--no-cka", help="Compare the layers of student and teacher.")
    ] = True,
    recipe: Annotated[
        str | None,
        typer.Option(metavar="RECIPE", help="Whose data a file is run on that is of no run."),
    ] = None,
    cases: Annotated[
        int, typer.Option(min=0, help="Hard cases that are printed; the record holds them all.")
    ] = 5,
    corruptions: Annotated[
        bool,
        typer.Option(
            "--corruptions", help="Ask about corrupted samples instead: in every way that fits."
        ),
    ] = False,
    corruption: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Corrupt the samples in this way, and only in those that are named; may be given "
            "several times.",
        ),
    ] = None,
    severity: Annotated[
        list[int] | None,
        typer.Option(
            metavar="1-5",
            help="How strongly to corrupt; may be given several times. Default: 1, 3 and 5.",
        ),
    ] = None,
    samples: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="What samples are to a corruption, where their shape does not tell: image, "
            "waveform, spectrogram, spectrogram-time-first or vector.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the corruptions. Default: 0.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="File for the record. Default: in the run; of a bare file, none."),
    ] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Say what networks and files do beside accuracy, and whether they differ.

    Agreement with the teacher, divergence, calibration, accuracy class by class, hard cases, layer
    similarity, and paired tests: student against teacher, against the student trained without
    one, exported files against the student, and one run against another.
    """
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.cli.loading import stage

        if corruptions or corruption:
            _refuse("with --corruptions", {"--against": against, "--slices": slices})
            _corrupted(
                output,
                source,
                on=on or None,
                corruptions=corruption or None,
                severities=severity or (1, 3, 5),
                samples=samples,
                seed=seed or 0,
                split=split.value,
                recipe=recipe,
                out=out,
            )
            return
        given = {"--severity": severity, "--samples": samples, "--seed": seed}
        _refuse("without --corruptions", given)
        from edgekd.cli.render_evaluation import show

        verb = stage("edgekd.evaluate.stage:evaluate", "evaluate", extra="bench")
        record = verb(
            source,
            on=on or None,
            split=split.value,
            against=against,
            slices=slices or (),
            cka=cka,
            recipe=recipe,
            out=out,
            say=output.say,
        )
        output.result(record)
        show(record, output, cases=cases)


def _corrupted(output: Output, source: str | None, **options: Any) -> None:
    """Ask about corrupted samples."""
    from edgekd.cli.loading import stage
    from edgekd.cli.render_robustness import show

    target = "edgekd.evaluate.robustness:evaluate_corruptions"
    record = stage(target, "evaluate --corruptions", extra="bench")(
        source, say=output.say, **options
    )
    output.result(record)
    show(record, output)


def _refuse(when: str, options: Mapping[str, object]) -> None:
    """Refuse options that would have no effect, rather than ignore them.

    Raises:
        EdgekdError: one of them is given.
    """
    for name, value in options.items():
        if value not in (None, [], ()):
            raise EdgekdError(f"{name} has no meaning {when}", hint="Leave one of them out.")
