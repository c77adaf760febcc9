"""Tables of the results, between markers: ``python -m benchmarks.evidence page``.

A page holds ``<!-- begin: evidence NAME -->`` and ``<!-- end: evidence NAME -->``; what stands
between them is written here. In ``docs/evidence.md`` a section for every plan stands between the
markers ``evidence all``, and a line for every plan between those of ``evidence summary``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.evidence.places import Places
from benchmarks.evidence.plan import BEST, load_plan
from benchmarks.markdown import points
from edgekd.errors import RunError
from edgekd.format import p_value, size
from edgekd.storage import atomic_write

#: What stands for all plans: a section, or a line, of each.
ALL, SUMMARY = "all", "summary"

_MARKED = re.compile(
    r"(<!-- begin: evidence (?P<name>[\w.-]+) -->\n).*?(<!-- end: evidence (?P=name) -->)",
    re.DOTALL,
)


def write_pages(places: Places) -> list[Path]:
    """Write every marked table in docs and README anew; return the pages that changed.

    Raises:
        RunError: a page marks a table of which there is no plan.
    """
    changed = changed_pages(places)
    for path, text in changed.items():
        atomic_write(path, text)
    return list(changed)


def changed_pages(places: Places) -> dict[Path, str]:
    """Return the pages whose tables are not those of the results, as they should be."""
    changed = {}
    readme = places.root / "README.md"
    for path in sorted([*places.docs.rglob("*.md"), *([readme] if readme.is_file() else [])]):
        text = path.read_text(encoding="utf-8")
        new = _MARKED.sub(
            lambda match: f"{match[1]}{_table(match['name'], places)}{match[3]}", text
        )
        if new != text:
            changed[path] = new
    return changed


def _table(name: str, places: Places) -> str:
    names = places.plan_names()
    if name == ALL:
        return "".join(f"\n{_section(one, places)}" for one in names) + "\n"
    if name == SUMMARY:
        return f"\n{_summary(names, places)}\n"
    if name not in names:
        raise RunError(f"a page marks a table of {name!r}", hint=f"Plans: {', '.join(names)}.")
    return f"\n{_body(name, places)}\n"


def _section(name: str, places: Places) -> str:
    plan = load_plan(name, places)
    return f"## {plan.title}\n\n{_body(name, places)}"


def _body(name: str, places: Places) -> str:
    """Return what is known of a plan's result: tables, or that there is none yet."""
    path = places.result(name)
    if not path.is_file():
        plan = load_plan(name, places)
        arms = ", ".join(f"`{arm.name}`" for arm in plan.arm)
        return f"Not measured yet. Planned: {len(plan.jobs())} runs of {arms}.\n"
    return render(json.loads(path.read_text(encoding="utf-8")))


def _summary(names: Sequence[str], places: Places) -> str:
    """Return a table with a line for every plan that was measured."""
    found = [places.result(name) for name in names if places.result(name).is_file()]
    if not found:
        return "No recipe was measured yet.\n"
    heads = ("Recipe", "Parameters", "Teacher", "No teacher", "Best, fp32", "Best, int8", "Size")
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    for path in found:
        result = json.loads(path.read_text(encoding="utf-8"))
        arms = {arm["name"]: arm for arm in result["arms"]}
        best, alone = arms[BEST], arms.get("no-teacher", {"mean": {}})
        bytes_ = best["mean"].get("tflite-int8 size_bytes")
        cells = (
            result["title"],
            f"{result['student']['parameters']:,}",
            _taught(best["runs"]) if best["runs"] else "",
            _spread(alone["mean"].get("tflite-int8 accuracy")),
            _spread(best["mean"].get("tflite-fp32 accuracy")),
            _spread(best["mean"].get("tflite-int8 accuracy")),
            size(round(bytes_["mean"])) if bytes_ else "",
        )
        lines.append(f"| {' | '.join(cells)} |")
    legend = (
        "Test accuracy of the TFLite files, mean ± standard deviation over seeds; without a "
        "teacher of the int8 file, after the same epochs with the same augmentation.\n"
    )
    return "\n".join(lines) + "\n\n" + legend


def render(result: dict[str, Any]) -> str:
    """Return a result as Markdown."""
    parts = [_intro(result), _goals(result["goals"]), _arms(result), _tests(result["tests"])]
    missing = [key for arm in result["arms"] for key in arm["missing"]]
    if missing:
        parts.append(f"Not trained yet: {', '.join(missing)}.\n")
    return "\n".join(part for part in parts if part)


def _intro(result: dict[str, Any]) -> str:
    facts, student = result["provenance"], result["student"]
    packages = facts["packages"]
    versions = ", ".join(f"{n} {packages[n]}" for n in ("torch", "ai-edge-litert") if n in packages)
    samples = result["splits"]
    overrides = "".join(f" `--set {override}`" for override in result["common"])
    return (
        f"Recipe `{result['recipe']}`{overrides}; student of {student['parameters']:,} parameters, "
        f"{student['macs'] / 1e6:.1f}M multiply-accumulates; {samples['train']:,} samples to learn "
        f"from, {samples['validation']:,} to choose by, {samples['test']:,} in the test split. "
        f"{facts['cores']} cores ({facts['cpu']}), {versions}.\n"
    )


def _goals(goals: Sequence[dict[str, Any]]) -> str:
    return "".join(f"- {goal_line(goal)}\n" for goal in goals)


def goal_line(goal: dict[str, Any]) -> str:
    """Return a goal and what came of it in a line.

    >>> goal = {"what": "int8 accuracy", "at_least": 0.95, "value": 0.94, "runs": 3, "planned": 3}
    >>> goal_line({**goal, "file": "tflite-int8", "met": False})
    'Goal: int8 accuracy (`tflite-int8`) of at least 95.00%: **missed** by 1.00 points, 94.00% over
    3 runs.'
    """
    bound = "at_least" if "at_least" in goal else "at_most"
    limit, reached = goal[bound], goal["value"]
    over = f" over `{goal['over']}`" if "over" in goal else ""
    text = (
        f"Goal: {goal['what']}{over} (`{goal['file']}`) of {bound.replace('_', ' ')} "
        f"{_amount(goal['what'], limit)}: "
    )
    if reached is None:
        return f"{text}not measured yet."
    short = ""
    if not goal["met"]:
        off = abs(reached - limit)
        points = goal["what"] != "int8 size"
        short = f" by {f'{100 * off:.2f} points' if points else size(round(off))}"
    runs = f"{goal['runs']} run{'s' if goal['runs'] != 1 else ''}"
    if goal["runs"] < goal["planned"]:
        runs += f" of {goal['planned']}"
    verdict = "met" if goal["met"] else "missed"
    return f"{text}**{verdict}**{short}, {_amount(goal['what'], reached)} over {runs}."


def _amount(what: str, number: float) -> str:
    if what == "int8 size":
        return size(round(number))
    return f"{100 * number:.2f} points" if what != "int8 accuracy" else f"{number:.2%}"


def _arms(result: dict[str, Any]) -> str:
    heads = (
        *("Way", "Runs", "Teacher", "Validation", "fp32 file", "int8 file", "Agreement"),
        *("int8 size", "Time"),
    )
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    lines += [_line(arm) for arm in result["arms"] if arm["runs"]]
    notes = [f"- `{arm['name']}`: {_note(arm)}" for arm in result["arms"] if _note(arm)]
    legend = (
        "Accuracy of teacher and TFLite files on the whole test split, mean ± standard deviation "
        "over the runs; of the student on the validation split, which is chosen by; agreement of "
        "the int8 file with the teacher; time to train one student, its teacher not counted.\n"
    )
    return "\n".join(lines) + "\n\n" + legend + ("\n" + "\n".join(notes) + "\n" if notes else "")


def _line(arm: dict[str, Any]) -> str:
    mean, runs = arm["mean"], arm["runs"]
    bytes_ = mean.get("tflite-int8 size_bytes")
    seconds = mean.get("seconds")
    cells = [
        f"`{arm['name']}`",
        str(len(runs)),
        _taught(runs),
        _spread(mean.get("validation")),
        _spread(mean.get("tflite-fp32 accuracy")),
        _spread(mean.get("tflite-int8 accuracy")),
        _spread(mean.get("tflite-int8 agreement")),
        size(round(bytes_["mean"])) if bytes_ else "",
        duration(seconds["mean"]) if seconds else "",
    ]
    return f"| {' | '.join(cells)} |"


def _taught(runs: Sequence[dict[str, Any]]) -> str:
    """Return the test accuracy of the teachers of an arm."""
    teachers = [one for run in runs for one in run["teachers"]]
    known = sorted(one["accuracy"] for one in teachers if one["accuracy"] is not None)
    if not known:
        return "not known" if teachers else "none"
    low, high = f"{known[0]:.2%}", f"{known[-1]:.2%}"
    return low if low == high else f"{low} to {high}"


def _spread(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    deviation = "" if found["sd"] is None else f" ± {100 * found['sd']:.2f}"
    return f"{found['mean']:.2%}{deviation}"


def _note(arm: dict[str, Any]) -> str:
    """Return what an arm is for, what it overrides, and what went wrong with its files."""
    overrides = ", ".join(f"`{override}`" for override in arm["set"])
    recipe = f"recipe `{arm['recipe']}`" if arm["recipe"] else ""
    said = [arm["why"], recipe, overrides]
    failed = {
        name for run in arm["runs"] for name, file in run["files"].items() if "failed" in file
    }
    if failed:
        said.append(f"{', '.join(sorted(failed))} did not pass the proof after conversion")
    return "; ".join(part for part in said if part)


def _tests(tests: Sequence[dict[str, Any]]) -> str:
    found = [test for test in tests if test["file"] == "tflite-int8"]
    if not found:
        return ""
    head = f"| `{BEST}` minus | Pairs | Points | t-test p | McNemar p, seed by seed |"
    lines = [head, "| --- | ---: | ---: | ---: | --- |"]
    for test in found:
        samples = ", ".join(p_value(one["exact_p"]) for one in test["samples"])
        cells = (
            f"`{test['theirs']}`",
            str(test["n"]),
            points(test["difference"]),
            "" if test["t_p"] is None else p_value(test["t_p"]),
            samples,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def duration(seconds: float) -> str:
    """Return a time of training for people.

    >>> duration(42.0), duration(1500.0), duration(9000.0)
    ('42 s', '25 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
