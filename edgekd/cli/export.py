"""``edgekd export``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from edgekd.cli.export_wanted import ALL
from edgekd.cli.output import DebugFlag, JsonFlag, QuietFlag, running


def _rows(kind: str, incomplete: str) -> list[str]:
    from edgekd.registry import table

    return [name for name in table(kind).names if name.startswith(incomplete)]


def _targets(incomplete: str) -> list[str]:
    return [*_rows("target", incomplete), *([ALL] if ALL.startswith(incomplete) else [])]


def _schemes(incomplete: str) -> list[str]:
    return _rows("scheme", incomplete)


def _profiles(incomplete: str) -> list[str]:
    return _rows("profile", incomplete)


def _shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter("write it as 3,224,224", param_hint="--input-shape") from None


def _batch(text: str | None) -> int | None:
    if text is None:
        return None
    if text == "dynamic":
        return 0
    if not text.isdecimal() or int(text) == 0:
        raise typer.BadParameter("write a number, or dynamic", param_hint="--batch")
    return int(text)


def _one_of(text: str | None, known: Sequence[str], flag: str) -> str | None:
    if text is not None and text not in known:
        raise typer.BadParameter(f"one of {', '.join(known)}", param_hint=flag)
    return text


def export(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN|CHECKPOINT|MODULE:FACTORY|KERAS",
            help="A run, a checkpoint, your own model, or a Keras model. Default: the newest run.",
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="tflite, onnx, executorch, keras or savedmodel; may be given twice. all: every "
            "file that can be made here.",
            autocompletion=_targets,
        ),
    ] = None,
    quantize: Annotated[
        list[str] | None,
        typer.Option(
            help="none, fp16, int8, int8-dynamic or int8-weight-only; may be given twice.",
            autocompletion=_schemes,
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="What the file is for: cpu, pi-legacy, mcu or npu.", autocompletion=_profiles
        ),
    ] = None,
    io: Annotated[
        str | None,
        typer.Option(help="Type of inputs and outputs of an int8 file: float32, int8 or uint8."),
    ] = None,
    layout: Annotated[str | None, typer.Option(help="Of images in the file: nchw or nhwc.")] = None,
    batch: Annotated[
        str | None,
        typer.Option(metavar="N|dynamic", help="Samples a call. Default: 1 in TFLite, else any."),
    ] = None,
    free_axis: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            help="An axis of the inputs whose size stays free too, e.g. 1, the length of "
            "sequences; the batch is 0.",
        ),
    ] = None,
    embed_preprocess: Annotated[
        bool,
        typer.Option(
            "--embed-preprocess",
            help="Make normalisation and softmax parts of the file: raw samples in, "
            "probabilities out.",
        ),
    ] = False,
    keep_float: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER", help="A layer, or a pattern, that is not quantized; may be repeated."
        ),
    ] = None,
    sensitivity: Annotated[
        bool,
        typer.Option(
            "--sensitivity",
            help="Measure what quantizing each layer costs, and say which to keep in float.",
        ),
    ] = False,
    calibration: Annotated[
        str | None,
        typer.Option(help="How int8 ranges are set: min-max, percentile or mse."),
    ] = None,
    calibration_samples: Annotated[
        int, typer.Option(min=1, help="Set int8 ranges of so many samples at most.")
    ] = 512,
    percentile: Annotated[
        float, typer.Option(help="Share of values inside a range, in percent.")
    ] = 99.99,
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
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="NAME=SHAPE[:DTYPE[:LOW..HIGH]]",
            help="One of several inputs, or one of integers, for a model without a recipe.",
        ),
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz",
            help="Samples of each input by name, and targets, for a model without a recipe: half "
            "set int8 ranges, the file is held against the others.",
        ),
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
    given = {
        "profile": profile,
        "io": _one_of(io, ("float32", "int8", "uint8"), "--io"),
        "layout": _one_of(layout, ("nchw", "nhwc"), "--layout"),
        "batch": _batch(batch),
        "free_axis": free_axis,
        "embed_preprocess": embed_preprocess or None,
        "keep_float": tuple(keep_float or ()) or None,
    }
    methods = ("min-max", "percentile", "mse")
    method = _one_of(calibration, methods, "--calibration") or methods[0]
    same: dict[str, Any] = {
        "input_shape": _shape(input_shape),
        "samples": samples,
        "tolerance": tolerance,
        "max_drop": max_drop,
    }
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.cli.export_files import make_all, show_sensitivity
        from edgekd.cli.export_wanted import (
            calibration_plan,
            exits_wanted,
            of_flags,
            one_place_for_one,
        )
        from edgekd.cli.loading import stage
        from edgekd.recipe import Recipe

        options = {name: value for name, value in given.items() if value is not None}
        plan = calibration_plan(method, calibration_samples, percentile)
        if plan is not None:
            options["calibration"] = plan
        ends = exits_wanted(source, exit)
        wanted = [
            replace(one, exit=number, segment=segment)
            for one in of_flags(source, target or (), quantize or (), options)
            for number, segment in ends
        ]
        one_place_for_one(out, wanted)
        same["recipe"] = None if recipe is None else Recipe.load(recipe, options=True)
        if inputs:
            from edgekd.export.ports import written

            same["inputs"] = tuple(written(text) for text in inputs)
        if sensitivity:
            show_sensitivity(output, source, wanted, same)
            return
        verb = stage("edgekd.export.stage:export", "export", extra="onnx")
        same.update(out=out, overwrite=overwrite)
        make_all(output, verb, source, wanted, same, keep_going=ALL in (target or ()))
