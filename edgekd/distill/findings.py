"""What becomes of the doctor's findings: said, written to the run, and perhaps a stop."""

from __future__ import annotations

from collections.abc import Sequence

from edgekd import provenance
from edgekd.distill.following import follows
from edgekd.distill.progress import Progress
from edgekd.distill.session import Session
from edgekd.errors import TrainingError
from edgekd.records_distill import Diagnosis, Finding
from edgekd.rundir import read_record, write_record

FILE = "doctor.json"


def report_findings(
    session: Session, progress: Progress, findings: Sequence[Finding], *, of: str = ""
) -> None:
    """Say and write what was found; stop where the recipe wants it.

    Args:
        session: the run.
        progress: is told.
        findings: what was found.
        of: which assistant or stage it is about, where a run looks several times.

    Raises:
        TrainingError: something failed, and ``train.doctor`` is ``strict``.
    """
    findings = about(of, findings)
    for finding in findings:
        progress.message(f"doctor: {finding.status:4} {finding.check}: {finding.message}")
    if not follows():
        write_record(
            session.path / FILE,
            Diagnosis(
                findings=(*_others(session, findings), *findings),
                provenance=provenance.collect(seed=session.recipe.seed),
            ),
        )
    stop_if_failed(session.recipe.train.doctor, findings)


def about(of: str, findings: Sequence[Finding]) -> list[Finding]:
    """Say of every finding which assistant or stage it is about, if any."""
    if not of:
        return list(findings)
    return [f.model_copy(update={"check": f"{of}: {f.check}"}) for f in findings]


def _others(session: Session, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return what was written of other networks and stages; what is looked at again is replaced."""
    path = session.path / FILE
    known = read_record(path, Diagnosis).findings if path.is_file() else ()
    again = {finding.check for finding in findings}
    return tuple(finding for finding in known if finding.check not in again)


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
