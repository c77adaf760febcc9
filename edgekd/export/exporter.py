"""What every target gives: an `Exporter` that turns a prepared network into a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from edgekd.errors import ExportError, MissingExtraError
from edgekd.export.plan import Plan
from edgekd.export.ports import Arrays
from edgekd.export.surface import Layout as Layout
from edgekd.export.surface import Surface


@dataclass(frozen=True)
class Exported:
    """A file that was just made.

    Attributes:
        path: the file.
        notes: what the user should know of it.
        floats: the float file that it was quantized from, in the same folder.
    """

    path: Path
    notes: tuple[str, ...] = ()
    floats: Path | None = None


class Exporter(Protocol):
    """Makes files of one format. It never checks them: the caller always does, with ``runtime``.

    Attributes:
        runtime: the row of the table of runtimes that runs the file.
        schemes: the names of the schemes that it can make.
        image_layout: how images lie in the file unless the user says otherwise.
        batch: samples a call unless the user says otherwise; None: free.
    """

    runtime: str
    schemes: tuple[str, ...]
    image_layout: Layout
    batch: int | None

    def require(self, plan: Plan) -> None:
        """Refuse at once what cannot work on this machine, before anything is loaded.

        Raises:
            MissingExtraError: a package is not installed.
            ExportError: a package does not exist for this platform.
        """
        ...

    def export(
        self, surface: Surface, plan: Plan, *, calibration: Arrays | None, directory: Path
    ) -> Exported:
        """Write the file.

        Args:
            surface: the network as the file is to show it, with an example of its inputs.
            plan: how to quantize it, and for what.
            calibration: network inputs ``(n, *shape)`` by name, channels first, for schemes that
                need them; ``surface.feeds`` lays them out.
            directory: where to write.

        Raises:
            ExportError: the network, or the scheme on this network, cannot be converted.
        """
        ...


def check_scheme(exporter: Exporter, plan: Plan) -> None:
    """Refuse a scheme that a target does not have.

    Raises:
        ExportError: names those that it has.
    """
    if plan.scheme.name not in exporter.schemes:
        raise ExportError(
            f"{plan.target} files cannot be quantized by {plan.scheme.name}",
            hint=f"--target {plan.target} has: {', '.join(exporter.schemes)}",
        )


def installed(package: str) -> bool:
    """Say whether a package can be imported, without importing it."""
    return find_spec(package) is not None


def require_packages(packages: Sequence[str], *, target: str) -> None:
    """Refuse when a package is missing. The target's extra bears its name.

    Raises:
        MissingExtraError: names the first that is missing.
    """
    for package in packages:
        if not installed(package):
            raise MissingExtraError(f"export to {target}", extra=target, package=package)
