"""docs/emulated.md says what benchmarks/results/instructions.json holds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
PROCESSORS = {"cortex-a72": 0, "cortex-a76": 1}


def rows() -> list[dict[str, Any]]:
    table = json.loads((REPOSITORY / "benchmarks/results/instructions.json").read_text())
    found: list[dict[str, Any]] = table["rows"]
    return found


def test_the_table_is_that_of_the_results() -> None:
    page = (REPOSITORY / "docs/emulated.md").read_text()
    told = {
        name: (old, new)
        for name, old, new in re.findall(r"^\| `(\S+)` \| ([\d.]+) \| ([\d.]+) \|$", page, re.M)
    }
    counted = [row for row in rows() if not row.get("busy")]
    assert {row["model"] for row in counted} == set(told)
    for row in counted:
        figure = told[row["model"]][PROCESSORS[row["cpu"]]]
        assert figure == f"{row['per_inference'] / 1e6:.3f}"


def test_counts_repeat_within_what_is_promised_on_a_busy_machine_too() -> None:
    assert any(row.get("busy") for row in rows())
    assert max(row["spread"] for row in rows()) <= 3e-4
    alone = {
        (row["model"], row["cpu"]): row["per_inference"] for row in rows() if "busy" not in row
    }
    for row in rows():
        assert abs(row["per_inference"] / alone[row["model"], row["cpu"]] - 1) <= 3e-4
        assert len(row["processes"]) >= 5
