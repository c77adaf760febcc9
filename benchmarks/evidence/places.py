"""Where plans, work, results and students stand."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Places:
    """The folders of the evidence.

    Attributes:
        root: of the repository; children run there, so that what they note of their command
            names no other folder.
        plans: a TOML file an experiment.
        work: runs, logs, rows; nothing of it is committed.
        results: the committed JSON.
        students: the committed files of trained students.
        docs: the pages with tables.
    """

    root: Path
    plans: Path
    work: Path
    results: Path
    students: Path
    docs: Path

    @classmethod
    def of(cls, root: Path = REPOSITORY) -> Places:
        """Return the places below a repository; work may stand in ``$EDGEKD_EVIDENCE``."""
        work = os.environ.get("EDGEKD_EVIDENCE")
        return cls(
            root=root,
            plans=root / "benchmarks" / "evidence" / "plans",
            work=Path(work) if work else root / "build" / "evidence",
            results=root / "benchmarks" / "results",
            students=root / "benchmarks" / "students",
            docs=root / "docs",
        )

    @property
    def runs(self) -> Path:
        """The runs of all plans: in one folder, so that they share their teachers."""
        return self.work / "runs"

    def rows(self, plan: str) -> Path:
        """Return the file with a row for each scored run of a plan."""
        return self.work / plan / "rows.jsonl"

    def answers(self, plan: str, job: str) -> Path:
        """Return the file with what the files of a run answered."""
        return self.work / plan / "answers" / f"{job}.npz"

    def log(self, plan: str, job: str) -> Path:
        """Return the log of a run."""
        return self.work / plan / "logs" / f"{job}.log"

    def recipe(self, plan: str, job: str) -> Path:
        """Return the recipe that is made for a run."""
        return self.work / plan / "recipes" / f"{job}.toml"

    def result(self, plan: str) -> Path:
        """Return the committed result of a plan."""
        return self.results / f"evidence-{plan}.json"

    def measured(self, plan: str) -> Path:
        """Return the committed figures of a plan's student."""
        return self.results / f"student-{plan}.json"

    def plan_names(self) -> list[str]:
        """Return the names of all plans."""
        return sorted(path.stem for path in self.plans.glob("*.toml") if _is_plan(path))


def _is_plan(path: Path) -> bool:
    """Say whether a TOML file is a plan: variants of recipes may stand beside them."""
    return "[[arm]]" in path.read_text(encoding="utf-8")
