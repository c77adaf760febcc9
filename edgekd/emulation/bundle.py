"""An arm64 Python that needs nothing of the device it runs on but a kernel.

Android has no Python and another C library than Linux boards, for which all wheels are made. The
bundle is one folder with a Python and a C library of Debian and the wheels of the runtimes; its
loader is called by name, so that it runs from anywhere and without root::

    BUNDLE/lib/ld-linux-aarch64.so.1 --library-path BUNDLE/lib BUNDLE/bin/python3

``BUNDLE/python3`` is a script that does so. Building it needs no root, and no arm64 either.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shlex
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from edgekd.emulation import host, packages, state, wheels
from edgekd.storage import atomic_write, process_lock

Say = Callable[[str], None]

#: Raise it where the same packages give another bundle.
_LAYOUT = 1
SUITE, PYTHON, GLIBC = "bookworm", "3.11", (2, 36)
#: The interpreter, what it is linked against, and what wheels may expect of a system.
PACKAGES = (
    "python3.11-minimal",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "zlib1g",
    "libexpat1",
    "libffi8",
    "libssl3",
    "libbz2-1.0",
    "liblzma5",
)
WHEELS = ("ai-edge-litert", "onnxruntime", "numpy>=1.26")
_LOADER = "ld-linux-aarch64.so.1"
#: Left out: nothing that runs a model reads it.
_USELESS = (
    "lib/python3.11/test",
    "lib/python3.11/pydoc_data",
    "lib/python3.11/turtle.py",
    "site/onnxruntime/transformers",
    "site/onnxruntime/tools",
    "site/onnxruntime/quantization",
    "site/numpy/tests",
    "site/numpy/f2py",
    "site/numpy/distutils",
    "site/ai_edge_litert/libLiteRtWebGpuAccelerator.so",
)
#: Android keeps its shell here; older releases have no /bin at all.
_STARTER = """\
#!/system/bin/sh
here={here}
unset LD_PRELOAD LD_LIBRARY_PATH
export PYTHONHOME="$here" PYTHONPATH="$here/site" PYTHONUTF8=1 PYTHONNOUSERSITE=1
exec {command} "$@"
"""


#: The bundle's own: it finds itself, wherever it lies.
_LAUNCHER = _STARTER.format(
    here="${0%/*}",
    command=f'"$here/lib/{_LOADER}" --library-path "$here/lib" "$here/bin/python3"',
)


def command(folder: str) -> tuple[str, ...]:
    """Return the interpreter of a bundle and its first arguments.

    Args:
        folder: the bundle's, on the device.
    """
    library = f"{folder}/lib"
    return f"{library}/{_LOADER}", "--library-path", library, f"{folder}/bin/python3"


def environment(folder: str) -> tuple[str, ...]:
    """Return the command ``env`` and its arguments, which give the interpreter its variables.

    Args:
        folder: the bundle's, on the device.
    """
    variables = {
        "PYTHONHOME": folder,
        "PYTHONPATH": f"{folder}/site",
        "PYTHONUTF8": "1",
        "PYTHONNOUSERSITE": "1",
    }
    # What is preloaded on the device is made for its own C library.
    return (
        *("env", "-u", "LD_PRELOAD", "-u", "LD_LIBRARY_PATH"),
        *(f"{name}={value}" for name, value in variables.items()),
    )


def starter(folder: str, command: Sequence[str]) -> str:
    """Return the script that sets the variables of a bundle's interpreter and runs a command.

    Args:
        folder: the bundle's, on the device.
        command: the interpreter, or what counts it, and first arguments.
    """
    return _STARTER.format(here=shlex.quote(folder), command=shlex.join(command))


def build(requirements: Sequence[str] = (), *, say: Say) -> Path:
    """Return the folder of a bundle; build it if it is not there.

    Args:
        requirements: Python packages; a bare name gets the version that is installed here.
            Default: `WHEELS`.
        say: gets a line before what takes long.

    Returns:
        the folder: ``python3``, ``bin``, ``lib``, ``site`` and ``bundle.json``, which says what is
        in it.

    Raises:
        MissingDeviceError: this machine has no apt-get or no pip.
        MeasurementError: a package is missing, or an archive cannot be reached.
        StorageError: it cannot be written.
    """
    wanted = wheels.pinned(tuple(requirements) or WHEELS)
    folder = state.folder() / "bundles" / identity(wanted)
    if folder.is_dir():
        return folder
    with process_lock(folder.with_name(f"{folder.name}.lock"), wait=True):
        if not folder.is_dir():
            say(
                f"building an arm64 Python {PYTHON} with {', '.join(wanted)}; once, about half "
                "a minute"
            )
            for stale in folder.parent.glob(f"{folder.name}.part-*"):
                shutil.rmtree(stale, ignore_errors=True)
            _build(folder, wanted)
    return folder


def identity(requirements: Sequence[str]) -> str:
    """Return the name that a bundle is kept under."""
    made_of = {
        "layout": _LAYOUT,
        "suite": SUITE,
        "packages": PACKAGES,
        "wheels": list(requirements),
        "useless": _USELESS,
        "launcher": _LAUNCHER,
    }
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    return f"python{PYTHON}-arm64-{digest[:12]}"


def archive(folder: Path) -> Path:
    """Return a bundle as one ``.tar.gz`` beside its folder; pack it if that is not done.

    Its files are owned by nobody in particular, and the same folder gives the same bytes.

    Raises:
        StorageError: it cannot be written.
    """
    target = folder.with_name(f"{folder.name}.tar.gz")
    with process_lock(folder.with_name(f"{folder.name}.lock"), wait=True):
        if not target.is_file():
            part = target.with_name(f"{target.name}.part")
            with part.open("wb") as file:
                _pack(folder, file)
            part.replace(target)
    return target


def _pack(folder: Path, file: IO[bytes]) -> None:
    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        return member

    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed,
        # ustar: the one format that every phone's tar reads
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for path in sorted(folder.iterdir()):
            tar.add(path, arcname=path.name, filter=plain)


def _build(folder: Path, requirements: tuple[str, ...]) -> None:
    part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    system = part / "system"
    try:
        packages.unpack(PACKAGES, system, suite=SUITE)
        _lay_out(system, part)
        shutil.rmtree(system)
        found = wheels.unpack(requirements, part / "site", python=PYTHON, glibc=GLIBC)
        for name in _USELESS:
            useless = part / name
            shutil.rmtree(useless) if useless.is_dir() else useless.unlink(missing_ok=True)
        made = {"suite": SUITE, "python": PYTHON, "glibc": list(GLIBC), "wheels": list(found)}
        atomic_write(part / "bundle.json", json.dumps(made, indent=2))
        _compile(part)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _lay_out(system: Path, part: Path) -> None:
    """Take interpreter, standard library and libraries out of the unpacked packages."""
    (part / "bin").mkdir()
    (part / "lib").mkdir()
    shutil.copy(system / f"usr/bin/python{PYTHON}", part / "bin/python3")
    standard = part / f"lib/python{PYTHON}"
    # Links lead out of the tree (sitecustomize and the like): edgekd needs none of them.
    shutil.copytree(system / f"usr/lib/python{PYTHON}", standard, symlinks=True, ignore=_links_out)
    for library in _libraries(system):
        shutil.copy(library, part / "lib" / library.name)
    launcher = part / "python3"
    launcher.write_text(_LAUNCHER)
    launcher.chmod(0o755)


def _libraries(system: Path) -> Iterator[Path]:
    for folder in ("lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu"):
        # By the name that programs ask for, libX.so.N; the full version is the same file again.
        for path in sorted((system / folder).glob("*.so*")):
            if path.is_file() and path.name.rpartition(".so")[2].count(".") <= 1:
                yield path


def _links_out(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if Path(folder, name).is_symlink()]


def _compile(part: Path) -> None:
    """Compile all modules, if the same Python runs here; otherwise the device does it."""
    if sys.version_info[:2] != tuple(int(n) for n in PYTHON.split(".")):
        return
    # unchecked: the times of files do not survive every way to a device.
    argv = [sys.executable, "-m", "compileall", "-qq", "--invalidation-mode=unchecked-hash"]
    for name in (f"lib/python{PYTHON}", "site"):
        # "-s": messages name the place in the bundle, not where it was built.
        command: list[str | Path] = [*argv, "-s", part, part / name]
        host.run(command, what=f"compiled modules of {name}", timeout=600)
