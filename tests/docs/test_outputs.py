"""What ``--json`` prints, and what runs hold, is as the published schemas say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from edgekd.cli.app import app
from edgekd.cli.reference import RECORDS
from edgekd.cli.schemas import OUTPUTS
from edgekd.emulation import boxes, state
from edgekd.emulation.process import Process
from edgekd.emulation.spec import Emulation
from edgekd.recipe import Recipe
from edgekd.transports.reach import Reach
from tests.docs.markdown import DOCS
from tests.fixtures_tiny import TINY


def schema(name: str) -> Draft202012Validator:
    text = (DOCS / "schemas" / f"{name}.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(text))


def noted_as_up(name: str, emulation: Emulation, *, say: object) -> Reach:
    """Note a box that was never started."""
    gone = Process(pid=1, started=0, boot="another")
    noted = state.State(
        device=name,
        kind=emulation.kind,
        processes=(gone,),
        private="x",
        since="2026-01-01T00:00:00+00:00",
        port=4711,
        address=name,
    )
    state.write(noted)
    return noted.reach()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny recipe and, once a test has distilled, its run."""
    folder = tmp_path_factory.mktemp("outputs")
    budget = {"accuracy": 0.1, "size_bytes": 1_000_000}
    exits = {
        "student": {**TINY["student"], "exits": {"at": ["2"]}},
        "loss": [*TINY["loss"], {"name": "early-exits"}],
    }
    raw = {**TINY, **exits, "budget": budget, "export": [{"target": "onnx"}]}
    recipe = Recipe.from_dict(raw)
    (folder / "tiny.toml").write_text(recipe.to_toml())
    return folder


def output(
    arguments: list[str], capsys: pytest.CaptureFixture[str], *, code: int = 0
) -> dict[str, Any]:
    """Run a command in this process; return the one object that it printed."""
    with pytest.raises(SystemExit) as ended:
        app([*arguments, "--json"])
    captured = capsys.readouterr()
    assert ended.value.code in (code, None if code == 0 else code), captured.err
    found: dict[str, Any] = json.loads(captured.out)
    return found


def test_every_command_and_every_record_of_a_session(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("EDGEKD_RUNS", str(home / "runs"))
    monkeypatch.setenv("EDGEKD_EMULATION", str(home / "emulation"))
    monkeypatch.setattr(boxes, "up", noted_as_up)
    session = {
        "recipes-list": ["recipes", "list"],
        "recipes-show": ["recipes", "show", "digits"],
        "recipes-init": ["recipes", "init", "mine.toml"],
        "distill-dry-run": ["distill", "tiny.toml", "--dry-run"],
        "distill": ["distill", "tiny.toml"],
        "export": ["export", "--exit", "all"],
        "benchmark": ["benchmark"],
        "evaluate": ["evaluate"],
        "evaluate-corruptions": ["evaluate", "--corruptions", "--severity", "1"],
        "exits": ["exits"],
        "inspect": ["inspect", "runs/latest/artifacts/onnx-fp32"],
        "check": ["check"],
        "check-budget": ["check", "--init"],
        "history": ["history"],
        "report": ["report"],
        "layers": ["layers", "tiny.toml"],
        "record": ["record", "tiny.toml"],
        "devices": ["devices", "list"],
        "devices-doctor": ["devices", "doctor", "cpu"],
        "devices-setup": ["devices", "setup", "cpu", "--dry-run"],
        "devices-up": ["devices", "up", "pi5-emulated"],
        "devices-down": ["devices", "down", "pi5-emulated"],
        "runs-list": ["runs", "list"],
        "runs-show": ["runs", "show"],
    }
    assert set(session) | {"error"} == set(OUTPUTS)
    for name, arguments in session.items():
        schema(name).validate(output(arguments, capsys))
    schema("devices").validate(output(["devices", "show", "cpu"], capsys))
    asked = ["export", "--sensitivity", "--target", "onnx", "--quantize", "int8"]
    schema("record-sensitivity").validate(output(asked, capsys))
    error = output(["distill", "digitz"], capsys, code=2)
    schema("error").validate(error)
    assert error["exit_code"] == 2 and error["faults"]

    (run,) = [path for path in (home / "runs").iterdir() if path.name.startswith("tiny-")]
    records = {
        "record-run": [run / "manifest.json"],
        "record-teacher": list((home / "runs" / "teachers").glob("*/manifest.json")),
        "record-artifact": list(run.glob("artifacts/*/manifest.json")),
        "record-measurement": list(run.glob("measurements/*.json")),
        "record-evaluation": list(run.glob("evaluations/*.json")),
        "record-exits": list(run.glob("exits/*.json")),
        "record-robustness": list(run.glob("robustness/*.json")),
        "record-sensitivity": list(run.glob("artifacts/*.sensitivity.json")),
    }
    assert set(records) == set(RECORDS)
    for name, files in records.items():
        assert files, name
        for file in files:
            schema(name).validate(json.loads(file.read_text(encoding="utf-8")))


def test_a_schema_refuses_what_the_program_would_not_print() -> None:
    validator = schema("error")
    good = {"schema": 1, "error": "X", "message": "m", "hint": None, "faults": [], "exit_code": 2}
    assert validator.is_valid(good)
    assert not validator.is_valid({**good, "schema": 2})
    assert not validator.is_valid({**good, "more": 1})
    assert not validator.is_valid({key: good[key] for key in good if key != "message"})
