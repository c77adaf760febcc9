"""The table and the headline of a run, as data: what the command line and the report both show.

Pure Python, so that both work with the base install.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from edgekd.records import Measurement, ModelFacts, Score
from edgekd.rundir import Artifact, Run, teacher_name

Kind = Literal["teacher", "student", "baseline", "artifact"]

#: What the row of the student trained without its teacher is called.
BASELINE = "student, no teacher"

#: What the row of the student with fake quantization is called.
QAT = "student, int8 (QAT)"

#: 97.5% quantiles of Student's t for 1 to 30 degrees of freedom; the last serves for more, which
#: makes those intervals 4% too wide at most.
_T975 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


@dataclass(frozen=True)
class Row:
    """One network or file on one device. None: not known; `unknown` may say why.

    Attributes:
        kind: what the row is of.
        name: ``teacher``, ``student``, `BASELINE`, or the artifact's name.
        model: the network's name in the recipe.
        device: where it was measured; None if it was not.
        size_bytes: of the file; for networks, of their safetensors.
        parameters: of the network.
        macs: multiply-accumulates of one sample.
        latency_p50_ms: median latency of one inference.
        latency_p90_ms: its 90th percentile.
        peak_rss_bytes: peak memory that the model added to its process.
        accuracy: fraction of the test split. Measured on the device, or scored after training.
        agreement: fraction of the test split with the teacher's class.
        instructions: that an emulated processor executes for one inference.
        per_second: samples a second, in batches.
        energy_j: joules of one inference.
        energy_estimated: they were not measured.
        runtime: what ran it, with its version.
        status: ``ok``, ``failed``, ``unmeasured``, or ``stale``: measured before the file changed.
        emulated: the device was emulated; its latency says nothing.
        unknown: number -> why it could not be had.
        error: why the measurement failed.
    """

    kind: Kind
    name: str
    model: str
    device: str | None = None
    size_bytes: int | None = None
    parameters: int | None = None
    macs: int | None = None
    latency_p50_ms: float | None = None
    latency_p90_ms: float | None = None
    peak_rss_bytes: int | None = None
    accuracy: float | None = None
    agreement: float | None = None
    instructions: int | None = None
    per_second: float | None = None
    energy_j: float | None = None
    energy_estimated: bool = False
    runtime: str | None = None
    status: Literal["ok", "failed", "unmeasured", "stale"] = "unmeasured"
    emulated: bool = False
    unknown: dict[str, str] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class Spread:
    """Mean and spread over seeds.

    Attributes:
        mean: arithmetic mean.
        sd: sample standard deviation (n - 1); None for one value.
        n: number of values.
        low: lower end of the 95% t interval of the mean; None for one value.
        high: its upper end.
    """

    mean: float
    sd: float | None
    n: int
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """Summarise values; None if there are none.

        >>> spread = Spread.of([0.96, 0.97, 0.98])
        >>> [round(value, 4) for value in (spread.mean, spread.sd, spread.low, spread.high)]
        [0.97, 0.01, 0.9452, 0.9948]
        """
        if not values:
            return None
        mean, n = statistics.fmean(values), len(values)
        if n == 1:
            return cls(mean, None, 1, None, None)
        sd = statistics.stdev(values)
        half = _T975[min(n - 1, len(_T975)) - 1] * sd / n**0.5
        return cls(mean, sd, n, mean - half, mean + half)


@dataclass(frozen=True)
class Headline:
    """What distillation did here, on the test split.

    Attributes:
        teacher: accuracy of the teacher.
        student: accuracy of the students, one a seed.
        baseline: accuracy of the same students without a teacher.
        gain: student minus baseline, seed by seed; only seeds that have both.
    """

    teacher: Spread | None
    student: Spread | None
    baseline: Spread | None
    gain: Spread | None


def headline(run: Run) -> Headline:
    """Summarise the scores of a run over its seeds."""
    manifest = run.manifest
    alone = {score.seed: score.test_accuracy for score in manifest.baseline_scores}
    gains = [
        score.test_accuracy - alone[score.seed]
        for score in manifest.student_scores
        if score.seed in alone
    ]
    return Headline(
        teacher=_spread(manifest.teacher_scores),
        student=_spread(manifest.student_scores),
        baseline=_spread(manifest.baseline_scores),
        gain=Spread.of(gains),
    )


def _spread(scores: Sequence[Score | None]) -> Spread | None:
    return Spread.of([score.test_accuracy for score in scores if score is not None])


def rows(run: Run) -> list[Row]:
    """Return the table of a run: teachers, student, student without teacher, artifacts.

    One row for each device that something was measured on. Artifacts whose files do not match
    their manifests are left out; `Run.check_artifacts` names them.

    Raises:
        RunError: a measurement is damaged.
    """
    manifest = run.manifest
    measured: dict[str, list[Measurement]] = {}
    for measurement in run.measurements():
        measured.setdefault(measurement.artifact, []).append(measurement)
    table: list[Row] = []
    for index, facts in enumerate(manifest.teachers):
        name = teacher_name(index)
        score = manifest.teacher_scores[index] if index < len(manifest.teacher_scores) else None
        table += _networks("teacher", name, facts, score, measured.get(name, []))
    if manifest.student is not None:
        first = manifest.student_scores[0] if manifest.student_scores else None
        table += _networks(
            "student", "student", manifest.student, first, measured.get("student", [])
        )
        if manifest.baseline_scores:
            # The same network as the student: of its size, and not measured by itself.
            base = _network("baseline", BASELINE, manifest.student, manifest.baseline_scores[0])
            table.append(base)
        for how, scores in manifest.compared_scores.items():
            table.append(_network("baseline", f"student, {how}", manifest.student, scores[0]))
        if manifest.qat_score is not None:
            # No file has its size: the one that holds what it computes is yet to be exported.
            row = _network("baseline", QAT, manifest.student, manifest.qat_score)
            table.append(replace(row, size_bytes=None))
    for artifact in run.check_artifacts()[0]:
        table += _artifact(artifact, measured.get(artifact.manifest.name, []))
    return table


def _network(kind: Kind, name: str, facts: ModelFacts, score: Score | None) -> Row:
    return Row(
        kind=kind,
        name=name,
        model=facts.name,
        size_bytes=facts.size_bytes,
        parameters=facts.parameters,
        macs=facts.macs,
        accuracy=score.test_accuracy if score else None,
        agreement=score.test_agreement if score else None,
    )


def _networks(
    kind: Kind, name: str, facts: ModelFacts, score: Score | None, found: Sequence[Measurement]
) -> list[Row]:
    row = _network(kind, name, facts, score)
    return [_measured(row, m, stale=False) for m in found] or [row]


def _artifact(artifact: Artifact, found: Sequence[Measurement]) -> list[Row]:
    manifest = artifact.manifest
    file = manifest.files.get(manifest.file)
    row = Row(
        kind="artifact",
        name=manifest.name,
        model=manifest.model.name,
        size_bytes=file.size_bytes if file else None,
        parameters=manifest.model.parameters,
        macs=manifest.model.macs,
    )
    hash_now = file.sha256 if file else None
    return [_measured(row, m, stale=m.model_sha256 not in (None, hash_now)) for m in found] or [row]


def _measured(row: Row, found: Measurement, *, stale: bool) -> Row:
    """Fill a row with what was measured; numbers of an older file are left out."""
    if stale or found.status == "failed":
        status: Literal["stale", "failed"] = "stale" if stale else "failed"
        return replace(row, device=found.device, status=status, error=found.error)
    version = f" {found.runtime_version}" if found.runtime_version else ""
    return replace(
        row,
        device=found.device,
        latency_p50_ms=found.latency.p50_ms if found.latency else None,
        latency_p90_ms=found.latency.p90_ms if found.latency else None,
        peak_rss_bytes=found.memory.peak_rss_bytes if found.memory else None,
        accuracy=row.accuracy if found.accuracy is None else found.accuracy,
        agreement=row.agreement if found.agreement is None else found.agreement,
        instructions=found.instructions.per_inference if found.instructions else None,
        per_second=found.throughput.per_second if found.throughput else None,
        energy_j=found.energy.joules_per_inference if found.energy else None,
        energy_estimated=found.energy is not None and not found.energy.measured,
        runtime=f"{found.runtime}{version}" if found.runtime else None,
        status="ok",
        emulated=found.emulated,
        unknown=dict(found.unknown),
    )
