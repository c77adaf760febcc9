"""Records that distillation alone writes: kept teachers, cached answers, findings."""

from __future__ import annotations

from typing import Literal

from edgekd.recordbase import Record, Versioned
from edgekd.records import Energy, FileRecord, Provenance, Score


class TeacherManifest(Versioned):
    """``manifest.json`` of a kept teacher, in ``runs/teachers/KEY``."""

    kind: Literal["teacher"] = "teacher"
    status: Literal["complete"] = "complete"
    key: str
    model: str
    score: Score
    energy: Energy | None = None
    files: dict[str, FileRecord]
    provenance: Provenance


class ShardManifest(Versioned):
    """The record of one shard of a teacher cache: one view of every training sample.

    ``outputs`` names the file of each output by the name of the output.
    """

    kind: Literal["shard"] = "shard"
    view: int
    outputs: dict[str, str]
    files: dict[str, FileRecord]


class Finding(Record):
    """One thing that the doctor looked at before training."""

    check: str
    status: Literal["ok", "warn", "fail"]
    message: str
    values: dict[str, float] = {}


class Diagnosis(Versioned):
    """``doctor.json`` of a run: what was found before the student's first epoch."""

    kind: Literal["diagnosis"] = "diagnosis"
    findings: tuple[Finding, ...]
    provenance: Provenance
