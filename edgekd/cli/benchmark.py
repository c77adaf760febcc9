"""``edgekd benchmark``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgekd.cli.devices import complete_name
from edgekd.cli.output import DebugFlag, JsonFlag, Output, QuietFlag, running
from edgekd.cli.where import OneAddress, OneSerial

if TYPE_CHECKING:
    from edgekd.records import Measurement

Mode = Literal["latency", "accuracy", "both"]
Scenario = Literal["single-stream", "offline"]


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
            help="A device by name; may be given several times. Default: the recipe's, else cpu.",
            autocompletion=complete_name,
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of the runtime. Default: the recipe's, or 1.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the measurements of bare files.")
    ] = None,
    address: OneAddress = None,
    serial: OneSerial = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for a device that is in use.")
    ] = 600.0,
    mode: Annotated[
        Mode, typer.Option(help="What to measure: latency with memory, accuracy, or both.")
    ] = "both",
    samples: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Test samples for accuracy, chosen by class; 0: all. Default: all, fewer where "
            "the device is emulated.",
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(help="Time inferences for so long. Default: 1 here, 10 on other devices."),
    ] = None,
    runs: Annotated[
        int | None, typer.Option(min=1, help="Time so many inferences at least. Default: 100.")
    ] = None,
    scenario: Annotated[
        Scenario,
        typer.Option(help="One inference at a time, or also batches: samples a second."),
    ] = "single-stream",
    batch: Annotated[
        int | None, typer.Option(min=1, help="Samples of a batch with --scenario offline.")
    ] = None,
    soak: Annotated[
        float, typer.Option(min=0, help="Seconds of sustained load, to see the latency drift.")
    ] = 0.0,
    bundle: Annotated[
        bool,
        typer.Option(
            "--bundle",
            help="Experimental: bring an arm64 Python and the runtimes along, for a phone or a "
            "board that has none.",
        ),
    ] = False,
    profile_ops: Annotated[
        bool,
        typer.Option(
            "--profile-ops", help="Also time the operators of each file, in a run of its own."
        ),
    ] = False,
    binary: Annotated[
        list[Path] | None,
        typer.Option(
            help="A benchmark program built for the device, where it has no Python: "
            "benchmark_model for TFLite, onnxruntime_perf_test for ONNX files; may be given twice.",
        ),
    ] = None,
    binary_sha256: Annotated[
        list[str] | None, typer.Option(help="The SHA-256 of the --binary in the same place.")
    ] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Measure latency, memory, accuracy and agreement with the teacher.

    Each file is measured in a fresh process. A file that kills its process is reported, the
    others are measured all the same, and the command ends with exit code 1.

    This machine is measured first and alone, then all other devices side by side.
    """
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.cli.loading import stage

        verb = stage("edgekd.bench.stage:benchmark", "benchmark", extra="bench")
        programs = stage("edgekd.bench.native.binary:check_all", "benchmark", extra="bench")
        options = stage("edgekd.bench.options:Options", "benchmark", extra="bench")(
            mode=mode,
            samples=samples,
            seconds=seconds,
            runs=runs,
            scenario=scenario,
            batch=batch,
            soak=soak,
            address=address,
            serial=serial,
            wait=wait,
            bundle=bundle,
            profile_ops=profile_ops,
            binaries=programs(binary or (), binary_sha256 or ()),
        )
        so_far: list[Measurement] = []
        try:
            measurements = verb(
                *(sources or ()),
                devices=device or None,
                threads=threads,
                out=out,
                options=options,
                say=output.say,
                measured=so_far.append,
            )
        except KeyboardInterrupt:
            if so_far:
                _show(output, so_far)
            raise
        _show(output, measurements)
        if any(m.status == "failed" for m in measurements):
            raise typer.Exit(1)


def _show(output: Output, measurements: Sequence[Measurement]) -> None:
    from edgekd.cli.render_measurements import measurement_table, remarks
    from edgekd.cli.render_operators import operator_tables
    from edgekd.cli.schemas import BenchmarkOutput

    output.result(BenchmarkOutput(measurements=tuple(measurements)))
    output.show(measurement_table(measurements, width=output.width))
    for table in operator_tables(measurements, width=output.width):
        output.show(table)
    for remark in remarks(measurements):
        output.line(remark)
