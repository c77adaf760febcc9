"""The tables and findings of ``docs/when-distillation-works.md``, between its markers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.markdown import points, write_between
from benchmarks.study_parts.cells import AUGMENT, Setting
from benchmarks.study_parts.collect import FACTORS, of
from benchmarks.study_parts.words import Line, level, mean, name_of, percent, ps, tabled

BEGIN = "<!-- begin: benchmarks/study.py -->"
END = "<!-- end: benchmarks/study.py -->"

_TITLES = {
    "temperature": "Temperature",
    "teacher": "Size of the teacher",
    "augment": "Strength of augmentation",
}


def write(page: Path, result: Mapping[str, Any]) -> None:
    """Put tables and findings between the markers of a page.

    Raises:
        SystemExit: the page has no markers.
    """
    write_between(page, BEGIN, END, render(result))


def render(result: Mapping[str, Any]) -> str:
    """Return everything between the markers."""
    fields = {name: result["setting"][name] for name in Setting.__dataclass_fields__}
    setting = Setting(**fields)
    parts = [
        "## What came out",
        "\n".join(f"- {line}" for line in findings(result, setting)),
        "![Gain over the twin by temperature, teacher and augmentation](images/study-gain.svg)",
        "## The ladder of teachers",
        _teachers(result, setting),
    ]
    for factor in FACTORS:
        parts += [f"## {_TITLES[factor]}", _one_factor(result, setting, factor)]
    parts += ["## Who has seen the labels", _arms(result, setting)]
    parts += ["## Agreement with the teacher, and accuracy", _agreement(result)]
    parts += [
        "![Agreement with the teacher against accuracy](images/study-agreement.svg)",
        "## Every cell",
        _all(result),
        _where(result),
    ]
    return "\n\n".join(part for part in parts if part)


def findings(result: Mapping[str, Any], setting: Setting) -> list[str]:
    """Return in sentences where it helped, where it did not, and where it did harm."""
    found = []
    for labels in setting.labels:
        lines = of(result, labels=labels, arm="same")
        if lines:
            found.append(_of_fraction(labels, lines))
    everything = of(result, arm="same")
    found.append(_failures(everything))
    found += _beyond_teacher(everything)
    found += [_effect(line) for line in result["effects"] if _clear(line)]
    if not any(map(_clear, result["effects"])):
        found.append(
            "No level of temperature, teacher or augmentation differs from the middle one beyond "
            "chance (paired t-test, p < 0.05)."
        )
    return found


def _of_fraction(labels: str, lines: Sequence[Line]) -> str:
    gains = [line["gain"] for line in lines]
    better = sum(line["verdict"] == "better" for line in lines)
    best = max(lines, key=lambda line: line["gain"])
    return (
        f"**{labels} of the labels**: {points(fmean(gains))} points over the twin on average, "
        f"{points(min(gains))} to {points(max(gains))} (best: {name_of(best)}). In {better} of "
        f"{len(lines)} cells the student is better beyond chance."
    )


def _failures(lines: Sequence[Line]) -> str:
    worse = [line for line in lines if line["gain"] < 0]
    clearly = [line for line in worse if line["verdict"] == "worse"]
    if not worse:
        return f"**Where it failed**: in none of {len(lines)} cells the student was worse."
    worst = min(worse, key=lambda line: line["gain"])
    return (
        f"**Where it failed**: in {len(worse)} of {len(lines)} cells the student with a teacher "
        f"was worse than without, beyond chance in {len(clearly)}, by up to "
        f"{-100 * worst['gain']:.2f} points ({worst['labels']} of the labels, {name_of(worst)})."
    )


def _beyond_teacher(lines: Sequence[Line]) -> list[str]:
    past = [line for line in lines if fmean(line["student"]) > line["teacher_accuracy"]]
    weak = [line for line in lines if line["teacher_accuracy"] <= fmean(line["twin"])]
    found = []
    if past:
        found.append(
            f"In {len(past)} of {len(lines)} cells the student is better than its teacher."
        )
    if weak:
        helped = sum(line["gain"] > 0 for line in weak)
        found.append(
            f"In {len(weak)} cells the teacher is no better than the student alone; it helped "
            f"in {helped} of them all the same."
        )
    return found


def _clear(line: Line) -> bool:
    return line["t_p"] is not None and line["t_p"] < 0.05


def _effect(line: Line) -> str:
    what = {"temperature": "T = ", "teacher": "the teacher ", "augment": "augmentation "}
    word = what[line["factor"]]
    return (
        f"{line['labels']} of the labels: {word}{level(line['level'])} gives "
        f"{points(line['difference'])} points of gain against {word}{level(line['against'])} "
        f"({line['pairs']} pairs, p = {line['t_p']:.2g})."
    )


def _teachers(result: Mapping[str, Any], setting: Setting) -> str:
    known = {(line["teacher"], line["labels"]): line for line in result["teachers"]}
    heads = [
        "Network",
        "Parameters",
        "MACs",
        *(f"{labels} of the labels" for labels in setting.labels),
    ]
    rows = []
    for name in setting.teachers:
        lines = [known.get((name, labels)) for labels in setting.labels]
        some = next((line for line in lines if line), None)
        if some:
            reached = [percent(line["test_accuracy"]) if line else "" for line in lines]
            rows.append([f"teacher {name}", *_size(some), *reached])
    for augment in AUGMENT:
        by = {
            labels: [
                line
                for line in result["twins"]
                if line["labels"] == labels and line["augment"] == augment
            ]
            for labels in setting.labels
        }
        some = next((lines[0] for lines in by.values() if lines), None)
        if some:
            reached = [mean([x["test_accuracy"] for x in lines]) for lines in by.values()]
            rows.append([f"twin, augmentation {augment}", *_size(some), *reached])
    return tabled(heads, rows)


def _size(line: Line) -> tuple[str, str]:
    return f"{line['parameters']:,}", f"{line['macs'] / 1e6:.1f} M"


def _one_factor(result: Mapping[str, Any], setting: Setting, factor: str) -> str:
    """Return the cells that differ from the middle one in this factor alone."""
    middle = dict(zip(FACTORS, setting.middle, strict=True))
    others = {name: value for name, value in middle.items() if name != factor}
    heads = ["Labels", _TITLES[factor], "Teacher", "Twin", "Student", "Gain", "p, each seed"]
    rows = []
    for labels in setting.labels:
        for line in sorted(
            of(result, labels=labels, arm="same", **others),
            key=lambda line: _order(setting, factor, line[factor]),
        ):
            rows.append(
                [
                    labels,
                    level(line[factor]),
                    percent(line["teacher_accuracy"]),
                    mean(line["twin"]),
                    mean(line["student"]),
                    f"**{points(line['gain'])}**",
                    ps(line),
                ]
            )
    words = {"temperature": "T =", "teacher": "teacher", "augment": "augmentation"}
    held = ", ".join(f"{words[name]} {level(value)}" for name, value in others.items())
    return f"All else in the middle: {held}.\n\n{tabled(heads, rows)}"


def _order(setting: Setting, factor: str, level: Any) -> int:
    levels: dict[str, Iterable[Any]] = {
        "temperature": setting.temperatures,
        "teacher": setting.teachers,
        "augment": AUGMENT,
    }
    return list(levels[factor]).index(level)


def _arms(result: Mapping[str, Any], setting: Setting) -> str:
    temperature, teacher, augment = setting.middle
    said = {
        "same": "teacher and student the same",
        "all": "the teacher all labels",
        "unlabelled": "the same, but the student sees all images",
    }
    rows = []
    for labels in setting.labels:
        for arm, words in said.items():
            for line in of(
                result,
                labels=labels,
                arm=arm,
                teacher=teacher,
                temperature=temperature,
                augment=augment,
            ):
                reached = [percent(line["teacher_accuracy"]), mean(line["twin"])]
                gain = f"**{points(line['gain'])}**"
                rows.append([labels, words, *reached, mean(line["student"]), gain, ps(line)])
    heads = ["Labels", "Who has seen them", "Teacher", "Twin", "Student", "Gain", "p, each seed"]
    return tabled(heads, rows)


def _agreement(result: Mapping[str, Any]) -> str:
    heads = [
        "Labels",
        "Students",
        "r of agreement and accuracy",
        "agree more with the teacher than their twins",
        "of these, worse than their twins",
    ]
    rows = [
        [
            labels,
            str(line["students"]),
            "" if line["r"] is None else f"{line['r']:.2f}",
            str(line["higher_agreement"]),
            str(line["but_worse"]),
        ]
        for labels, line in result["agreement"].items()
        if line["students"]
    ]
    return tabled(heads, rows)


def _all(result: Mapping[str, Any]) -> str:
    heads = [
        "Labels",
        "Cell",
        "Seeds",
        "Student",
        "Twin",
        "Gain",
        "Agreement",
        "Of the twin",
        "Verdict",
    ]
    rows = [
        [
            line["labels"],
            name_of(line),
            str(len(line["seeds"])),
            mean(line["student"]),
            mean(line["twin"]),
            points(line["gain"]),
            percent(fmean(line["agreement"])),
            percent(fmean(line["twin_agreement"])),
            line["verdict"],
        ]
        for line in result["cells"]
    ]
    return tabled(heads, rows)


def _where(result: Mapping[str, Any]) -> str:
    facts = result["provenance"]
    packages = ", ".join(f"{name} {number}" for name, number in facts["packages"].items())
    networks = sum(len(line["seeds"]) for line in result["cells"])
    return (
        f"{len(result['teachers'])} teachers, {len(result['twins'])} twins and {networks} students "
        f"were trained, {result['wall_seconds'] / 3600:.1f} hours of one thread each in all, on "
        f"{facts['cpu']} ({facts['cores']} cores, {packages}); accuracies are of "
        f"{result['test_samples']:,} test images, of which one is "
        f"{100 / result['test_samples']:.2f} points. {facts['created'][:10]}."
    )
