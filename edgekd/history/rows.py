"""One row of a history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Row:
    """One number at one check, as the database has it; times are UTC without a zone.

    Attributes:
        check_id: what all rows of one check have in common.
        checked_at: when it was checked.
        measured_at: when it was measured; None: while it was checked.
        git_commit: the commit that it was measured at.
        git_branch: the branch of the checkout.
        run: the run's id.
        artifact: the file's name.
        device: None for what a file has everywhere.
        metric: which number.
        value: None where it could not be had.
        limit_value: the limit that it was held against.
        status: the worst verdict; None: nobody judged it.
        ratio: to the baseline, paired.
        ratio_low: lower end of its interval.
        ratio_high: upper end of its interval.
        model_sha256: of the file.
        runtime: what ran it.
        runtime_version: which of it.
        threads: of the runtime.
        machine: the processor that ran it.
        edgekd: the version that wrote this.
        imported: from a run's measurements, not from a check; not stored.
    """

    check_id: str
    checked_at: datetime
    artifact: str
    metric: str
    device: str | None = None
    measured_at: datetime | None = None
    git_commit: str | None = None
    git_branch: str | None = None
    run: str | None = None
    value: float | None = None
    limit_value: float | None = None
    status: str | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    model_sha256: str | None = None
    runtime: str | None = None
    runtime_version: str | None = None
    threads: int | None = None
    machine: str | None = None
    edgekd: str | None = None
    imported: bool = False

    @property
    def time(self) -> datetime:
        """When the number was measured, or else checked."""
        return self.measured_at or self.checked_at
