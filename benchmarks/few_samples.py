"""Few samples: does a teacher help that has seen more? ``python benchmarks/few_samples.py``.

Runs the recipe ``digits-few`` for ten seeds: 300 digits for each student and its twin without a
teacher, all of them for the teacher. Writes ``benchmarks/results/few-samples.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
RESULT = REPOSITORY / "benchmarks" / "results" / "few-samples.json"
SEEDS = 10


def main(arguments: list[str] | None = None) -> None:
    """Train as told on the command line, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many; default 10")
    parser.add_argument("--set", action="append", default=[], help="overrides of the recipe")
    parser.add_argument("--out", type=Path, default=RESULT, help="where the JSON goes")
    given = parser.parse_args(arguments)
    result = measure(given.seeds, given.set)
    print(summary(result))
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measure(seeds: int, overrides: list[str]) -> dict[str, Any]:
    """Return what students and twins reached, and whether they differ.

    Args:
        seeds: 0 to this, exclusive.
        overrides: of the recipe, ``key.path=value`` each.
    """
    from edgekd.distill.stage import distill
    from edgekd.provenance import collect
    from edgekd.statistics.seeds import compare_seeds

    chosen = f"train.seeds={list(range(seeds))}"
    with tempfile.TemporaryDirectory(prefix="edgekd-few-") as folder:
        run = distill("digits-few", overrides=[*overrides, chosen], out=Path(folder) / "run")
    manifest = run.manifest
    students = [score.test_accuracy for score in manifest.student_scores]
    twins = [score.test_accuracy for score in manifest.baseline_scores]
    known = [score for score in (*students, *twins) if score is not None]
    teacher = manifest.teacher_scores[0]
    if len(known) != 2 * seeds or teacher is None:
        raise SystemExit("a network was not scored")
    return {
        "kind": "few-samples",
        "version": 1,
        "recipe": "digits-few",
        "overrides": overrides,
        "splits": dict(manifest.splits),
        "teacher": teacher.test_accuracy,
        "students": known[:seeds],
        "twins": known[seeds:],
        "tests": asdict(compare_seeds(known[:seeds], known[seeds:])),
        "provenance": collect(packages=("torch", "kornia", "numpy")).model_dump(
            mode="json", exclude={"command", "seed"}
        ),
    }


def summary(result: dict[str, Any]) -> str:
    """Return the result in a line."""
    means = [sum(result[name]) / len(result[name]) for name in ("students", "twins")]
    tests = result["tests"]
    return (
        f"{tests['n']} seeds, {result['splits']['train']} samples: {means[0]:.2%} with the teacher "
        f"({result['teacher']:.2%}), {means[1]:.2%} without; difference {tests['difference']:.2%}, "
        f"p = {tests['t_p']} (t-test), {tests['wilcoxon_p']} (Wilcoxon)"
    )


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    main()
