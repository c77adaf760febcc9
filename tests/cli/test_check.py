"""`edgekd check` at the command line: exit codes, outputs, budgets. Files take turns elsewhere."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from edgekd.cli.app import app
from edgekd.records import Verdict
from tests.synthetic_runs import make_run, model_bytes

SOME = ("tflite-int8",)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two runs."""
    for name in ("EDGEKD_RUNS", "EDGEKD_HISTORY", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs" / "old", artifacts=SOME)
    make_run(tmp_path / "runs" / "new", artifacts=SOME, scale={"size_bytes": 1.2})
    return tmp_path


def run(*arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, ["check", *arguments])
    assert done.exit_code == code, f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def stub(monkeypatch: pytest.MonkeyPatch, status: str, seen: list[Any] | None = None) -> None:
    """Put an answer in the place of two files that take turns."""

    def latency(pairs: Sequence[Any], budget: Any, devices: Any, **options: Any) -> list[Verdict]:
        if seen is not None:
            seen.append((pairs, tuple(devices), options))
        return [
            Verdict.model_validate(
                {
                    "artifact": item.name,
                    "device": device,
                    "metric": "latency_ms_p50",
                    "status": status,
                    "ratio": 1.06,
                    "low": 1.05,
                    "high": 1.07,
                    "message": "in turn",
                }
            )
            for item, _ in pairs
            for device in devices
        ]

    monkeypatch.setattr("edgekd.check.latency.latency", latency)


class TestLatency:
    @pytest.mark.parametrize(
        ("status", "options", "code"),
        [
            ("pass", (), 0),
            ("fail", (), 1),
            ("inconclusive", (), 0),
            ("inconclusive", ("--strict",), 1),
            ("fail", ("--no-latency",), 0),
        ],
    )
    def test_exit_codes(
        self,
        here: Path,
        monkeypatch: pytest.MonkeyPatch,
        status: str,
        options: tuple[str, ...],
        code: int,
    ) -> None:
        stub(monkeypatch, status)
        Path("budget.toml").write_text("[relative]\nlatency_ms_p50 = 1.03\n")
        asked = ("runs/new", "--baseline", "runs/old", "--no-history", "--json", *options)
        found = json.loads(run(*asked, code=code).stdout)
        assert found["passed"] is (code == 0)
        judged = [v for v in found["verdicts"] if v["ratio"] is not None]
        assert [v["status"] for v in judged] == ([] if "--no-latency" in options else [status])
        # What was stored of the same device says less than what was measured now.
        assert len(found["verdicts"]) == 1

    def test_where_files_take_turns(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[Any] = []
        stub(monkeypatch, "pass", seen)
        asked = ("runs/new", "--baseline", "runs/old", "--no-history", "-q")
        run(*asked, code=1)
        run(*asked, "--device", "pi4", "--device", "pi5", "--no-history", code=1)
        run(*asked, "--device", "pi4", "--address", "me@there", code=1)
        assert [devices for _, devices, _ in seen] == [("cpu",), ("pi4", "pi5"), ("pi4",)]
        (pair,) = seen[0][0]
        assert pair[0].path == Path("runs/new/artifacts/tflite-int8/model.tflite")
        assert pair[1] == Path("runs/old/artifacts/tflite-int8/model.tflite")
        assert seen[0][2]["threads"] == 1
        assert seen[2][2]["options"].address == "me@there"

    def test_equal_files_take_no_turns(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[Any] = []
        stub(monkeypatch, "fail", seen)
        make_run(here / "runs" / "same", artifacts=SOME)
        found = json.loads(
            run("runs/same", "--baseline", "runs/old", "--no-history", "--json").stdout
        )
        assert seen == []
        assert "byte for byte" in json.dumps(found)

    def test_left_out_but_asked_for(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, size in (("a", 900), ("b", 901)):
            Path(f"{name}.onnx").write_bytes(model_bytes(".onnx", size))
        Path("budget.toml").write_text("size_bytes = 1000\n[relative]\nlatency_ms_p50 = 1.03\n")
        asked = ("a.onnx", "--baseline", "b.onnx", "--no-history", "--json", "--no-latency")
        found = {v["metric"]: v["status"] for v in json.loads(run(*asked).stdout)["verdicts"]}
        assert found == {"size_bytes": "pass", "latency_ms_p50": "warn"}


class TestOutputs:
    def test_all_of_them(self, here: Path) -> None:
        asked = ["runs/new", "--baseline", "runs/old", "--no-latency", "--no-history"]
        asked += ["--junit", "out/j.xml", "--markdown", "out/m.md", "--annotations"]
        done = run(*asked, code=1)
        assert "failed: 1 of 6 checks" in done.stdout
        suite = ET.parse("out/j.xml").getroot()
        assert (suite.get("tests"), suite.get("failures")) == ("6", "1")
        assert "+20.0%" in Path("out/m.md").read_text()
        assert done.stderr.count("::error ") == 1

    def test_in_github_actions(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        summary = here / "summary.md"
        summary.write_text("before\n")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
        asked = ["runs/new", "--baseline", "runs/old", "--no-latency", "--no-history"]
        done = run(*asked, "--json", "--markdown", str(summary), code=1)
        assert json.loads(done.stdout)["passed"] is False
        assert "::error " in done.stderr
        assert summary.read_text().startswith("before\n<!-- edgekd check -->")
        assert "::" not in run(*asked, "--no-annotations", code=1).stderr

    def test_markdown_instead_of_the_table(self, here: Path) -> None:
        asked = ["runs/new", "--baseline", "runs/old", "--no-latency", "--no-history"]
        out = run(*asked, "--markdown", "-", code=1).stdout
        assert out.startswith("<!-- edgekd check -->")
        assert "verdict" not in out

    @pytest.mark.parametrize(
        ("options", "what"),
        [
            (("--json", "--markdown", "-"), "both print"),
            (("--init", "--update"), "--update rewrites"),
            (("--reason", "x"), "belongs to --update"),
            (("--device", "pi4"), "Give a --baseline"),
        ],
    )
    def test_what_contradicts_itself(self, options: tuple[str, ...], what: str) -> None:
        assert what in run(*options, code=2).stderr

    def test_brackets_in_names_are_no_markup(self, here: Path) -> None:
        Path("a[red].onnx").write_bytes(model_bytes(".onnx", 900))
        Path("budget.toml").write_text("size_bytes = 1000\n")
        assert "a[red].onnx" in run("a[red].onnx", "--no-history").stdout


class TestHistory:
    def test_a_check_is_remembered(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[Any] = []

        def append(verdicts: Any, measurements: Any, run: Any, url: Any, **more: Any) -> str | None:
            seen.append((len(verdicts), len(measurements), run.manifest.id, url, more))
            return "the disk is full"

        monkeypatch.setattr("edgekd.history.append", append)
        Path("budget.toml").write_text("size_bytes = 100_000\n")
        done = run("runs/new", "--history", "x.sqlite")
        assert "warning: the disk is full" in done.stderr
        quiet = run("runs/new", "--history", "x.sqlite", "--quiet", "--json")
        assert quiet.stderr == "warning: the disk is full (--no-history leaves it out)\n"
        seen.pop()
        ((verdicts, measurements, name, url, more),) = seen
        assert (verdicts, measurements, name, url) == (1, 3, "new", "x.sqlite")
        assert set(more["hashes"]) == set(SOME)
        run("runs/new", "--no-history")
        assert len(seen) == 1


class TestBudgets:
    def test_proposed_held_rewritten(self, here: Path) -> None:
        assert "size_bytes = 31_500" in run("runs/old", "--init").stdout
        run("runs/old", "--no-history")
        assert "exists already" in run("runs/old", "--init", code=2).stderr
        assert "budget.toml" in run("runs/new", "--no-history", code=1).stderr
        before = Path("budget.toml").read_text()
        refused = run("runs/new", "--update", code=2)
        assert "size_bytes: 31_500 -> 37_800 (loosened; measured: 36,000 bytes)" in refused.stderr
        assert Path("budget.toml").read_text() == before
        done = run("runs/new", "--update", "--reason", "a wider stem", "--json")
        assert len(json.loads(done.stdout)["changes"]) == 1
        assert "a wider stem" in Path("budget.toml").read_text()
        run("runs/new", "--no-history")
        assert "stays as it is" in run("runs/new", "--update").stdout

    def test_without_a_budget_file(self, here: Path) -> None:
        assert "edgekd check --init" in run("runs/new", "--update", code=2).stderr
        done = run("runs/new", "--no-history", code=1)
        assert "edgekd check --init writes one" in " ".join(done.stdout.split())


class TestSizeOnly:
    def test_changed_files_alone(self, here: Path) -> None:
        for name, size in (("a.onnx", 900), ("b.onnx", 1200)):
            Path(name).write_bytes(model_bytes(".onnx", size))
        text = 'size_bytes = 1000\naccuracy = 0.9\n[artifact."c.onnx"]\nsize_bytes = 5\n'
        Path("budget.toml").write_text(text)
        run("--size-only", "a.onnx")
        found = json.loads(run("--size-only", "--json", "a.onnx", "b.onnx", code=1).stdout)
        assert {v["artifact"]: v["status"] for v in found["verdicts"]} == {
            "a.onnx": "pass",
            "b.onnx": "fail",
        }
        assert not Path("runs/history.sqlite").exists()
        Path("models").mkdir()
        Path("a.onnx").rename("models/a.onnx")
        Path("budget.toml").write_text('[artifact."models/a.onnx"]\nsize_bytes = 5\n')
        run("--size-only", "models/a.onnx", code=1)
        run("--size-only", "models/a.onnx", "b.onnx", code=1)
        Path("budget.toml").write_text('[artifact."c.onnx"]\nsize_bytes = 5\n')
        said = run("--size-only", "b.onnx", code=1).stdout
        assert "no limit applied" in " ".join(said.split())
