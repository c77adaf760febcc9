"""The report as JSON: the numbers of the tables, for other programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from edgekd.report import facts
from edgekd.rundir import Run
from edgekd.summary import headline, rows

#: Raised when a key changes its meaning or goes.
SCHEMA = 1

#: How a file of ours begins; only such a file is ever replaced.
MARK = '{\n "kind": "report",'


def render(runs: Sequence[Run]) -> str:
    """Return a report as JSON text: ``kind``, ``schema`` and a list of ``runs``.

    Each run has its manifest, the rows of its table (bytes, milliseconds, joules, fractions; null:
    not known), the headline over seeds, and what is not known. Raw samples stay in the run.

    Args:
        runs: one or several.

    Raises:
        RunError: an artifact or a measurement cannot be trusted.
    """
    value = {"kind": "report", "schema": SCHEMA, "runs": [_run(run) for run in runs]}
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _run(run: Run) -> dict[str, Any]:
    artifacts, table = run.artifacts(), rows(run)
    return {
        "path": str(run.path),
        "manifest": run.manifest.model_dump(mode="json"),
        "rows": [dataclasses.asdict(row) for row in table],
        "headline": dataclasses.asdict(headline(run)),
        "unknown": facts.not_known(table, artifacts, run.measurements()),
    }
