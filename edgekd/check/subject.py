"""What is checked, or what it is held against: a run, a bare model file, or measurements.

All three become the same list of `Item`s, so that the verdicts do not care where they came from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from edgekd.check.facts import Facts, read_facts
from edgekd.check.quantities import LATENCY, OF_FILE
from edgekd.errors import RunError
from edgekd.records import ArtifactManifest, Measurement, ModelFacts, Score
from edgekd.rundir import Run, read_record, sha256_file
from edgekd.runtimes.files import SUFFIXES, identify

#: The rows of the table that are no files to ship; only a limit that names them holds for them.
NETWORKS = ("teacher", "student")


@dataclass(frozen=True)
class Item:
    """One file, or one network of a run.

    Attributes:
        name: the artifact's name, ``teacher``, ``student``, or the name of a bare file.
        exported: it is a file to ship, which general limits hold for.
        format: ``tflite`` or ``onnx``; None for networks.
        known: numbers that do not depend on a device.
        sha256: of the file; a measurement of another file is stale.
        measurements: by device.
        path: the file itself, where there is one.
        scheme: how it was quantized, ``none`` for float32; None: not known.
    """

    name: str
    exported: bool = True
    format: str | None = None
    known: Mapping[str, float] = field(default_factory=dict)
    sha256: str | None = None
    measurements: Mapping[str, Measurement] = field(default_factory=dict)
    path: Path | None = None
    scheme: str | None = None

    @cached_property
    def facts(self) -> Facts:
        """What the file itself says; it is read when first asked for."""
        return Facts() if self.path is None else read_facts(self.path)

    def value(self, metric: str, device: str | None) -> float | None:
        """Return a number of the item, on a device; None if it is not known."""
        if metric in OF_FILE and self.path is not None:
            return self.facts.numbers.get(metric)  # of this file, whatever was measured
        measurement = self.measurements.get(device) if device else None
        if measurement is not None and self.trouble(device) is None:
            found = _number(measurement, metric)
            if found is not None:
                return found
        return self.known.get(metric)

    def emulated(self, device: str | None) -> bool:
        """Say whether a device, or for None every one there is, was emulated."""
        found = [m for name, m in self.measurements.items() if device in (None, name)]
        return bool(found) and all(measurement.emulated for measurement in found)

    def trouble(self, device: str | None) -> str | None:
        """Say why the measurement on a device cannot be used at all; None if it can."""
        measurement = self.measurements.get(device) if device else None
        if measurement is None:
            return f"it was not measured on {device}" if device else "it was not measured"
        if measurement.status == "failed":
            return f"measuring it on {device} failed: {measurement.error}"
        if self.sha256 and measurement.model_sha256 not in (None, self.sha256):
            return f"the file has changed since it was measured on {device}"
        return None

    def throttled(self, device: str | None) -> str | None:
        """Say what slowed a device down while the item was measured there; None: nothing did."""
        measurement = self.measurements.get(device) if device else None
        if measurement is None or not measurement.throttled:
            return None
        reasons = measurement.environment.get("throttling")
        told = "; ".join(map(str, reasons)) if isinstance(reasons, list | tuple) else ""
        return f"the device was throttled ({told})" if told else "the device was throttled"

    def reason(self, metric: str, device: str | None) -> str:
        """Say why a number is not known."""
        if metric == "fp32_parity":
            return self._parity_reason()
        if metric in OF_FILE:
            return self.facts.unknown.get(metric, "there is no file to read it from")
        if metric == LATENCY and self.emulated(device):
            return "it was measured under emulation only, where milliseconds say nothing"
        trouble = self.trouble(device)
        if trouble is not None:
            return trouble
        if metric == "instructions" and not self.emulated(device):
            return "instructions are counted on emulated devices only"
        unknown = self.measurements[device].unknown if device else {}
        short = metric.split("_")[0]
        told = next((why for key, why in unknown.items() if key in (metric, short)), None)
        return told or f"the measurement on {device} does not hold it"

    def _parity_reason(self) -> str:
        if self.scheme not in (None, "none"):
            return f"the file is quantized ({self.scheme}), so that it is not held to float32"
        return "no manifest beside the file tells what its proof found"


@dataclass(frozen=True)
class Subject:
    """What is checked, or the baseline.

    Attributes:
        label: what to call it in messages.
        items: its files and networks, by name.
        run: the run, if it is one.
    """

    label: str
    items: Mapping[str, Item]
    run: Run | None = None

    @property
    def exported(self) -> list[Item]:
        """The files to ship."""
        return [item for item in self.items.values() if item.exported]


def subject(ref: Run | str | Path | None) -> Subject:
    """Open what is checked, or what it is held against.

    Args:
        ref: a run (open, id, or path; None for the newest), a model file, or a folder of
            measurements as ``edgekd benchmark FILE --out`` writes it.

    Raises:
        RunError: it is none of them, or cannot be trusted.
        ModelFileError: it is a file, but no model.
    """
    if ref is None or isinstance(ref, Run):
        return _of_run(Run.open(ref))
    path = Path(ref)
    if path.is_file() or path.suffix.lower() in {s for group in SUFFIXES.values() for s in group}:
        return _of_file(path)
    if path.is_dir() and not (path / "manifest.json").exists():
        measurements = [read_record(file, Measurement) for file in sorted(path.glob("*.json"))]
        if measurements:
            return _of_measurements(path, measurements)
    return _of_run(Run.open(ref))


def _of_run(run: Run) -> Subject:
    by_name: dict[str, dict[str, Measurement]] = {}
    for found in run.measurements():
        by_name.setdefault(found.artifact, {})[found.device] = found
    manifest = run.manifest
    items = []
    for artifact in run.artifacts():
        file = artifact.manifest.files[artifact.manifest.file]
        items.append(
            Item(
                name=artifact.manifest.name,
                format=artifact.manifest.target,
                known={"size_bytes": file.size_bytes, **_parity(artifact.manifest)},
                sha256=file.sha256,
                measurements=by_name.get(artifact.manifest.name, {}),
                path=artifact.path,
                scheme=artifact.manifest.quantize,
            )
        )
    teacher = manifest.teachers[0] if manifest.teachers else None
    networks = zip(
        NETWORKS,
        (teacher, manifest.student),
        (manifest.teacher_scores, manifest.student_scores),
        strict=True,
    )
    for name, facts, scores in networks:
        if facts is not None:
            known = _known(facts, scores)
            measured = by_name.get(name, {})
            items.append(Item(name, exported=False, known=known, measurements=measured))
    return Subject(f"the run {manifest.id}", {item.name: item for item in items}, run)


def _known(facts: ModelFacts, scores: Sequence[Score | None]) -> dict[str, float]:
    """Return what the run knows of a network without a benchmark."""
    score = scores[0] if scores else None
    numbers = {
        "size_bytes": facts.size_bytes,
        "parameters": facts.parameters,
        "macs": facts.macs,
        "accuracy": score.test_accuracy if score else None,
        "agreement": score.test_agreement if score else None,
    }
    return {key: value for key, value in numbers.items() if value is not None}


def _parity(manifest: ArtifactManifest) -> dict[str, float]:
    """Return how far a float32 file is from its network, as the proof at its export found."""
    return {"fp32_parity": manifest.parity.max_abs_error} if manifest.quantize == "none" else {}


def _of_file(path: Path) -> Subject:
    """Weigh a bare file; beside the manifest that it was exported with, it keeps its name."""
    item = _bare(path)
    return Subject(f"the file {path}", {item.name: item})


def _bare(path: Path) -> Item:
    kind, sha256 = identify(path), sha256_file(path)
    item = Item(
        path.name,
        format=kind,
        known={"size_bytes": float(path.stat().st_size)},
        sha256=sha256,
        path=path,
    )
    if (path.parent / "manifest.json").is_file():
        try:
            manifest = read_record(path.parent / "manifest.json", ArtifactManifest)
        except RunError:
            return item  # somebody else's manifest.json
        if manifest.file == path.name:
            item = replace(item, name=manifest.name)
            if manifest.files[manifest.file].sha256 == sha256:
                known = {**item.known, **_parity(manifest)}
                item = replace(item, known=known, scheme=manifest.quantize)
    return item


def several(paths: Sequence[Path], names: Iterable[str]) -> Subject:
    """Open several bare files.

    Args:
        paths: of the files.
        names: that a budget has tables for. A file is called by its path, as it was given, where
            one of them is that path or two files have the same name.

    Raises:
        ModelFileError: one of them is no model.
    """
    tables = set(names)
    found = [_bare(path) for path in dict.fromkeys(paths)]
    often = Counter(item.name for item in found)
    items: dict[str, Item] = {}
    for item in found:
        place = item.path.as_posix() if item.path else item.name
        own = place if place in tables or often[item.name] > 1 else item.name
        items[own] = replace(item, name=own)
    return Subject(f"{len(items)} files" if len(items) != 1 else f"the file {paths[0]}", items)


def _of_measurements(path: Path, measurements: Sequence[Measurement]) -> Subject:
    items: dict[str, Item] = {}
    for found in measurements:
        before = items.get(found.artifact)
        suffix = Path(found.path).suffix.lower()
        size = found.size_bytes
        items[found.artifact] = Item(
            name=found.artifact,
            format=next((kind for kind, known in SUFFIXES.items() if suffix in known), None),
            known={} if size is None else {"size_bytes": size},
            measurements={**(before.measurements if before else {}), found.device: found},
        )
    return Subject(f"the measurements in {path}", items)


def _number(measurement: Measurement, metric: str) -> float | None:
    """Return a number of a measurement. Emulated milliseconds say nothing of the device."""
    if metric == LATENCY:
        usable = measurement.latency is not None and not measurement.emulated
        return measurement.latency.p50_ms if usable and measurement.latency else None
    memory, counted = measurement.memory, measurement.instructions
    numbers: dict[str, float | None] = {
        "peak_rss_bytes": memory.peak_rss_bytes if memory else None,
        "anonymous_bytes": memory.anonymous_bytes if memory else None,
        "instructions": counted.per_inference if counted else None,
        "parameters": measurement.parameters,
        "macs": measurement.macs,
        "accuracy": measurement.accuracy,
        "agreement": measurement.agreement,
    }
    return numbers.get(metric)
