"""Where a record came from: commit, versions, machine, command, seed."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

from edgekd.records import Provenance

#: Installed distributions whose versions decide results; those that are absent are left out.
PACKAGES = (
    "torch",
    "numpy",
    "lightning-fabric",
    "kornia",
    "onnx",
    "onnxruntime",
    "litert-torch",
    "ai-edge-quantizer",
    "ai-edge-litert",
    "scikit-learn",
)


def collect(
    *,
    seed: int | None = None,
    packages: Iterable[str] = PACKAGES,
    wall_seconds: float | None = None,
) -> Provenance:
    """Gather the facts of this process and machine.

    Args:
        seed: the seed that the work used.
        packages: distributions whose versions to note.
        wall_seconds: how long the work took.
    """
    commit, dirty = git_state(Path.cwd())
    return Provenance(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        edgekd=version("edgekd") or "unknown",
        python=platform.python_version(),
        platform=platform.platform(),
        packages={name: found for name in packages if (found := version(name))},
        cpu=cpu_model(),
        cores=os.cpu_count(),
        governor=governor(),
        git_commit=commit,
        git_dirty=dirty,
        command=tuple([Path(sys.argv[0]).name, *sys.argv[1:]]),
        seed=seed,
        wall_seconds=wall_seconds,
    )


def version(distribution: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """Return the commit that ``folder`` stands at and whether it has uncommitted changes.

    Both are None outside a git checkout, in one without commits, or without git.
    """
    try:
        head = _git(folder, "rev-parse", "HEAD")
        changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None, None
    return head, bool(changes)


def git_branch(folder: Path) -> str | None:
    """Return the branch that ``folder`` stands at; None where none is checked out."""
    try:
        return _git(folder, "symbolic-ref", "--short", "HEAD") or None
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    return done.stdout.strip()


def cpu_model() -> str | None:
    """Return the processor's name, or None where it is not told."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                return value.strip()
    except OSError:
        pass
    return platform.processor() or None


def governor() -> str | None:
    """Return the frequency governor of the first core, or None where there is none."""
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    try:
        return path.read_text().strip()
    except OSError:
        return None
