"""The sections that a run has only where something more was found out about it."""

from __future__ import annotations

from edgekd.report import bearing, evaluated, taught
from edgekd.report.blocks import Section
from edgekd.report.hard_cases import wanted
from edgekd.report.pictures import pictures_and_texts
from edgekd.rundir import Run


def sections(run: Run) -> list[Section]:
    """Return who taught, what evaluations found, and how corrupted samples were borne.

    Raises:
        RunError: a record is damaged.
    """
    found = [taught.section(run.manifest)]
    evaluations = sorted(run.evaluations(), key=lambda record: record.name)
    robustness = run.robustness()
    pictures, texts = pictures_and_texts(run.recipe.data, wanted(evaluations))
    for record in evaluations:
        of = f": {record.name}" if len(evaluations) > 1 else ""
        found += evaluated.sections(record, pictures, of, texts)
    for borne in robustness:
        of = f": {borne.split}" if len(robustness) > 1 else ""
        found.append(bearing.section(borne, f"Corrupted samples{of}"))
    return [section for section in found if section is not None]
