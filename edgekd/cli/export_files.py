"""Making the files of ``edgekd export`` one after the other, and showing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from edgekd.cli.export_wanted import Wanted
from edgekd.cli.output import Output

if TYPE_CHECKING:
    from edgekd.rundir import Artifact


def make_all(
    output: Output,
    verb: Any,
    source: str | None,
    wanted: Sequence[Wanted],
    same: dict[str, Any],
    *,
    keep_going: bool,
) -> None:
    """Make one file after the other, and show them.

    Args:
        output: where to print.
        verb: `edgekd.export`.
        source: what to export.
        wanted: the files.
        same: options of all of them.
        keep_going: say what cannot be made, and go on with the next.

    Raises:
        EdgekdError: one cannot be made; where others go on, a file that failed its proof.
    """
    from edgekd.cli.render import artifact_table
    from edgekd.cli.schemas import ExportedFile, ExportOutput, SkippedFile
    from edgekd.errors import EdgekdError, ExportError, MissingError, ParityError

    artifacts: list[Artifact] = []
    skipped: list[SkippedFile] = []
    failed: list[ParityError] = []
    absent: set[str] = set()
    for one in wanted:
        if one.target in absent:
            continue
        output.say(f"exporting {one.title}")
        try:
            artifact = verb(
                source,
                target=one.target,
                quantize=one.quantize,
                exit=one.exit,
                segment=one.segment,
                **one.options,
                **same,
            )
        except (ExportError, MissingError, ParityError) as error:
            if not keep_going:
                raise
            no_package = isinstance(error, MissingError)
            name = one.target if no_package else one.title
            output.say(f"skipped {name}: {error.message}")
            skipped.append(SkippedFile(name=name, reason=error.message))
            failed += [error] if isinstance(error, ParityError) else []
            absent |= {one.target} if no_package else set()
            continue
        artifacts.append(artifact)
        for note in artifact.manifest.notes:
            output.say(f"note: {note}")
    files = tuple(ExportedFile(**dict(a.manifest), path=str(a.path)) for a in artifacts)
    output.result(ExportOutput(artifacts=files, skipped=tuple(skipped)))
    output.show(artifact_table(artifacts))
    for artifact in artifacts:
        output.line(str(artifact.path))
    if failed:
        raise typer.Exit(failed[0].exit_code)
    if keep_going and not artifacts:
        raise EdgekdError(
            f"none of the {len(wanted)} files could be made here: {skipped[0].reason}"
            if skipped
            else "no target can be made here"
        )


def show_sensitivity(
    output: Output, source: str | None, wanted: Sequence[Wanted], same: dict[str, Any]
) -> None:
    """Measure what quantizing each layer costs, and show it."""
    from edgekd.cli.loading import stage
    from edgekd.cli.render_sensitivity import sensitivity_lines, sensitivity_table
    from edgekd.errors import EdgekdError

    if len(wanted) != 1 or wanted[0].quantize is None:
        raise EdgekdError(
            "--sensitivity looks at one file",
            hint="Give one --target and one --quantize, e.g. --target tflite --quantize int8.",
        )
    one = wanted[0]
    verb = stage("edgekd.export.sensitivity:sensitivity", "sensitivity", extra="onnx")
    found = verb(source, target=one.target, quantize=one.quantize, **one.options, **same)
    output.result(found)
    output.show(sensitivity_table(found))
    for line in sensitivity_lines(found):
        output.line(line)
