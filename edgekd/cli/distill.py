"""``edgekd distill``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd.cli.output import DebugFlag, JsonFlag, Output, QuietFlag, running

if TYPE_CHECKING:
    from edgekd.records import ModelFacts

NO_TWIN = "does the teacher help? --set train.baseline=true trains the same student without it"


class Accelerator(str, Enum):
    """Where to train."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


def _recipe_names(incomplete: str) -> list[str]:
    from edgekd.recipe import builtin_recipes

    return [name for name in builtin_recipes() if name.startswith(incomplete)]


def distill(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A TOML file, or the name of a built-in recipe.", autocompletion=_recipe_names
        ),
    ] = "digits",
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Override a key, e.g. --set train.epochs=5."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run. Default: a new one under runs/.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with an interrupted run.")
    ] = None,
    accelerator: Annotated[
        Accelerator | None, typer.Option(help="Where to train, instead of the recipe's choice.")
    ] = None,
    num_devices: Annotated[
        int | None, typer.Option(min=1, help="Processes that train together.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="One student with this seed, not the recipe's seeds.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Let the doctor look at it; train and write nothing."),
    ] = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Train a compact student from its teacher."""
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.cli.loading import stage
        from edgekd.cli.progress import make_progress
        from edgekd.cli.render import gain_line, run_table
        from edgekd.cli.schemas import DistillOutput
        from edgekd.distill.following import follows
        from edgekd.footprint import footprint
        from edgekd.lineage import lineage
        from edgekd.recipe import find_recipe
        from edgekd.toml import read_toml

        if resume is None:
            read_toml(find_recipe(recipe))  # what is not there is said before PyTorch is imported
        if dry_run:
            _look(output, recipe, overrides or [], accelerator, seed)
            return
        verb = stage("edgekd.distill.stage:distill", "distillation", extra="train")
        with make_progress(output) as progress:
            run = verb(
                recipe,
                overrides=overrides or (),
                out=out,
                resume=resume,
                accelerator=None if accelerator is None else accelerator.value,
                num_devices=num_devices,
                seed=seed,
                progress=progress,
            )
        if follows():
            return
        output.result(DistillOutput(run=str(run.path), manifest=run.manifest))
        output.show(run_table(run.manifest))
        output.line(gain_line(run) or NO_TWIN)
        for name, text in (*lineage(run.manifest), *footprint(run.manifest)):
            output.line(f"{name}: {text}")
        output.line(f"run: {run.path}")


def _look(
    output: Output,
    recipe: str,
    overrides: list[str],
    accelerator: Accelerator | None,
    seed: int | None,
) -> None:
    """Print what the doctor finds; exit code 1 where something failed."""
    from edgekd.cli.loading import stage
    from edgekd.cli.progress import looking
    from edgekd.cli.render import finding_table
    from edgekd.cli.schemas import DoctorOutput

    examine = stage("edgekd.distill.stage:examine", "distillation", extra="train")
    networks: dict[str, ModelFacts] = {}
    findings = examine(
        recipe,
        overrides=overrides,
        accelerator=None if accelerator is None else accelerator.value,
        seed=seed,
        progress=looking(output, networks),
    )
    output.result(DoctorOutput(findings=tuple(findings), networks=networks))
    output.show(finding_table(findings))
    if any(finding.status == "fail" for finding in findings):
        raise typer.Exit(1)
