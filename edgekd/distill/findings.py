"""What becomes of the doctor's findings: said, written to the run, and perhaps a stop."""

from __future__ import annotations

from collections.abc import Sequence

from edgekd import provenance
from edgekd.distill.following import follows
from edgekd.distill.progress import Progress
from edgekd.distill.session import Session
from edgekd.errors import TrainingError
from edgekd.records_distill import Diagnosis, Finding
from edgekd.rundir import write_record

FILE = "doctor.json"


def report_findings(session: Session, progress: Progress, findings: Sequence[Finding]) -> None:
    """Say and write what was found; stop where the recipe wants it.

    Raises:
        TrainingError: something failed, and ``train.doctor`` is ``strict``.
    """
    for finding in findings:
        progress.message(f"doctor: {finding.status:4} {finding.check}: {finding.message}")
    if not follows():
        write_record(
            session.path / FILE,
            Diagnosis(
                findings=tuple(findings),
                provenance=provenance.collect(seed=session.recipe.seed),
            ),
        )
    stop_if_failed(session.recipe.train.doctor, findings)


def stop_if_failed(mode: str, findings: Sequence[Finding]) -> None:
    """Raise where something failed and the recipe is strict about it.

    Raises:
        TrainingError: names every failed check.
    """
    failed = [finding for finding in findings if finding.status == "fail"]
    if failed and mode == "strict":
        raise TrainingError(
            "the doctor stopped this distillation before its first epoch: "
            + "; ".join(f"{finding.check}: {finding.message}" for finding in failed),
            hint='If it is meant to be so: --set train.doctor="warn".',
        )
