"""``edgekd record``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli.output import DebugFlag, JsonFlag, QuietFlag, running


def record(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN|RECIPE",
            help="A run, a TOML file, or the name of a built-in recipe. Default: the newest run.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The file to write: .npz or .parquet.")] = Path(
        "answers.npz"
    ),
    teacher: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which teacher, where there are several.")
    ] = None,
    top_k: Annotated[
        int, typer.Option(min=0, help="Keep the k most probable classes only; 0 keeps all logits.")
    ] = 0,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key of a recipe."),
    ] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Write a teacher's answers for all samples to a file, which can teach in its place.

    A teacher that a recipe trains is trained first, unless an earlier run has done so.
    """
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.cli.loading import stage
        from edgekd.cli.progress import make_progress
        from edgekd.cli.schemas import RecordOutput

        verb = stage("edgekd.distill.recording:record", "edgekd record", extra="train")
        with make_progress(output) as progress:
            found = verb(
                source,
                out=out,
                teacher=teacher,
                top_k=top_k,
                overrides=overrides or (),
                progress=progress,
            )
        output.result(
            RecordOutput(
                path=str(found.path),
                teacher=found.teacher,
                samples=found.samples,
                classes=found.classes,
                top_k=found.top_k,
            )
        )
        kept = f"the top {found.top_k} of " if found.top_k else ""
        output.line(f"{found.teacher}: {kept}{len(found.classes)} classes, {found.samples} samples")
        output.line(f"answers: {found.path}")
        output.line(f'to learn from them: [[teacher]] outputs = "{found.path}"')
