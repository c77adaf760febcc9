"""The words of the page: how each number was measured, where it came from, what is not known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgekd.footprint import footprint
from edgekd.lineage import lineage
from edgekd.records import Measurement, RunManifest
from edgekd.records_bench import Compared
from edgekd.rundir import Artifact, Run
from edgekd.summary import Row

Fact = tuple[str, str]


def lead(manifest: RunManifest) -> str:
    """Say in a sentence what was distilled from what."""
    student = manifest.student.name if manifest.student else "a student"
    text = f"{student} {_from(manifest)}"
    if manifest.classes:
        text += f", {len(manifest.classes)} classes"
    if "test" in manifest.splits:
        text += f", scored on {manifest.splits['test']:,} test samples"
    return f"{text}."


def _from(manifest: RunManifest) -> str:
    """Say whom the student learned from."""
    names = Counter(facts.name for facts in manifest.teachers)
    teachers = " and ".join(name if n == 1 else f"{n} {name}" for name, n in names.items())
    peers = " and ".join(facts.name for facts in manifest.peers)
    if peers:
        with_peers = f"learned together with {peers}"
        return f"distilled from {teachers}, {with_peers}" if teachers else with_peers
    if not teachers and any(link.role == "generation" for link in manifest.links):
        return "distilled from its own earlier generations"
    return f"distilled from {teachers or 'no teacher'}"


def measured_how(run: Run, measurements: Sequence[Measurement]) -> list[Fact]:
    """Say how each number was had."""
    test = run.manifest.splits.get("test")
    samples = f"the {test:,} test samples" if test else "the test samples"
    best = run.recipe.train.select == "best"
    kept = "Training kept the best epoch on validation" if best else "Training kept the last epoch"
    return [
        (
            "Size",
            "Bytes of the file as it would be shipped; for teacher and student, of their weights "
            "as safetensors. 1 KB is 1,000 bytes.",
        ),
        (
            "Parameters, MACs",
            "Counted on the PyTorch network. MACs: multiply-accumulates of convolutions and "
            "matrix products for one sample, by PyTorch's operator counter.",
        ),
        ("Latency", _latency(measurements)),
        *_others(measurements),
        (
            "Peak memory",
            "What the model added to the high-water mark of its process, from before it was "
            "loaded to after the first runs; the runtime itself is not in it, nor what it takes "
            "for a file that does nothing, where that was measured.",
        ),
        (
            "Accuracy",
            f"Share of {samples} whose top class is the label. Files are scored by running the "
            f"file itself. {kept}; the test split was used for scores alone.",
        ),
        ("Agreement", f"Share of {samples} that get the teacher's top class, right or wrong."),
        (
            "Spread",
            "Standard deviation over seeds. The interval is Student's t, of the differences seed "
            "by seed; it covers chance in training, not the choice of test samples.",
        ),
        (
            "More",
            "docs/measuring.md and docs/evaluate.md of edgekd; of emulated devices "
            "docs/emulated.md, of checks docs/gate.md and docs/history.md.",
        ),
    ]


def _others(measurements: Sequence[Measurement]) -> list[Fact]:
    """Say how numbers were had that few measurements hold."""
    found = []
    counted = [m.instructions for m in measurements if m.instructions]
    if counted:
        processors = ", ".join(sorted({one.cpu for one in counted}))
        text = "Instructions that an emulated processor executed for one inference"
        found.append(("Instructions", f"{text} ({processors}): the median of single counts."))
    energies = [m.energy for m in measurements if m.energy]
    if energies:
        details = "; ".join(sorted({one.detail for one in energies}))
        text = 'Of one inference. "~": an estimate, not measured.'
        found.append(("Energy", f"{text} {details}."))
    if any(m.throughput for m in measurements):
        found.append(("Samples/s", "Inferences of whole batches, one after the other."))
    return found


def _latency(measurements: Sequence[Measurement]) -> str:
    timed = [m for m in measurements if m.latency is not None]
    text = (
        "One inference of one sample, wall clock, each file in a fresh process. p50 is the "
        "median; 90% of the runs took no longer than p90. No run was dropped."
    )
    if not timed:
        return f"{text} Nothing has been measured yet."
    runs = min(m.latency.n for m in timed if m.latency)
    warm = min(m.latency.warmup_runs for m in timed if m.latency)
    threads = sorted({m.threads for m in timed if m.threads})
    count = " or ".join(str(n) for n in threads) or "?"
    plural = "" if threads == [1] else "s"
    return (
        f"{text} Here: at least {runs:,} runs after at least {warm:,} to warm up, {count} "
        f"thread{plural}. Milliseconds vary by a few percent from one benchmark to the next."
    )


def not_known(
    rows: Sequence[Row], artifacts: Sequence[Artifact], measurements: Sequence[Measurement]
) -> list[Fact]:
    """List what failed, what could not be known and why, and every warning.

    What is said of several files or devices stands there once, with all their names.
    """
    found: list[tuple[str, str | None, str]] = []
    for row in rows:
        if row.status == "failed":
            found.append((row.name, row.device, f"could not be measured: {row.error}"))
        if row.status == "stale":
            text = "has changed since it was measured; edgekd benchmark"
            found.append((row.name, row.device, text))
        if row.status == "unmeasured" and row.kind == "artifact":
            found.append((row.name, row.device, "has not been measured; edgekd benchmark"))
        if row.emulated and "latency" not in row.unknown:
            text = "was emulated: its latency says nothing about the device"
            found.append((row.name, row.device, text))
        # Few devices have a sensor of energy: the record says why there is none.
        reasons = ((number, why) for number, why in row.unknown.items() if number != "energy")
        found += [(row.name, row.device, f"{number}: {why}") for number, why in reasons]
    for one in measurements:
        found += [(one.artifact, one.device, text) for text in _to_mind(one)]
    for artifact in artifacts:
        found += [(artifact.manifest.name, None, note) for note in artifact.manifest.notes]
    together: dict[str, list[tuple[str, str | None]]] = {}
    for name, device, text in found:
        together.setdefault(text, []).append((name, device))
    return [(_where(places), text) for text, places in together.items()]


def _where(places: Sequence[tuple[str, str | None]]) -> str:
    """Name files and devices, each once where all files are meant on all devices.

    >>> _where([("a", "cpu"), ("a", "pi5"), ("b", "cpu"), ("b", "pi5"), ("c", None)])
    'a, b on cpu, pi5; c'
    """
    devices: dict[str, list[str]] = {}
    for name, device in dict.fromkeys(places):
        devices.setdefault(name, []).extend([device] if device else [])
    names: dict[str, list[str]] = {}
    for name, where in devices.items():
        names.setdefault(", ".join(where), []).append(name)
    return "; ".join(
        ", ".join(some) + (f" on {where}" if where else "") for where, some in names.items()
    )


def _to_mind(one: Measurement) -> list[str]:
    """Return what is to be minded of a measurement."""
    found = list(one.warnings)
    n, total = one.samples, one.test_samples
    if n is not None and total is not None and n < total:
        found.append(f"accuracy and agreement from {n:,} of {total:,} test samples")
    return found + [_compared(other) for other in one.compared if other.identical < other.samples]


def _compared(other: Compared) -> str:
    """Say how answers differ from those of another device, where they are not equal bit for bit."""
    if other.same_class is None:
        text = f"{other.identical:,} of {other.samples:,} outputs are those of {other.device}"
    elif other.same_class == other.samples:
        text = f"all {other.samples:,} answers are those of {other.device}, not bit for bit"
    else:
        text = f"{other.same_class:,} of {other.samples:,} answers are those of {other.device}"
    if other.max_difference is None:
        return text
    return f"{text}; outputs differ by {other.max_difference:.0e} at most"


def provenance(run: Run, measurements: Sequence[Measurement]) -> list[Fact]:
    """List where the numbers came from."""
    manifest, origin = run.manifest, run.manifest.provenance
    commit = origin.git_commit or "no git checkout"
    if origin.git_commit and origin.git_dirty:
        commit += ", with uncommitted changes"
    splits = ", ".join(f"{name} {size:,}" for name, size in manifest.splits.items())
    cpus = {m.provenance.cpu for m in measurements if m.provenance.cpu}
    devices = sorted({m.device for m in measurements})
    seconds = f"{origin.wall_seconds:,.0f} s" if origin.wall_seconds is not None else ""
    facts = [
        ("Run", manifest.id),
        ("Made", f"{origin.created}{', in ' + seconds if seconds else ''}"),
        ("Command", " ".join(origin.command)),
        ("Commit", commit),
        ("Recipe", f"{manifest.name}, sha256 {manifest.recipe_sha256}"),
        ("Data", f"sha256 {manifest.data_sha256}" if manifest.data_sha256 else ""),
        ("Splits", splits),
        ("Seeds", ", ".join(str(score.seed) for score in manifest.student_scores)),
        ("Trained on", _machine(origin.cpu, origin.cores, origin.governor)),
        ("Measured on", f"{', '.join(devices)} ({', '.join(sorted(cpus))})" if devices else ""),
        ("Software", f"edgekd {origin.edgekd}, Python {origin.python}, {origin.platform}"),
        ("Packages", ", ".join(f"{name} {v}" for name, v in origin.packages.items())),
        *lineage(manifest),
        *footprint(manifest),
    ]
    return [(name, text) for name, text in facts if text]


def _machine(cpu: str | None, cores: int | None, governor: str | None) -> str:
    parts = [cpu or "", f"{cores} cores" if cores else ""]
    parts.append(f"governor {governor}" if governor else "")
    return ", ".join(part for part in parts if part)
