"""A Python inside a box whose instructions are counted.

Debian's static QEMU, which runs everything else in a box, cannot load plugins. The dynamic one can:
it is copied into the root file system with the libraries of this machine that it needs, beside the
plugin `counter.c` and a script that starts Python under both. What the counts mean is told in
docs/emulated.md; `edgekd/bench/agent.py` reads them.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgekd.emulation import host
from edgekd.errors import MeasurementError, MissingDeviceError
from edgekd.storage import atomic_file, sha256_file, writing

#: The folder inside the root that it is put into.
FOLDER = "/opt/edgekd"
PYTHON = ("/usr/bin/python3",)
SOURCE = Path(__file__).with_name("counter.c")
QEMU = "qemu-aarch64"
#: Program -> the packages of Debian that hold it and what it needs.
PROGRAMS = {QEMU: "qemu-user", "gcc": "gcc libc6-dev", "ldd": "libc-bin"}

#: The first release whose plugins must say that they know version 2 of the interface.
_SECOND_API = 9
_LOADER = "ld.so"
_PLUGIN = "counter.so"
_COMPILE = "-std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -fPIC -fvisibility=hidden -shared"
_TIMEOUT_S = 60.0
#: A library of the device that is preloaded would confuse the loader, which is this machine's. The
#: order of sets is part of what is counted.
_SCRIPT = """\
#!/bin/sh
# Runs {what} under a QEMU that counts its instructions: edgekd, docs/emulated.md.
for folder in "${{TMPDIR:-/tmp}}" /tmp /data/local/tmp; do
  [ -w "$folder" ] && break
done
export EDGEKD_COUNTER="$folder/edgekd-counter-$$" PYTHONHASHSEED=0
unset LD_PRELOAD
exec {here}/{loader} --inhibit-cache --library-path {here} {here}/{qemu} \\
  -plugin '{here}/{plugin},name={name}' {program} "$@"
"""


def install(root: Path, program: Sequence[str] = PYTHON) -> str:
    """Put the counter into a root file system. Where it is there already, nothing is done.

    Args:
        root: an arm64 root file system, as this machine sees it.
        program: the program to count and its first arguments, as paths inside; empty: whatever the
            arguments name.

    Returns:
        the path inside of what runs the program, counted.

    Raises:
        MissingDeviceError: this machine lacks the dynamic QEMU or a C compiler.
        MeasurementError: the plugin cannot be compiled.
        StorageError: the root file system cannot be written.
    """
    tools = _tools()
    version = qemu_version(_run([tools[QEMU], "--version"], "the version of QEMU"))
    key = hashlib.sha256(
        "\n".join(
            [sha256_file(SOURCE), sha256_file(Path(tools[QEMU])), _SCRIPT, _COMPILE, *program]
        ).encode()
    ).hexdigest()[:12]
    inside = f"{FOLDER}/counter-{key}"
    folder = root / inside.lstrip("/")
    if not folder.is_dir():
        with writing(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
            try:
                _fill(part, inside, tools, version, program)
                part.chmod(0o755)
                _move(part, folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    return f"{inside}/counted"


def script(inside: str, version: str, program: Sequence[str]) -> str:
    """Return the script that runs a program under the counter.

    Args:
        inside: the folder of the counter, as a path inside the root.
        version: QEMU's.
        program: the program and its first arguments.
    """
    return _SCRIPT.format(
        what=shlex.join(program) or "a program",
        here=inside,
        loader=_LOADER,
        qemu=QEMU,
        plugin=_PLUGIN,
        name=f"qemu-user {version} by block",
        program=shlex.join(program),
    )


def qemu_version(said: str) -> str:
    """Return the version out of what ``qemu-aarch64 --version`` says.

    >>> qemu_version("qemu-aarch64 version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)")
    '7.2.22'

    Raises:
        MeasurementError: it says none.
    """
    found = re.search(r"version (\d+(?:\.\d+)*)", said)
    if found is None:
        raise MeasurementError(f"{QEMU} does not tell its version: {said.strip()[:80]!r}")
    return found.group(1)


def libraries(said: str) -> tuple[Path, dict[str, Path]]:
    """Return the loader, and the libraries by name, out of what ``ldd`` says of a program.

    Raises:
        MeasurementError: a library is missing, or there is no loader.
    """
    loader, found = None, {}
    for line in said.splitlines():
        name, arrow, place = (part.strip() for part in line.partition("=>"))
        path = (place if arrow else name).rpartition(" (")[0]
        if arrow and not path.startswith("/"):
            raise MeasurementError(f"{QEMU} lacks {name} on this machine: {place}")
        if arrow:
            found[name] = Path(path)
        elif path.startswith("/"):
            loader = Path(path)
    if loader is None:
        raise MeasurementError(f"{QEMU} is no dynamic program, and takes no plugins")
    return loader, found


def _tools() -> dict[str, str]:
    found = {name: host.find(name) for name in PROGRAMS}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise MissingDeviceError(
            f"counting instructions needs {', '.join(missing)}, which this machine lacks",
            hint=f"Install it: apt-get install {' '.join(PROGRAMS[name] for name in missing)}",
        )
    return {name: str(path) for name, path in found.items()}


def _fill(
    part: Path, inside: str, tools: dict[str, str], version: str, program: Sequence[str]
) -> None:
    loader, found = libraries(_run([tools["ldd"], tools[QEMU]], "the libraries of QEMU"))
    for name, path in {_LOADER: loader, QEMU: Path(tools[QEMU]), **found}.items():
        shutil.copyfile(path, part / name)
        (part / name).chmod(0o755)
    api = 2 if int(version.partition(".")[0]) >= _SECOND_API else 1
    _run(
        [tools["gcc"], *_COMPILE.split(), f"-DAPI_VERSION={api}", "-o", part / _PLUGIN, SOURCE],
        "the counter of instructions",
    )
    (part / _PLUGIN).chmod(0o755)
    with atomic_file(part / "counted") as file:
        file.write_text(script(inside, version, program))
    (part / "counted").chmod(0o755)


def _run(argv: Sequence[str | Path], what: str) -> str:
    return host.run(argv, what=what, timeout=_TIMEOUT_S, hint="apt-get install gcc libc6-dev")


def _move(part: Path, folder: Path) -> None:
    """Rename it into place, unless another process was faster."""
    try:
        part.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
