"""Python packages for another machine: fetched by pip here, unpacked into a tree."""

from __future__ import annotations

import sys
import tempfile
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from edgekd.emulation import host
from edgekd.errors import MeasurementError

#: Wheels of Linux are tagged with the glibc that they need at least; the oldest for arm64 is 2.17.
_OLDEST_GLIBC = 17


def pinned(packages: Sequence[str]) -> tuple[str, ...]:
    """Give every package that is a bare name the version installed here.

    So a file runs in the same version of its runtime on the box and on this machine, and their
    outputs may be compared bit for bit. A package that is not installed here stays as it is.

    >>> pinned(["numpy>=1.26"])
    ('numpy>=1.26',)
    """
    found = []
    for package in packages:
        if not set(package) & set("=<>~!@[; "):
            try:
                package = f"{package}=={metadata.version(package)}"
            except metadata.PackageNotFoundError:
                pass
        found.append(package)
    return tuple(found)


def platforms(glibc: tuple[int, int], machine: str = "aarch64") -> tuple[str, ...]:
    """Return the tags of wheels that run with a glibc, newest first.

    >>> platforms((2, 18))
    ('manylinux_2_18_aarch64', 'manylinux_2_17_aarch64', 'manylinux2014_aarch64', 'linux_aarch64')
    """
    numbered = [
        f"manylinux_{glibc[0]}_{minor}_{machine}"
        for minor in range(glibc[1], _OLDEST_GLIBC - 1, -1)
    ]
    return (*numbered, f"manylinux2014_{machine}", f"linux_{machine}")


def unpack(
    packages: Sequence[str], into: Path, *, python: str, glibc: tuple[int, int]
) -> tuple[str, ...]:
    """Fetch wheels and unpack them into a folder of Python packages.

    What a wheel depends on is not fetched: runtimes list much that running a model does not need.

    Args:
        packages: requirements, e.g. ``numpy==2.4.6``.
        into: the folder; it is created.
        python: the version of the Python that will use them, e.g. ``3.11``.
        glibc: the version of its C library.

    Returns:
        the names of the wheels.

    Raises:
        MissingDeviceError: there is no pip.
        MeasurementError: there is no such wheel, or the index cannot be reached.
    """
    host.require_pip()
    with tempfile.TemporaryDirectory(prefix="edgekd-wheels-") as folder:
        for package in packages:  # one by one: the error names the one that is missing
            _download(package, Path(folder), python=python, glibc=glibc)
        into.mkdir(parents=True, exist_ok=True)
        wheels = sorted(Path(folder).glob("*.whl"))
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(into)
        return tuple(wheel.name for wheel in wheels)


def _download(package: str, folder: Path, *, python: str, glibc: tuple[int, int]) -> None:
    try:
        host.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--only-binary", ":all:", "--python-version", python, "--dest", folder),
                *(f"--platform={tag}" for tag in platforms(glibc)),
                package,
            ],
            what=f"{package} for arm64",
            timeout=600,
        )
    except MeasurementError as error:
        raise MeasurementError(
            f"there is no wheel of {package} for Python {python} on arm64, or the package index "
            f"cannot be reached\n{error.message}",
            hint="Name another version in the device's profile: [emulation] packages.",
        ) from error
