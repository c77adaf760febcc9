"""Figures that are shown were measured: each comes from a JSON that is committed."""

from __future__ import annotations

import json
import re

import pytest

from benchmarks import session
from benchmarks.evidence.page import changed_pages
from benchmarks.evidence.places import Places
from tests.docs.markdown import README

#: What is written between such markers is made from a JSON, and held to it by a test.
MADE = re.compile(r"<!-- begin: (?P<name>[^>]+) -->\n.*?<!-- end: (?P=name) -->", re.DOTALL)

#: A number with a unit of what is measured here; ± and signs stand in front of their numbers.
FIGURE = re.compile(
    r"[-+±]?\s?\d[\d,._]*\s?(?:%|‰|ms\b|s\b|µs\b|KB\b|MB\b|GB\b|[kM]\b|MACs|x\b|"
    r"(?:percentage )?points\b|pp\b|images/s|seconds?\b|minutes?\b|hours?\b)"
    r"|p [=<] ?0\.\d+"
)

#: Figures in the README that are no measurements, and what they are.
OTHERS: dict[str, str] = {}


def figures(text: str) -> list[str]:
    return [match[0].strip() for match in FIGURE.finditer(MADE.sub("", text))]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("reached 96.35% ± 0.11", ["96.35%"]),
        ("takes 3.5 ms and 12 KB, 1.4x", ["3.5 ms", "12 KB", "1.4x"]),
        ("+1.45 points, p = 0.002", ["+1.45 points", "p = 0.002"]),
        ("Python 3.10 to 3.13, 1,797 digits, TFLite 2.14, int8", []),
        ("<!-- begin: a b -->\n95%\n<!-- end: a b -->\n4%", ["4%"]),
    ],
)
def test_what_a_figure_is(text: str, found: list[str]) -> None:
    assert figures(text) == found


def test_no_figure_of_the_readme_is_typed_by_hand() -> None:
    found = figures(README.read_text(encoding="utf-8"))
    assert sorted(set(found) - set(OTHERS)) == [], "generate it from a JSON, or say what it is"
    assert set(OTHERS) <= set(found), "no longer there"


def test_what_is_shown_of_a_session() -> None:
    said = [
        " network  x",
        " ----",
        " student  9%",
        "distilled minus no teacher: -1 pp",
        "run: runs/a",
    ]
    shown = [*said[:3], "", said[3]]
    assert session._shown(said) == shown
    assert session._shown([*said[:3], "a remark", " of two lines"]) == said[:3]


@pytest.mark.skipif(not session.RESULT.exists(), reason="the README's sessions were not run yet")
def test_the_readme_shows_the_committed_sessions() -> None:
    text = README.read_text(encoding="utf-8")
    result = json.loads(session.RESULT.read_text(encoding="utf-8"))
    few = json.loads(session.FEW.read_text(encoding="utf-8"))
    assert session.filled(text, result, few) == text, "run: python benchmarks/session.py"


def test_the_sessions_are_filled_in() -> None:
    """Whatever a session printed and reached stands in the README, and nothing else changes."""
    spread = {"mean": 0.9, "sd": 0.01, "n": 3, "low": 0.87, "high": 0.93}
    gain = {"mean": 0.012, "sd": 0.01, "n": 3, "low": -0.002, "high": 0.026}
    shown = {"printed": [" model   size", " student  1 KB"], "student": spread, "baseline": spread}
    result = {
        "first": {**shown, "gain": gain},
        "own": {"printed": ["the user's own"]},
        "provenance": {"cores": 2, "cpu": "x"},
    }
    few = {"tests": {"n": 10, "difference": 0.0145, "t_p": 0.002}, "splits": {"train": 300}}
    before = README.read_text(encoding="utf-8")
    after = session.filled(before, result, few)
    assert MADE.sub("", after) == MADE.sub("", before)
    assert " student  1 KB\n" in after and "the user's own\n" in after
    assert "+1.20 percentage points,\nwith a 95% interval from -0.20 to +2.60" in after
    assert "3 seeds show no certain difference" in after and "+1.45 points, p = 0.002" in after
    assert session.filled(after, result, few) == after


def test_the_tables_are_those_of_the_results() -> None:
    places = Places.of()
    assert list(changed_pages(places)) == [], "run: python -m benchmarks.evidence page"
