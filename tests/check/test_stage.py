"""The gate: what passes, what fails, what only warns, and that it never passes for nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edgekd.check.stage import check as verb
from edgekd.errors import ModelFileError, RunError, TamperedError
from edgekd.records import Verdict
from edgekd.rundir import Run, sha256_bytes, write_record
from tests.synthetic_runs import ARTIFACTS, add_artifact, make_run, measurement, model_bytes


def check(*given: Any, **options: Any) -> list[Verdict]:
    """Check without letting files take turns: these pass for models and are none."""
    return verb(*given, latency=False, **options)


Found = dict[tuple[str, str | None, str], Verdict]


def by_key(verdicts: list[Verdict]) -> Found:
    found = {(v.artifact, v.device, v.metric): v for v in verdicts}
    assert len(found) == len(verdicts), "two verdicts about one thing"
    return found


def failed(verdicts: list[Verdict]) -> set[tuple[str, str | None, str]]:
    return {key for key, verdict in by_key(verdicts).items() if verdict.status == "fail"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("check") / "run")


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same numbers, in another run."""
    return make_run(tmp_path_factory.mktemp("check") / "old")


class TestAbsolute:
    def test_every_exported_file_and_no_network(self, run: Run) -> None:
        verdicts = by_key(check(run, budget={"accuracy": 0.967, "size_bytes": 100_000}))
        assert {name for name, _, _ in verdicts} == set(ARTIFACTS)
        assert len(verdicts) == 2 * len(ARTIFACTS)
        # Of the numbers in ARTIFACTS, only 0.966 is below 0.967.
        assert failed(list(verdicts.values())) == {("onnx-int8", "cpu", "accuracy")}

    @pytest.mark.parametrize(
        ("metric", "limit", "failing"),
        [
            ("size_bytes", 84_000, {"onnx-fp32"}),
            ("size_bytes", 83_999, {"onnx-fp32", "tflite-fp32"}),
            ("latency_ms_p50", 0.08, {"onnx-int8"}),
            ("latency_ms_p50", 0.079, {"onnx-int8", "onnx-fp32"}),
            ("peak_rss_bytes", 3_100_000, {"onnx-int8"}),
            ("accuracy", 0.970, {"tflite-int8", "onnx-int8"}),
            ("agreement", 0.972, {"onnx-int8"}),
        ],
    )
    def test_a_limit_is_kept_when_it_is_just_reached(
        self, run: Run, metric: str, limit: float, failing: set[str]
    ) -> None:
        assert {name for name, _, _ in failed(check(run, budget={metric: limit}))} == failing

    def test_names_and_devices(self, tmp_path: Path) -> None:
        both = make_run(tmp_path / "run", devices=("cpu", "pi4"), artifacts=("tflite-int8",))
        budget = {
            "latency_ms_p50": 0.01,
            "device": {"pi4": {"latency_ms_p50": 1.0}},
            "artifact": {"student": {"accuracy": 0.5}},
        }
        verdicts = by_key(check(both, budget=budget))
        assert {key: v.status for key, v in verdicts.items()} == {
            ("tflite-int8", "cpu", "latency_ms_p50"): "fail",
            ("tflite-int8", "pi4", "latency_ms_p50"): "pass",
            ("student", "cpu", "accuracy"): "pass",
            ("student", "pi4", "accuracy"): "pass",
        }

    def test_the_message_says_both_numbers(self, run: Run) -> None:
        verdicts = by_key(check(run, budget={"size_bytes": 60_000}))
        assert verdicts["tflite-fp32", None, "size_bytes"].message == "84.0 KB is more than 60.0 KB"
        assert verdicts["tflite-int8", None, "size_bytes"].message == "30.0 KB, at most 60.0 KB"

    def test_numbers_that_round_alike_are_told_apart(self, run: Run) -> None:
        verdict = by_key(check(run, budget={"size_bytes": 83_999}))[
            "tflite-fp32", None, "size_bytes"
        ]
        assert verdict.message == "84,000 bytes is more than 83,999 bytes"

    def test_the_recipes_budget_is_the_default(self, tmp_path: Path) -> None:
        own = make_run(tmp_path / "run", budget={"artifact": {"tflite-int8": {"accuracy": 0.99}}})
        assert failed(check(own)) == {("tflite-int8", "cpu", "accuracy")}


class TestNothingMeasured:
    def test_not_measured_at_all(self, tmp_path: Path) -> None:
        bare = make_run(tmp_path / "run", devices=(), artifacts=("tflite-int8",))
        verdicts = by_key(check(bare, budget={"size_bytes": 50_000, "latency_ms_p50": 5.0}))
        assert verdicts["tflite-int8", None, "size_bytes"].status == "pass"
        verdict = verdicts["tflite-int8", None, "latency_ms_p50"]
        assert verdict.status == "fail"
        assert "not measured; edgekd benchmark" in verdict.message

    def test_not_on_this_device(self, run: Run) -> None:
        verdicts = check(run, budget={"device": {"pi4": {"accuracy": 0.5}}})
        assert failed(verdicts) == {(name, "pi4", "accuracy") for name in ARTIFACTS}
        assert all("edgekd benchmark --device pi4" in v.message for v in verdicts)

    def test_no_such_file(self, run: Run) -> None:
        (verdict,) = check(run, budget={"artifact": {"tflite-int9": {"accuracy": 0.5}}})
        assert verdict.status == "fail"
        assert "did you mean 'tflite-int8'?" in verdict.message

    def test_no_exported_file(self, tmp_path: Path) -> None:
        nothing = make_run(tmp_path / "run", artifacts=())
        (verdict,) = check(nothing, budget={"accuracy": 0.5})
        assert verdict.status == "fail"
        assert "no exported file" in verdict.message

    @pytest.mark.parametrize("budget", [{}, {"device": {}}, {"relative": {"size_bytes": 2.0}}])
    def test_a_check_of_nothing_fails(self, run: Run, budget: Mapping[str, Any]) -> None:
        verdicts = check(run, budget=budget)
        assert verdicts[-1].status == "fail"
        assert "nothing of the run" in verdicts[-1].message

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"status": "failed", "error": "killed by SIGSEGV"}, "killed by SIGSEGV"),
            ({"model_sha256": sha256_bytes(b"another")}, "changed since it was measured"),
            ({"accuracy": None, "unknown": {"accuracy": "no labels"}}, "no labels"),
        ],
    )
    def test_the_reason_is_told(self, tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
        run = make_run(tmp_path / "run", artifacts=("tflite-int8",))
        path = run.measurements_dir / "cpu--tflite-int8.json"
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, **changes}))
        (verdict,) = check(run, budget={"accuracy": 0.5})
        assert verdict.status == "fail"
        assert reason in verdict.message

    def test_emulated_milliseconds_do_not_count(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", artifacts=("tflite-int8",))
        budget = {"latency_ms_p50": 1e9, "accuracy": 0.5}
        record = measurement("tflite-int8", "pi", 1, 900.0, 1, 0.96, 0.97, emulated=True)
        write_record(run.measurements_dir / "pi--tflite-int8.json", record)
        assert failed(check(run, budget=budget)) == set()
        assert ("tflite-int8", "pi", "accuracy") in by_key(check(run, budget=budget))
        (run.measurements_dir / "cpu--tflite-int8.json").unlink()
        (verdict,) = [v for v in check(run, budget=budget) if v.status == "fail"]
        assert "emulation" in verdict.message


class TestBaseline:
    def test_the_same_numbers_pass(self, run: Run, old: Run) -> None:
        verdicts = check(run, budget={}, baseline=old)
        assert {v.status for v in verdicts} == {"pass"}
        assert len(verdicts) == 6 * len(ARTIFACTS)

    @pytest.mark.parametrize(
        ("quantity", "scale", "metric", "status"),
        [
            ("size_bytes", 1.05, "size_bytes", "pass"),
            ("size_bytes", 1.06, "size_bytes", "fail"),
            ("p50_ms", 3.0, "latency_ms_p50", "warn"),
            ("p50_ms", 1.0999, "latency_ms_p50", "pass"),
            ("peak_rss_bytes", 1.11, "peak_rss_bytes", "fail"),
            ("accuracy", 0.98, "accuracy", "fail"),
            ("accuracy", 0.996, "accuracy", "pass"),
        ],
    )
    def test_worse(
        self, tmp_path: Path, old: Run, quantity: str, scale: float, metric: str, status: str
    ) -> None:
        new = make_run(tmp_path / "new", scale={quantity: scale})
        verdicts = by_key(check(new, budget={}, baseline=old))
        assert {v.status for key, v in verdicts.items() if key[2] == metric} == {status}
        # What is anonymous of the peak grows with it.
        alike = (metric, "anonymous_bytes" if metric == "peak_rss_bytes" else metric)
        assert {v.status for key, v in verdicts.items() if key[2] not in alike} == {"pass"}

    def test_a_drop_that_is_just_allowed_passes(self, tmp_path: Path, old: Run) -> None:
        """0.970 - 0.005 is 0.965 on paper; floating point must not fail it."""
        new = make_run(
            tmp_path / "new", artifacts=("tflite-fp32",), scale={"accuracy": 0.965 / 0.970}
        )
        budget = {"relative": {"accuracy_drop": 0.005}}
        verdict = by_key(check(new, budget=budget, baseline=old))["tflite-fp32", "cpu", "accuracy"]
        assert verdict.value == 0.965
        assert verdict.status == "pass"
        assert verdict.baseline == 0.970
        assert verdict.limit == pytest.approx(0.965)

    def test_an_absolute_latency_limit_does_fail(self, run: Run, old: Run) -> None:
        verdicts = check(run, budget={"latency_ms_p50": 0.1}, baseline=old)
        assert ("onnx-int8", "cpu", "latency_ms_p50") in {
            (v.artifact, v.device, v.metric) for v in verdicts if v.status == "fail"
        }

    def test_a_file_that_is_gone_fails_and_a_new_one_warns(self, tmp_path: Path, old: Run) -> None:
        fewer = make_run(tmp_path / "new", artifacts=("tflite-int8",))
        gone = {("tflite-fp32", None, "file"), ("onnx-fp32", None, "file")}
        assert gone <= failed(check(fewer, budget={}, baseline=old))
        verdicts = by_key(check(old, budget={}, baseline=fewer))
        assert verdicts["onnx-fp32", None, "file"].status == "warn"
        assert failed(list(verdicts.values())) == set()

    def test_not_measured_any_more_fails(self, tmp_path: Path, old: Run) -> None:
        new = make_run(tmp_path / "new", devices=())
        verdicts = check(new, budget={}, baseline=old)
        assert ("tflite-int8", "cpu", "accuracy") in failed(verdicts)
        assert ("tflite-int8", None, "size_bytes") not in failed(verdicts)

    def test_one_device_less_warns(self, tmp_path: Path, run: Run) -> None:
        two = make_run(tmp_path / "two", devices=("cpu", "pi4"))
        verdicts = by_key(check(run, budget={}, baseline=two))
        assert verdicts["tflite-int8", "pi4", "accuracy"].status == "warn"
        assert failed(list(verdicts.values())) == set()

    def test_a_written_limit_that_the_baseline_cannot_hold_fails(
        self, tmp_path: Path, run: Run
    ) -> None:
        blank = make_run(tmp_path / "blank", devices=())
        written = check(run, budget={"relative": {"accuracy_drop": 0.01}}, baseline=blank)
        assert {v.metric for v in written if v.status == "fail"} == {"accuracy"}
        by_default = check(run, budget={}, baseline=blank)
        assert {v.status for v in by_default if v.metric == "accuracy"} == {"warn"}
        assert {v.status for v in by_default if v.metric == "size_bytes"} == {"pass"}

    def test_the_run_itself_is_no_baseline(self, run: Run) -> None:
        with pytest.raises(RunError, match="itself"):
            check(run, baseline=run.path)

    def test_other_data_is_said(self, tmp_path: Path, run: Run) -> None:
        other = make_run(tmp_path / "other")
        manifest = other.manifest.model_copy(update={"data_sha256": sha256_bytes(b"other")})
        write_record(other.path / "manifest.json", manifest)
        verdicts = by_key(check(run, budget={}, baseline=other.path))
        assert verdicts["*", None, "data"].status == "warn"

    def test_another_runtime_is_said(self, tmp_path: Path, run: Run) -> None:
        other = make_run(tmp_path / "other", artifacts=("tflite-int8",))
        path = other.measurements_dir / "cpu--tflite-int8.json"
        path.write_text(path.read_text().replace('"2.3.0"', '"1.9.9"', 1))
        verdicts = by_key(check(run, budget={}, baseline=other))
        assert "litert 1.9.9" in verdicts["tflite-int8", "cpu", "latency_ms_p50"].message


class TestBareFiles:
    def test_a_file_against_its_size(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.tflite"
        path.write_bytes(model_bytes(".tflite", 5000))
        (verdict,) = check(path, budget={"size_bytes": 4999})
        assert (verdict.artifact, verdict.status, verdict.value) == ("mine.tflite", "fail", 5000)
        verdicts = check(path, budget={"size_bytes": 5000, "accuracy": 0.9})
        assert failed(verdicts) == {("mine.tflite", None, "accuracy")}

    def test_a_file_against_a_file(self, tmp_path: Path) -> None:
        for name, size in (("old.onnx", 1000), ("new.onnx", 1051), ("same.onnx", 1050)):
            (tmp_path / name).write_bytes(model_bytes(".onnx", size))
        assert failed(check(tmp_path / "new.onnx", baseline=tmp_path / "old.onnx"))
        (verdict,) = check(tmp_path / "same.onnx", baseline=tmp_path / "old.onnx")
        assert (verdict.status, verdict.baseline, verdict.limit) == ("pass", 1000, 1050)

    def test_a_run_against_a_file(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", artifacts=("tflite-int8", "onnx-int8"))
        old = tmp_path / "old.tflite"
        old.write_bytes(model_bytes(".tflite", 20_000))
        verdicts = check(run, budget={}, baseline=old)
        assert failed(verdicts) == {("tflite-int8", None, "size_bytes")}

    def test_what_a_file_cannot_know_warns(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", artifacts=("tflite-int8",))
        old = tmp_path / "old.tflite"
        old.write_bytes(model_bytes(".tflite", 30_000))
        relative = {"size_bytes": 1.0, "accuracy_drop": 0.0}
        verdicts = by_key(check(run, budget={"relative": relative}, baseline=old))
        assert verdicts["tflite-int8", None, "size_bytes"].status == "pass"
        assert verdicts["tflite-int8", None, "accuracy"].status == "warn"

    def test_a_file_that_could_stand_for_several(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", artifacts=("tflite-int8", "tflite-fp32"))
        old = tmp_path / "old.tflite"
        old.write_bytes(model_bytes(".tflite", 20_000))
        with pytest.raises(RunError, match="several") as caught:
            check(run, budget={}, baseline=old)
        assert "edgekd check" in str(caught.value.hint)
        exported = run.artifacts_dir / "tflite-int8" / "model.tflite"
        assert failed(check(exported, baseline=old)) == {("tflite-int8", None, "size_bytes")}

    def test_of_another_format(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", artifacts=("tflite-int8",))
        old = tmp_path / "old.onnx"
        old.write_bytes(model_bytes(".onnx", 20_000))
        assert failed(check(run, budget={}, baseline=old)) == {("*", None, "file")}

    @pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n"])
    def test_no_model(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "mine.tflite"
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=r"mine\.tflite"):
            check(path, budget={"size_bytes": 1})

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match="no such file"):
            check(tmp_path / "mine.tflite", budget={"size_bytes": 1})

    def test_a_folder_of_measurements(self, tmp_path: Path) -> None:
        for device, p50 in (("cpu", 1.0), ("pi4", 9.0)):
            record = measurement("mine.tflite", device, 5000, p50, 10, None, None, suffix=".tflite")
            write_record(tmp_path / f"{device}--mine.json", record)
        budget = {"latency_ms_p50": 5.0, "size_bytes": 5000}
        assert failed(check(tmp_path, budget=budget)) == {("mine.tflite", "pi4", "latency_ms_p50")}


class TestRunsThatCannotBeTrusted:
    def test_no_run(self, tmp_path: Path) -> None:
        with pytest.raises(RunError, match="no run at"):
            check(tmp_path / "nowhere", budget={"accuracy": 0.5})

    def test_a_changed_artifact(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", artifacts=("tflite-int8",))
        model = run.artifacts_dir / "tflite-int8" / "model.tflite"
        model.write_bytes(model_bytes(".tflite", 10))
        with pytest.raises(TamperedError, match="hash differs"):
            check(run, budget={"size_bytes": 50_000})

    def test_exported_again_after_the_benchmark(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", artifacts=("tflite-int8",))
        add_artifact(run, "tflite-int8", devices=(), scale={"size_bytes": 1.5})
        verdicts = by_key(check(run, budget={"accuracy": 0.5, "size_bytes": 50_000}))
        assert verdicts["tflite-int8", None, "size_bytes"].value == 45_000
        assert "changed since" in verdicts["tflite-int8", "cpu", "accuracy"].message


def test_the_base_install_is_enough(run: Run) -> None:
    """Checking loads none of the heavy packages."""
    code = (
        "import sys, edgekd\n"
        f"verdicts = edgekd.check({str(run.path)!r}, budget={{'accuracy': 0.5}})\n"
        "assert verdicts and all(v.status == 'pass' for v in verdicts)\n"
        "heavy = {'torch', 'numpy', 'onnx', 'onnxruntime', 'ai_edge_litert', 'altair', 'PIL'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
