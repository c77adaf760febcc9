"""Single Debian packages of another architecture, fetched by apt without root and unpacked."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgekd.emulation import host
from edgekd.emulation.sources import sources_for
from edgekd.errors import MissingDeviceError

_HINT = "Is the archive of Debian's packages reachable? Try: apt-get update"


def unpack(packages: Sequence[str], into: Path, *, suite: str, architecture: str = "arm64") -> None:
    """Fetch packages and unpack them one over the other; their scripts are not run.

    apt checks the signatures. What a package depends on is not fetched: name it too. Nothing of
    the machine's own apt is read but its sources, and nothing is written but in ``into``.

    Args:
        packages: names of packages.
        into: the folder; it is created.
        suite: the release of Debian, e.g. ``bookworm``.
        architecture: as Debian names it.

    Raises:
        MissingDeviceError: there is no apt, or it has no source of Debian's packages.
        MeasurementError: a package is missing, or the archive cannot be reached.
    """
    apt, dpkg = host.find("apt-get"), host.find("dpkg-deb")
    if apt is None or dpkg is None:
        raise MissingDeviceError(
            "this machine has no apt-get and dpkg-deb, which fetch and unpack Debian's packages",
            hint="Do it on Debian or Ubuntu, also in a container: apt-get install apt dpkg",
        )
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="edgekd-apt-") as name:
        folder = Path(name)
        command = [apt, *_options(folder, suite, architecture)]
        what = f"a list of {suite}'s packages for {architecture}"
        host.run([*command, "update"], what=what, timeout=600, hint=_HINT)
        # apt has no option for where to; it writes where it runs.
        host.run(
            ["env", f"--chdir={folder}", *command, "download", *packages],
            what=f"a copy of Debian's packages for {architecture}",
            timeout=1200,
            hint=_HINT,
        )
        for archive in sorted(folder.glob("*.deb")):
            host.run([dpkg, "-x", archive, into], what=f"a tree of {archive.name}", timeout=300)


def _options(folder: Path, suite: str, architecture: str) -> list[str]:
    """Return what makes apt live in a folder, as another architecture."""
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    (folder / "status").touch()
    sources = folder / "sources.list"
    sources.write_text("".join(f"{source.line()}\n" for source in sources_for(suite)))
    settings = {
        "Dir::State::Lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "Acquire::Languages": "none",
        # As root, apt would become the user _apt, who may not write here.
        "APT::Sandbox::User": "root",
    }
    return [f"-o{key}={value}" for key, value in settings.items()]
