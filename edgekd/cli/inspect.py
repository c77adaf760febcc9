"""``edgekd inspect``."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekd.cli.output import DebugFlag, JsonFlag, QuietFlag, running


def inspect(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE|ARTIFACT|RUN",
            help="A TFLite, ONNX or ExecuTorch file of whatever origin, an artifact's folder, or a "
            "run with one artifact. Default: the newest run.",
        ),
    ] = None,
    operators: Annotated[
        bool, typer.Option("--operators", help="List every operator, in the order of the file.")
    ] = False,
    tensors: Annotated[
        bool, typer.Option("--tensors", help="List every tensor, in the order of the file.")
    ] = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Say what a model file is and what it asks of a device, without running it."""
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.cli import render_inspect as render
        from edgekd.cli.loading import stage

        found = stage("edgekd.inspect.stage:inspect", "edgekd inspect", extra="bench")(
            source, operators=operators, tensors=tensors
        )
        output.result(found)
        for line in render.lines(found):
            output.line(line)
        if found.kinds:
            output.show(render.kind_table(found))
        if found.layers:
            output.show(render.layer_table(found))
        if found.operators:
            output.show(render.operator_table(found.operators))
        if found.tensors:
            output.show(render.tensor_table(found.tensors))
        for warning in found.warnings:
            output.line(f"warning: {warning}")
