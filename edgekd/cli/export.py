"""``edgekd export``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli.output import DebugFlag, JsonFlag, Output, QuietFlag, running


def _rows(kind: str, incomplete: str) -> list[str]:
    from edgekd.registry import table

    return [name for name in table(kind).names if name.startswith(incomplete)]


def _targets(incomplete: str) -> list[str]:
    return _rows("target", incomplete)


def _schemes(incomplete: str) -> list[str]:
    return _rows("scheme", incomplete)


def _shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter("write it as 3,224,224", param_hint="--input-shape") from None


def export(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN|CHECKPOINT|MODULE:FACTORY",
            help="A run, a checkpoint, or your own model. Default: the newest run.",
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="tflite or onnx; may be given twice.", autocompletion=_targets),
    ] = None,
    quantize: Annotated[
        list[str] | None,
        typer.Option(
            help="none, fp16, int8 or int8-dynamic; may be given twice.", autocompletion=_schemes
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the artifact. Default: inside the run.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Recipe that gives data and student to a checkpoint or a model."),
    ] = None,
    input_shape: Annotated[
        str | None,
        typer.Option(metavar="C,H,W", help="Shape of one sample, for a model without a recipe."),
    ] = None,
    exit: Annotated[
        str | None,
        typer.Option(
            metavar="K|all|segments",
            help="End at this early exit, counted from 1; all: every exit and the network's own "
            "end, a file each; segments: files that go on from one another. Default: the end.",
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="Largest absolute error of a float file.")
    ] = 1e-4,
    max_drop: Annotated[
        float, typer.Option(help="Largest loss of accuracy of a quantized file, in points.")
    ] = 1.0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an artifact that exists.")
    ] = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Convert a student and prove that the file does what the student does.

    Without --target, everything that the export tables of the recipe name is made.
    """
    shape = _shape(input_shape)
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.cli.loading import stage
        from edgekd.cli.render import artifact_table
        from edgekd.cli.schemas import ExportedFile, ExportOutput
        from edgekd.recipe import Recipe

        ends = _exits_wanted(source, exit)
        wanted = [
            (one_target, scheme, number, segment)
            for one_target, scheme in _wanted(source, target, quantize)
            for number, segment in ends
        ]
        _one_place_for_one(out, wanted)
        verb = stage("edgekd.export.stage:export", "export", extra="onnx")
        artifacts = []
        for one_target, scheme, number, segment in wanted:
            where = f", {'segment' if segment else 'exit'} {number}" if number else ""
            output.say(f"exporting {one_target}, quantize {scheme}{where}")
            artifact = verb(
                source,
                target=one_target,
                quantize=scheme,
                out=out,
                recipe=None if recipe is None else Recipe.load(recipe, options=True),
                input_shape=shape,
                exit=number,
                segment=segment,
                tolerance=tolerance,
                max_drop=max_drop,
                overwrite=overwrite,
            )
            artifacts.append(artifact)
            _remarks(output, artifact)
        files = tuple(ExportedFile(**dict(a.manifest), path=str(a.path)) for a in artifacts)
        output.result(ExportOutput(artifacts=files))
        output.show(artifact_table(artifacts))
        for artifact in artifacts:
            output.line(str(artifact.path))


def _wanted(
    source: str | None, targets: list[str] | None, schemes: list[str] | None
) -> list[tuple[str, str]]:
    """Return the (target, scheme) pairs to make."""
    from edgekd.errors import EdgekdError
    from edgekd.registry import table
    from edgekd.rundir import Run

    for name in targets or ():
        table("target").row(name)
    for name in schemes or ():
        table("scheme").row(name)
    if targets:
        return [(one, scheme) for one in targets for scheme in schemes or ["none"]]
    hint = "Say which: --target tflite or --target onnx."
    if source is not None and ":" in source:
        raise EdgekdError("a model by import path has no recipe that names its targets", hint=hint)
    specs = Run.open(source).recipe.export
    if not specs:
        raise EdgekdError("the recipe of the run names no [[export]]", hint=hint)
    return [(s.target, s.quantize) for s in specs if not schemes or s.quantize in schemes]


def _exits_wanted(source: str | None, text: str | None) -> list[tuple[int | None, bool]]:
    """Return (exit, segment) of every file to make; exit None is the network's own end.

    Raises:
        EdgekdError: the text is no number, or not one of all exits of a run.
    """
    from edgekd.errors import EdgekdError
    from edgekd.rundir import Run

    if text is None:
        return [(None, False)]
    if text.isdecimal():
        return [(int(text), False)]
    if text not in ("all", "segments"):
        raise EdgekdError(f"--exit {text}: there is no such exit", hint="A number, all or segments")
    exits = Run.open(source).recipe.student.exits
    if exits is None:
        raise EdgekdError(
            "the student of the run has no early exits", hint="Give it some: [student.exits]"
        )
    numbers = range(1, len(exits.at) + 1)
    if text == "segments":
        return [(number, True) for number in (*numbers, len(exits.at) + 1)]
    return [*((number, False) for number in numbers), (None, False)]


def _one_place_for_one(out: Path | None, wanted: Sequence[object]) -> None:
    from edgekd.errors import EdgekdError

    if out is not None and len(wanted) > 1:
        raise EdgekdError(
            f"--out names one folder, but {len(wanted)} files are to be made",
            hint="Give one --target and one --quantize with --out.",
        )


def _remarks(output: Output, artifact: object) -> None:
    for note in getattr(getattr(artifact, "manifest", None), "notes", ()):
        output.say(f"note: {note}")
