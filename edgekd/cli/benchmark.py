"""``edgekd benchmark``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli.output import DebugFlag, JsonFlag, QuietFlag, running


def _device_names(incomplete: str) -> list[str]:
    from edgekd.bench.devices import device_names

    return [name for name in device_names() if name.startswith(incomplete)]


def benchmark(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN|FILE ...",
            help="Runs, or any .onnx or .tflite files. Default: the newest run.",
        ),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            help="A device by name; may be given twice. Default: the recipe's, else cpu.",
            autocompletion=_device_names,
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of the runtime. Default: the recipe's, or 1.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the measurements of bare files.")
    ] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Measure latency, memory, accuracy and agreement with the teacher.

    Each file is measured in a fresh process. A file that kills its process is reported, the
    others are measured all the same, and the command ends with exit code 1.
    """
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.cli.loading import stage
        from edgekd.cli.render import measurement_table, unknowns
        from edgekd.cli.schemas import BenchmarkOutput

        verb = stage("edgekd.bench.stage:benchmark", "benchmark", extra="bench")
        measurements = verb(
            *(sources or ()), devices=device or None, threads=threads, out=out, say=output.say
        )
        output.result(BenchmarkOutput(measurements=tuple(measurements)))
        output.show(measurement_table(measurements, width=output.width))
        for remark in unknowns(measurements):
            output.line(remark)
        if any(m.status == "failed" for m in measurements):
            raise typer.Exit(1)
