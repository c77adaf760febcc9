"""Options that say where the one device of a command is reached."""

from __future__ import annotations

from typing import Annotated

import typer

OneAddress = Annotated[
    str | None,
    typer.Option(help="Where the one --device is: user@host[:port], or ssh's name for it."),
]
OneSerial = Annotated[
    str | None, typer.Option(help="Serial number of the one --device, as adb lists it.")
]
