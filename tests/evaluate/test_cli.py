"""What the command prints: readable on narrow terminals, and one JSON object under ``--json``."""

from __future__ import annotations

import json
import re

import pytest

import edgekd
from edgekd.cli.app import app
from edgekd.cli.output import Output
from edgekd.cli.render_evaluation import layer_table, show
from edgekd.records_evaluation import Evaluation, LayerSimilarity
from edgekd.rundir import Run


@pytest.fixture(scope="module")
def found(whole: Run) -> Evaluation:
    return edgekd.evaluate(whole, slices=["writer"])


@pytest.mark.parametrize("width", [60, 80, 120])
def test_tables_fit_the_terminal(
    width: int,
    found: Evaluation,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    show(found, Output(json=False, quiet=False), cases=3)
    printed = capsys.readouterr().out
    tables = [line for line in printed.splitlines() if "minus baseline over" not in line]
    assert max(len(line) for line in tables) <= width
    for word in ("ECE at T", "accuracy by class", "accuracy by writer", "McNemar", "CKA"):
        assert word in printed, word
    assert re.search(r"onnx-int8 +\d\d\.\d\d%", printed)
    if width >= 80:
        first = found.disagreements[0].only_b_right[0]
        assert first.id in printed
        assert (
            f"teacher right, student wrong: {len(found.disagreements[0].only_b_right)}" in printed
        )


def test_many_layers_become_a_list_of_the_nearest() -> None:
    names = tuple(f"stages.{index}.blocks" for index in range(8))
    values = tuple(tuple(1.0 - 0.1 * abs(i - j) for j in range(8)) for i in range(8))
    layers = LayerSimilarity(
        a="student", b="teacher", a_layers=names, b_layers=names, values=values, samples=9
    )
    assert len(layer_table(layers, width=200).columns) == 9
    narrow = layer_table(layers, width=80)
    assert len(narrow.columns) == 3
    assert list(narrow.columns[1].cells) == list(names)


def run_cli(arguments: list[str], code: int) -> None:
    with pytest.raises(SystemExit) as ended:
        app(arguments)
    assert ended.value.code == code


def test_json_is_the_record(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run_cli(["evaluate", str(run.path), "--on", "student", "--on", "onnx-int8", "--json"], 0)
    printed = Evaluation.model_validate(json.loads(capsys.readouterr().out))
    assert printed in run.evaluations()
    assert [one.name for one in printed.subjects] == ["student", "onnx-int8"]


def test_wrong_names_are_errors(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run_cli(["evaluate", str(run.path), "--on", "studnet"], 2)
    assert "'student'" in capsys.readouterr().err
    run_cli(["evaluate", str(run.path), "--slices", "writr"], 2)
    assert "'writer'" in capsys.readouterr().err
    run_cli(["evaluate", str(run.path), "--against", "nowhere"], 2)
    assert "no run at nowhere" in capsys.readouterr().err
