"""Hard, exact numbers: what a file holds, what a proof found, what an emulator counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekd.check.stage import check as verb
from edgekd.check.subject import subject
from edgekd.errors import RecipeError
from edgekd.records import Memory, Verdict
from edgekd.records_bench import Instructions
from edgekd.rundir import write_record
from tests.check.chains import chain
from tests.synthetic_runs import make_run, measurement


def check(*given: Any, **options: Any) -> dict[str, Verdict]:
    found = verb(*given, latency=False, **options)
    assert len({v.metric for v in found}) == len(found)
    return {verdict.metric: verdict for verdict in found}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chain(tmp_path_factory.mktemp("facts") / "chain.onnx", width=8, layers=3)


class TestFacts:
    @pytest.mark.parametrize(
        ("metric", "value"), [("parameters", 8 * 8), ("macs", 3 * 8 * 8), ("operator_count", 3)]
    )
    def test_counts_are_exact(self, model: Path, metric: str, value: int) -> None:
        assert check(model, budget={metric: value})[metric].status == "pass"
        verdict = check(model, budget={metric: value - 1})[metric]
        assert (verdict.status, verdict.value, verdict.limit) == ("fail", value, value - 1)

    def test_operators_by_name(self, model: Path, tmp_path: Path) -> None:
        other = chain(tmp_path / "chain.onnx", last="Softmax")
        allowed = {"operators": ["MatMul", "Relu"]}
        assert check(model, budget=allowed)["operators"].status == "pass"
        verdict = check(other, budget=allowed)["operators"]
        assert (verdict.status, verdict.value) == ("fail", 1)
        assert verdict.message.startswith("Softmax: not among")

    def test_new_operators(self, model: Path, tmp_path: Path) -> None:
        other = chain(tmp_path / "chain.onnx", last="Softmax")
        relative = {"relative": {"new_operators": 0}}
        assert check(model, budget=relative, baseline=other)["operators"].status == "pass"
        verdict = check(other, budget=relative, baseline=model)["operators"]
        assert verdict.status == "fail"
        assert "Softmax" in verdict.message
        one = {"relative": {"new_operators": 1}}
        assert check(other, budget=one, baseline=model)["operators"].status == "pass"

    # Opset 13 came with onnxruntime 1.6, but version 8 of the file format with 1.10.
    @pytest.mark.parametrize(
        ("runtime", "status"),
        [("onnxruntime 1.10", "pass"), ("onnxruntime 1.10.0", "pass"), ("onnxruntime 1.9", "fail")],
    )
    def test_the_oldest_runtime(self, model: Path, runtime: str, status: str) -> None:
        budget = {"oldest_runtime": ["TensorFlow Lite 2.14", runtime]}
        assert check(model, budget=budget)["oldest_runtime"].status == status

    def test_a_runtime_of_other_files_holds_for_none(self, model: Path) -> None:
        verdict = check(model, budget={"oldest_runtime": "TensorFlow Lite 2.14"})["oldest_runtime"]
        assert verdict.status == "fail"
        assert "no file for these runtimes" in verdict.message

    def test_a_newer_runtime(self, model: Path, tmp_path: Path) -> None:
        import onnx

        loaded = onnx.load(str(model))
        loaded.ir_version = 10  # onnxruntime 1.18
        newer = tmp_path / "chain.onnx"
        onnx.save(loaded, str(newer))
        budget = {"relative": {"newer_runtime": False}}
        assert check(newer, budget=budget, baseline=model)["oldest_runtime"].status == "fail"
        assert check(model, budget=budget, baseline=newer)["oldest_runtime"].status == "pass"

    def test_relative_counts(self, model: Path, tmp_path: Path) -> None:
        longer = chain(tmp_path / "chain.onnx", layers=4)
        budget = {"relative": {"macs": 1.33, "parameters": 1.0}}
        found = check(longer, budget=budget, baseline=model)
        assert {m: v.status for m, v in found.items()} == {"macs": "fail", "parameters": "pass"}
        assert found["macs"].baseline == 3 * 64

    def test_a_damaged_file_fails_and_says_so(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", artifacts=("tflite-int8",))
        verdict = check(run, budget={"macs": 1e9})["macs"]
        assert verdict.status == "fail"
        assert "cannot be held" in verdict.message

    @pytest.mark.parametrize(
        ("raw", "what"),
        [
            ({"oldest_runtime": "2.14"}, "runtime and its version"),
            ({"operators": [3]}, "operators"),
            ({"macs": -1}, "macs"),
            ({"relative": {"newer_runtime": 1}}, "newer_runtime"),
        ],
    )
    def test_faults(self, raw: dict[str, Any], what: str) -> None:
        with pytest.raises(RecipeError, match=what):
            verb(Path("nothing"), budget=raw)


class TestParity:
    def test_only_float_files_are_held(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", artifacts=("tflite-fp32", "tflite-int8"))
        (verdict,) = verb(run, budget={"fp32_parity": 2.4e-6})
        assert (verdict.artifact, verdict.status, verdict.value) == ("tflite-fp32", "pass", 2.4e-6)
        assert check(run, budget={"fp32_parity": 2.3e-6})["fp32_parity"].status == "fail"

    def test_without_a_float_file_the_limit_fails(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", artifacts=("tflite-int8",))
        assert "no file in float32" in check(run, budget={"fp32_parity": 1})["fp32_parity"].message
        named = {"artifact": {"tflite-int8": {"fp32_parity": 1.0}}}
        verdict = check(run, budget=named)["fp32_parity"]
        assert verdict.status == "fail"
        assert "quantized (int8)" in verdict.message


def emulated(count: int, anonymous: int = 10**6) -> Any:
    counted = Instructions(per_inference=count, n=1, raw=(count,), cpu="a", counter="b")
    memory = Memory(peak_rss_bytes=1, anonymous_bytes=anonymous, process_peak_rss_bytes=1)
    return measurement(
        "m", "pi", 1, 1.0, 1, None, None, emulated=True, instructions=counted, memory=memory
    )


class TestMeasured:
    @pytest.mark.parametrize(
        ("count", "anonymous", "failing"),
        [
            (1_010_000, 1_050_000, set()),
            (1_010_001, 1_050_000, {"instructions"}),
            (1_000_000, 1_050_001, {"anonymous_bytes"}),
        ],
    )
    def test_defaults_against_a_baseline(
        self, tmp_path: Path, count: int, anonymous: int, failing: set[str]
    ) -> None:
        write_record(tmp_path / "old" / "pi--m.json", emulated(1_000_000))
        write_record(tmp_path / "new" / "pi--m.json", emulated(count, anonymous))
        found = check(tmp_path / "new", baseline=tmp_path / "old")
        assert {m for m, v in found.items() if v.status == "fail"} == failing
        assert "latency_ms_p50" not in found

    def test_a_page_of_memory_is_no_growth(self, tmp_path: Path) -> None:
        write_record(tmp_path / "old" / "pi--m.json", emulated(1, 0))
        for anonymous, status in ((4 * 4096, "pass"), (4 * 4096 + 1, "fail")):
            write_record(tmp_path / "new" / "pi--m.json", emulated(1, anonymous))
            found = check(tmp_path / "new", baseline=tmp_path / "old")
            assert found["anonymous_bytes"].status == status

    def test_a_limit_of_what_was_not_counted_fails(self, tmp_path: Path) -> None:
        write_record(tmp_path / "cpu--m.json", measurement("m", "cpu", 1, 1.0, 1, None, None))
        verdict = check(tmp_path, budget={"instructions": 10**9})["instructions"]
        assert verdict.status == "fail"
        assert "not measured" in verdict.message


def test_a_file_is_called_by_its_path_where_names_meet(tmp_path: Path) -> None:
    first, second = chain(tmp_path / "a" / "m.onnx"), chain(tmp_path / "b" / "m.onnx", layers=4)
    third = chain(tmp_path / "c.onnx")
    names = {v.artifact for v in verb([first, second, third], budget={"size_bytes": 10**6})}
    assert names == {first.as_posix(), second.as_posix(), "c.onnx"}
    budget = {"artifact": {first.as_posix(): {"size_bytes": 1}, third.as_posix(): {"macs": 1}}}
    found = {v.artifact: v.status for v in verb([first, second, third], budget=budget)}
    assert found == {first.as_posix(): "fail", third.as_posix(): "fail"}


def test_facts_are_read_once_and_only_when_asked(tmp_path: Path) -> None:
    (item,) = subject(chain(tmp_path / "m.onnx")).items.values()
    assert "facts" not in vars(item)
    assert item.facts is item.facts
