"""``edgekd layers``."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekd.cli.output import DebugFlag, JsonFlag, QuietFlag, running


def layers(
    recipe: Annotated[
        str, typer.Argument(help="A TOML file, or the name of a built-in recipe.")
    ] = "digits",
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Override a key, e.g. --set student.model=gru."
        ),
    ] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """List the layers of student and teacher that losses can capture, and suggest pairs."""
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.cli.loading import stage
        from edgekd.cli.render import layers_table, pairs_table
        from edgekd.cli.schemas import LayersOutput, NetworkLayers

        overview = stage("edgekd.distill.suggest:overview", "edgekd layers", extra="train")
        found = overview(recipe, overrides=overrides or ())
        student, teacher = (
            NetworkLayers(model=side.model, layers=side.shapes)
            for side in (found.student, found.teacher)
        )
        output.result(LayersOutput(student=student, teacher=teacher, pairs=found.pairs))
        for role, side in (("student", student), ("teacher", teacher)):
            output.show(layers_table(f"{role} ({side.model})", side.layers))
        if not found.pairs:
            output.line("No layers of the two networks fit each other.")
            return
        output.show(pairs_table(found.pairs, student.layers, teacher.layers))
        quoted = ", ".join(f'["{ours}", "{theirs}"]' for ours, theirs in found.pairs)
        output.line(f"layers = [{quoted}]")
