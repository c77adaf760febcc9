"""``edgekd recipes``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli.output import DebugFlag, JsonFlag, QuietFlag, running

app = typer.Typer(help="List, show and start recipes.", no_args_is_help=True)


@app.command("list")
def list_(json: JsonFlag = False, quiet: QuietFlag = False, debug: DebugFlag = False) -> None:
    """List the built-in recipes."""
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.cli.render import recipe_table
        from edgekd.cli.schemas import RecipesOutput
        from edgekd.recipe import builtin_recipes

        recipes = {name: _summary(path) for name, path in builtin_recipes().items()}
        output.result(RecipesOutput(recipes=recipes))
        output.show(recipe_table(recipes))


def _summary(path: Path) -> str:
    """Return the comment on the first line of a recipe."""
    return path.read_text(encoding="utf-8").splitlines()[0].removeprefix("#").strip()


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A built-in recipe, or a TOML file.")],
    resolved: Annotated[
        bool, typer.Option("--resolved", help="With all defaults filled in.")
    ] = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Print a recipe."""
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.cli.schemas import RecipeOutput
        from edgekd.recipe import Recipe, find_recipe

        path = find_recipe(name)
        recipe = Recipe.load(name)
        output.result(
            RecipeOutput(name=recipe.name, path=str(path), recipe=recipe.model_dump(mode="json"))
        )
        text = recipe.to_toml() if resolved else path.read_text(encoding="utf-8")
        output.line(text.rstrip("\n"))


@app.command("init")
def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("recipe.toml"),
    stdout: Annotated[
        bool, typer.Option("--stdout", help="Print it instead of writing it.")
    ] = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Write a commented recipe for your own model and data."""
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.cli.schemas import InitOutput
        from edgekd.recipe import BUILTIN
        from edgekd.storage import atomic_write, refuse_existing

        text = (BUILTIN / "starter.toml.txt").read_text(encoding="utf-8")
        if stdout:
            output.result(InitOutput(text=text))
            output.line(text.rstrip("\n"))
            return
        refuse_existing(path)
        atomic_write(path, text)
        output.result(InitOutput(path=str(path)))
        output.line(f"wrote {path}")
        output.say(f"Change it to name your model and data, then: edgekd distill {path}")
