"""Which file is meant: a file, an artifact's folder, or a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekd.errors import RunError
from edgekd.records import ArtifactManifest, Parity
from edgekd.rundir import Artifact, Run, read_record, sha256_file

_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Target:
    """A model file, and the proof that stands beside it, if any."""

    file: Path
    parity: Parity | None = None


def find(source: str | Path | None) -> Target:
    """Return the file that is meant.

    Args:
        source: a file, an artifact's folder, a run (id or folder), or None for the newest run.

    Raises:
        RunError: a run that holds no artifact, or several.
        TamperedError: a file is not the one that its manifest names.
    """
    path = None if source is None else Path(source)
    if path is not None and (path.is_file() or _names_a_file(path)):
        return Target(path, _parity_beside(path))
    if path is not None and _is_artifact(path):
        artifact = Artifact.open(path)
        return Target(artifact.path, artifact.manifest.parity)
    run = Run.open(source)
    artifacts = run.artifacts()
    if len(artifacts) == 1:
        return Target(artifacts[0].path, artifacts[0].manifest.parity)
    if not artifacts:
        raise RunError(
            f"{run.path} holds no artifact", hint="Export one: edgekd export --target tflite"
        )
    folders = "\n".join(f"  edgekd inspect {artifact.directory}" for artifact in artifacts)
    raise RunError(f"{run.path} holds {len(artifacts)} artifacts", hint=f"Name one:\n{folders}")


def _names_a_file(path: Path) -> bool:
    """Whether it looks like a file that is missing, rather than like the id of a run."""
    return not path.exists() and path.suffix != "" and not path.suffix[1:].isdigit()


def _is_artifact(path: Path) -> bool:
    manifest = path / _MANIFEST
    return manifest.is_file() and '"artifact"' in manifest.read_text(errors="replace")


def _parity_beside(path: Path) -> Parity | None:
    """Return the proof of a file that lies in its artifact's folder, unchanged."""
    if not _is_artifact(path.parent):
        return None
    try:
        manifest = read_record(path.parent / _MANIFEST, ArtifactManifest)
    except RunError:
        return None
    known = manifest.files.get(path.name)
    same = known is not None and known.sha256 == sha256_file(path)
    return manifest.parity if same else None
