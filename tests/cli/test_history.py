"""``edgekd history``: readable on narrow terminals, on old ones, by programs, and by programs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgekd.cli.app import app
from edgekd.cli.render_history import ASCII, UNICODE, blocks_for, curve
from tests.history.made import keep, measured
from tests.synthetic_runs import make_run


@pytest.fixture
def file(tmp_path: Path) -> str:
    found = tmp_path / "history.sqlite"
    found_at = [(day, (1.0 if day < 13 else 1.2) + day % 3 * 0.01) for day in range(1, 25)]
    keep(found, [measured(day, ms) for day, ms in found_at])
    keep(found, [measured(day, 3.0, name="onnx-fp32") for day, _ in found_at])
    return str(found)


def run(*arguments: str, width: int = 60, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["history", *arguments], env={"COLUMNS": str(width)})
    assert done.exit_code == code, done.output
    return done.stdout


def test_all_trends_at_60_columns(file: str) -> None:
    shown = run("--history", file)
    table = shown.partition("\ntflite-int8 on cpu:")[0]
    assert max(len(line) for line in table.splitlines()) <= 60
    assert "latency_ms" in shown
    assert "▁" in shown
    assert "latency_ms_p50 went from 1.01 ms to 1.21 ms, 1.20x (worse) since 13131313" in shown
    assert "before: 12121212; by chance: p = 0.0" in shown
    assert shown.count(" since ") == 1


def test_one_trend_shows_its_points(file: str) -> None:
    arguments = ("tflite-int8", "--metric", "latency_ms_p50", "--last", "20", "--history", file)
    shown = run(*arguments)
    lines = [line for line in shown.splitlines() if line.strip().startswith("2025-10-")]
    assert len(lines) == 20
    assert lines[-1].split() == ["2025-10-24", "10:00", "24242424", "1.20", "ms", "-", "-"]
    table = shown.partition("\ntflite-int8 on cpu:")[0]
    assert max(len(line) for line in table.splitlines()) <= 60
    assert "1.00 ms to 1.22 ms" in shown


def test_json_and_csv(file: str) -> None:
    arguments = ("--device", "cpu", "--metric", "latency_ms_p50", "--history", file)
    trends = json.loads(run(*arguments, "--json"))["trends"]
    assert [trend["artifact"] for trend in trends] == ["onnx-fp32", "tflite-int8"]
    assert trends[1]["changes"][0]["commit"] == "13" * 20
    lines = list(csv.DictReader(io.StringIO(run(*arguments, "--csv"))))
    assert len(lines) == 48
    assert lines[0]["artifact"] == "onnx-fp32"
    assert (lines[-1]["value"], lines[-1]["commit"]) == ("1.2", "24" * 20)
    run(*arguments, "--csv", "--json", code=2)


def test_import_and_nothing(tmp_path: Path) -> None:
    place = str(tmp_path / "h.sqlite")
    assert "no such number in" in run("--history", place, width=200)
    make_run(tmp_path / "runs" / "one", artifacts=("tflite-int8",))
    assert "tflite-int8" in run("--import", str(tmp_path / "runs"), "--history", place)
    run("--import", str(tmp_path / "none"), "--history", place, code=2)


def test_a_broken_database_is_two_lines(tmp_path: Path) -> None:
    place = tmp_path / "h.sqlite"
    place.write_text("no database " * 100)
    done = CliRunner().invoke(app, ["history", "--history", str(place)], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "not a database" in done.stderr
    assert "Traceback" not in done.stderr


def test_curves() -> None:
    assert blocks_for("utf-8") == UNICODE
    assert blocks_for("latin-1") == blocks_for("no-such-encoding") == ASCII
    assert curve([], UNICODE, 8) == ""
    assert curve([float(i) for i in range(8)], UNICODE, 8) == UNICODE
    # A character stands for several points by their median: one outlier does not show.
    assert curve([1, 1, 99, 1, 1, 1, 1, 1, 1, 5, 5, 5], UNICODE, 4) == "▁▁▁█"
