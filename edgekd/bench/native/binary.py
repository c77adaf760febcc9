"""A benchmark program that the user has for a device: which one it is, and that it is the one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekd.bench.native import benchmark_model
from edgekd.bench.settings import Settings
from edgekd.errors import MeasurementError
from edgekd.rundir import sha256_file

#: How the programs that measure TFLite files are called.
Command = Callable[[str, str, int, Settings], list[str]]


@dataclass(frozen=True)
class Program:
    """A program that is known.

    Attributes:
        name: what measurements call it.
        part: what its file's name holds.
        kind: the files that it runs, ``tflite`` or ``onnx``.
        command: how it is called; None: `edgekd.bench.native.perf_test` says.
    """

    name: str
    part: str
    kind: str
    command: Command | None = None


#: Those that are known; the first whose part is in the file's name.
PROGRAMS = (
    Program("onnxruntime_perf_test", "perf_test", "onnx"),
    Program("litert-benchmark", "litert-benchmark", "tflite", benchmark_model.python_argv),
    Program("benchmark_model", "benchmark", "tflite", benchmark_model.argv),
)


@dataclass(frozen=True)
class Binary:
    """A program of the user's that has been checked.

    Attributes:
        path: the file on this machine.
        sha256: its hash, lower case.
        program: which program it is.
    """

    path: Path
    sha256: str
    program: Program


def check(path: str | Path, sha256: str) -> Binary:
    """Return a program after a look at its name and its hash.

    It is run on a device with the user's rights there: only the very file that the user names.

    Args:
        path: the file.
        sha256: its hash in hexadecimal digits.

    Raises:
        MeasurementError: there is no such file, it is another one, or no program that is known.
    """
    found, wanted = Path(path), sha256.strip().lower()
    if not re.fullmatch("[0-9a-f]{64}", wanted):
        raise MeasurementError(
            f"--binary-sha256 {sha256}: a SHA-256 has 64 hexadecimal digits",
            hint=f"Those of your file: sha256sum {found}",
        )
    if not found.is_file():
        raise MeasurementError(f"--binary {found}: there is no such file")
    actual = sha256_file(found)
    if actual != wanted:
        raise MeasurementError(
            f"--binary {found}: it is another file than --binary-sha256 says",
            hint=f"Its SHA-256 is {actual}. Where it came from says which one is right.",
        )
    for program in PROGRAMS:
        if program.part in found.name.replace("litert_benchmark", "litert-benchmark"):
            return Binary(found, actual, program)
    raise MeasurementError(
        f"--binary {found}: its name says of no program that is known which one it is",
        hint="Programs: " + ", ".join(f"{p.name} ({p.kind})" for p in PROGRAMS),
    )


def check_all(paths: Sequence[str | Path], hashes: Sequence[str]) -> tuple[Binary, ...]:
    """Return the programs of one call, at most one a format.

    Raises:
        MeasurementError: there is not one hash a program, or two programs run one format.
    """
    if len(paths) != len(hashes):
        raise MeasurementError(
            f"{len(paths)} --binary and {len(hashes)} --binary-sha256",
            hint="Give each program its own hash: --binary FILE --binary-sha256 HEX",
        )
    found = tuple(check(path, sha256) for path, sha256 in zip(paths, hashes, strict=True))
    kinds = [binary.program.kind for binary in found]
    if len(set(kinds)) < len(kinds):
        raise MeasurementError("two --binary run the same files: give one a format")
    return found


def of_kind(binaries: Sequence[Binary], kind: str | None) -> Binary | None:
    """Return the program that runs files of a kind, or None."""
    return next((binary for binary in binaries if binary.program.kind == kind), None)
