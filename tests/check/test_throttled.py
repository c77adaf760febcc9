"""Milliseconds of a device that was throttled: no proof that a limit is broken, in no output."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edgekd.check.budgets import Budget
from edgekd.check.stage import check
from edgekd.check.subject import subject
from edgekd.check.update import changes
from edgekd.cli.app import app
from edgekd.rundir import write_record
from tests.synthetic_runs import measurement

WHY = "the voltage is too low"


def measured(folder: Path, p50: float = 9.0, **changed: Any) -> Path:
    """Write a measurement of one file on ``pi4``, throttled unless said otherwise."""
    given = {"throttled": True, "environment": {"throttling": [WHY]}, **changed}
    record = measurement("m.tflite", "pi4", 5000, p50, 10_000, 0.9, 0.95, suffix=".tflite", **given)
    folder.mkdir(exist_ok=True)
    write_record(folder / "pi4--m.json", record)
    return folder


def statuses(folder: Path, budget: dict[str, Any]) -> dict[str, str]:
    return {v.metric: v.status for v in check(folder, budget=budget)}


def test_a_limit_that_is_missed_is_not_broken_for_certain(tmp_path: Path) -> None:
    found = {v.metric: v for v in check(measured(tmp_path), budget={"latency_ms_p50": 5.0})}
    missed = found["latency_ms_p50"]
    assert (missed.status, missed.value, missed.limit) == ("inconclusive", 9.0, 5.0)
    assert (
        missed.message
        == f"9.00 ms is more than 5.00 ms, but the device was throttled ({WHY})"
        + (": measure again")
    )
    warning = found["throttled"]
    assert (warning.status, warning.artifact, warning.device) == ("warn", "m.tflite", "pi4")
    assert WHY in warning.message and "not to be trusted" in warning.message


def test_a_limit_that_is_kept_is_kept(tmp_path: Path) -> None:
    """A throttled device is slower, not faster."""
    found = statuses(measured(tmp_path), {"latency_ms_p50": 9.0})
    assert found == {"latency_ms_p50": "pass", "throttled": "warn"}


@pytest.mark.parametrize(
    ("changed", "limits", "wanted"),
    [
        ({"throttled": False}, {"latency_ms_p50": 5.0}, {"latency_ms_p50": "fail"}),
        ({"throttled": None}, {"latency_ms_p50": 5.0}, {"latency_ms_p50": "fail"}),
        ({"status": "failed", "error": "x"}, {"latency_ms_p50": 5.0}, {"latency_ms_p50": "fail"}),
        ({}, {"accuracy": 0.95}, {"accuracy": "fail"}),
        ({}, {"anonymous_bytes": 4_000}, {"anonymous_bytes": "fail"}),
    ],
)
def test_all_else_fails_as_ever(
    tmp_path: Path, changed: dict[str, Any], limits: dict[str, Any], wanted: dict[str, str]
) -> None:
    assert statuses(measured(tmp_path, **changed), limits) == wanted


def test_a_reason_need_not_be_told(tmp_path: Path) -> None:
    folder = measured(tmp_path, environment={})
    (missed, _) = check(folder, budget={"latency_ms_p50": 5.0})
    assert missed.message.endswith("but the device was throttled: measure again")


def test_against_a_baseline_it_is_said(tmp_path: Path) -> None:
    new = measured(tmp_path / "new", p50=9.0, throttled=False)
    old = measured(tmp_path / "old", p50=5.0)
    budget = {"relative": {"latency_ms_p50": 1.03}}
    slower = check(new, budget=budget, baseline=old, latency=False)[0]
    assert slower.status == "warn"
    assert slower.message.endswith(f"(the baseline's: the device was throttled ({WHY}))")


def test_no_limit_is_rewritten_from_it(tmp_path: Path) -> None:
    budget = Budget.from_dict({"latency_ms_p50": 5.0})
    assert changes(budget, subject(measured(tmp_path))) == []
    (loosened,) = changes(budget, subject(measured(tmp_path, throttled=False)))
    assert loosened.looser


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--strict",), 1)])
def test_every_output_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    measured(tmp_path / "found")
    Path("budget.toml").write_text("latency_ms_p50 = 5.0\n")
    asked = ["check", "found", "--no-history", "--annotations", *options]
    asked += ["--junit", "j.xml", "--markdown", "m.md"]
    plain = CliRunner().invoke(app, asked)
    assert plain.exit_code == code, plain.stderr
    assert WHY in " ".join(plain.stdout.split())
    ending = (
        "failed: 0 of 2 checks, 1 inconclusive" if code else "passed (1 inconclusive, 1 warning)"
    )
    assert ending in plain.stdout
    assert plain.stderr.count("::error ") == (1 if code else 0)
    assert plain.stderr.count("::warning ") == (1 if code else 2)
    suite = ET.parse("j.xml").getroot()
    assert suite.get("failures") == str(code)
    said = [line for line in Path("m.md").read_text().splitlines() if WHY in line]
    assert [line.split(" | ")[0] for line in said] == ["| inconclusive", "| warning"]
    found = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert found["passed"] is (code == 0)
    assert [v["status"] for v in found["verdicts"]] == ["inconclusive", "warn"]
