"""Which wheels of the runtimes there are, and the line that installs one.

The facts are the file names on PyPI, asked with ``pip install --dry-run --platform ...`` for
Python 3.9 to 3.14. None of the projects has a source distribution that pip could build instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekd.bench.probe import Python

#: No wheel here is for an older C library: manylinux2014.
_LEAST_GLIBC = (2, 17)
#: Names of manylinux before PEP 600 gave them numbers.
_OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


@dataclass(frozen=True)
class _Wheels:
    """The wheels of one project.

    Attributes:
        project: its name.
        machines: processors that there are wheels for.
        glibc: the oldest C library.
        last: the last version for an old minor version of Python.
        newest: the newest minor version of Python that there are wheels for; None: no end known.
    """

    project: str
    machines: frozenset[str]
    glibc: tuple[int, int]
    last: dict[tuple[int, int], str]
    newest: tuple[int, int] | None = None


_64 = frozenset({"aarch64", "x86_64"})
_WHEELS = {
    "litert": _Wheels("ai-edge-litert", _64, (2, 27), {(3, 9): "2.1.0"}),
    "onnxruntime": _Wheels("onnxruntime", _64, (2, 28), {(3, 9): "1.19.2", (3, 10): "1.23.2"}),
    "tflite-runtime": _Wheels("tflite-runtime", _64 | {"armv7l"}, _LEAST_GLIBC, {}, newest=(3, 11)),
    "tensorflow": _Wheels("tensorflow", _64, (2, 27), {}),
}


def requirements(runtime: str, python: Python) -> tuple[list[str], str | None]:
    """Return what pip installs for a runtime on a device, or why there is no wheel.

    Args:
        runtime: by name.
        python: the device's.

    Returns:
        requirements, NumPy among them where it matters; the reason where they are empty.
    """
    wheels = _WHEELS.get(runtime)
    if wheels is None:
        return [], f"edgekd does not install {runtime}"
    what, version = wheels.project, f"{python.minor[0]}.{python.minor[1]}"
    if python.implementation != "CPython" or python.minor < (3, 9):
        return [], f"{what} has no wheel for {python.implementation} {version}"
    if wheels.newest is not None and python.minor > wheels.newest:
        newest = ".".join(map(str, wheels.newest))
        return [], f"{what} has wheels for Python 3.9 to {newest} only, and this is {version}"
    if python.machine not in wheels.machines:
        return [], f"{what} has no wheel for {python.machine}"
    if python.glibc is None:
        return [], f"{what} has wheels for glibc only, and this system has another C library"
    if python.glibc < wheels.glibc:
        least, here = (".".join(map(str, v)) for v in (wheels.glibc, python.glibc))
        return [], f"{what} has wheels for glibc {least} or newer, and this is {here}"
    if runtime == "tflite-runtime":
        # Built against NumPy 1; 2.14 for Arm asks for glibc 2.34, 2.13 does not.
        old = python.machine != "x86_64" and python.glibc < (2, 34)
        return [f"{what}=={'2.13.0' if old else '2.14.0'}", "numpy<2"], None
    last = wheels.last.get(python.minor)
    return [f"{what}=={last}" if last else what, "numpy"], None


def install_line(runtime: str, python: Python) -> tuple[str | None, str | None]:
    """Return the command that installs a runtime on the device itself, or why there is none."""
    wanted, reason = requirements(runtime, python)
    if reason is not None:
        return None, reason
    return pip_line(wanted, python), None


def pip_line(wanted: list[str], python: Python) -> str:
    """Return the command that installs requirements with the device's own pip.

    Debian's Python refuses to install beside the system's packages (PEP 668): there it takes an
    environment.
    """
    names = " ".join(f"'{name}'" if set("<>=") & set(name) else name for name in wanted)
    if not python.managed:
        return f"{python.command} -m pip install {names}"
    environment = "~/edgekd-venv"
    make = f"{python.command} -m venv --system-site-packages {environment}"
    return f"{make} && {environment}/bin/pip install {names}"


def platforms(machine: str, glibc: tuple[int, int]) -> list[str]:
    """Return the platforms whose wheels run on a system, the newest first.

    >>> platforms("aarch64", (2, 28))[:2], platforms("aarch64", (2, 28))[-1]
    (['manylinux_2_28_aarch64', 'manylinux_2_27_aarch64'], 'linux_aarch64')
    """
    found = []
    for minor in range(glibc[1], _LEAST_GLIBC[1] - 1, -1):
        found.append(f"manylinux_2_{minor}_{machine}")
        if minor in _OLD_NAMES:
            found.append(f"{_OLD_NAMES[minor]}_{machine}")
    return [*found, f"linux_{machine}"]
