"""Old runtimes: what they load, what they compute wrongly, and whether the guard knows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from benchmarks.oldruntime.handmade import INPUT, SIGNATURE, dense, spread
from benchmarks.oldruntime.schemes import quantized
from edgekd.modelfile.graph import Graph, Subgraph
from edgekd.modelfile.needed_versions import needed_version
from edgekd.modelfile.oldest import guard, oldest
from edgekd.modelfile.reading import read
from edgekd.modelfile.runtime_versions import LEGACY, first_release, release
from edgekd.modelfile.tflite_releases import RELEASES
from tests.fixtures_old_runtime import Old

#: The quantizer's calibration, which vendors' code warns of.
pytestmark = pytest.mark.filterwarnings("ignore:Warning. Enabling:UserWarning")

REPOSITORY = Path(__file__).resolve().parent.parent.parent
TABLE = REPOSITORY / "benchmarks" / "results" / "old-runtime.json"

#: Files that TensorFlow's converter made: it stamps what an operator needs, and no more.
BY_TENSORFLOW = (
    "mlperf_tiny/ad01_fp32",
    "mlperf_tiny/ad01_int8",
    "mlperf_tiny/ic_pretrainedResnet_fp32",
    "mlperf_tiny/ic_pretrainedResnet_int8",
    "mlperf_tiny/kws_ref_model_int8",
)


def layer(
    scheme: str | None, *, depth: int = 32, units: int = 24, lead: tuple[int, ...] = (1,)
) -> tuple[bytes, dict[str, NDArray], NDArray[np.float64]]:
    """Return a dense layer of badly scaled outputs, samples, and what NumPy computes of them."""
    generator = np.random.default_rng(3)
    weights = spread(generator.standard_normal((units, depth)).astype(np.float32), 0)
    bias = generator.standard_normal(units).astype(np.float32)
    x = generator.standard_normal((8, *lead, depth)).astype(np.float32)
    content = dense(weights, bias, (*lead, depth))
    if scheme is not None:
        content = quantized(content, scheme, [{INPUT: sample} for sample in x], SIGNATURE)
    expected = x.astype(np.float64) @ weights.T + bias
    return content, {INPUT: x}, expected.reshape(len(x), -1)


def decibels(expected: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    return float(10 * np.log10((expected**2).sum() / ((found - expected) ** 2).sum()))


def test_the_known_garbage_is_garbage_there_and_refused_here(old_runtime: Old) -> None:
    content, inputs, expected = layer("int8-dynamic per channel")
    state, found = old_runtime(content, inputs)
    assert state == "right", "it loads and runs, which is the trap"
    assert found is not None
    assert decibels(expected, found) < 3
    (finding,) = guard(content)
    assert (finding.kind, finding.operator, finding.name) == ("garbage", 0, "FULLY_CONNECTED")
    assert finding.tensor == "w2"
    assert "--profile pi-legacy" in finding.advice
    answer = oldest(content)
    assert (answer.runtime, answer.version, answer.loads) == (
        "TensorFlow Lite",
        "2.17",
        "TensorFlow Lite 2.0",
    )
    assert answer.findings == (finding,)


@pytest.mark.parametrize(
    ("scheme", "least"), [("int8-dynamic per tensor", 25), ("int8 per channel", 20), (None, 100)]
)
def test_what_is_right_there_passes(old_runtime: Old, scheme: str | None, least: float) -> None:
    content, inputs, expected = layer(scheme)
    state, found = old_runtime(content, inputs)
    assert state == "right"
    assert found is not None
    assert decibels(expected, found) > least
    assert guard(content) == ()


def test_four_bit_weights_depend_on_the_size_of_the_layer(old_runtime: Old) -> None:
    """The kernel for 4-bit weights knows scales; smaller layers take another that does not."""
    for depth, units, right in [(32, 4, True), (31, 4, False), (32, 3, False), (33, 4, False)]:
        content, inputs, expected = layer("int4-dynamic per channel", depth=depth, units=units)
        state, found = old_runtime(content, inputs)
        assert state == "right"
        assert found is not None
        assert (decibels(expected, found) > 10) == right, (depth, units)
        assert (guard(content) == ()) == right, (depth, units)


def test_equal_scales_are_one_scale() -> None:
    """A scale a channel does no harm where they are all the same."""
    weights = np.ones((4, 32), np.float32)
    content = dense(weights, None, (1, 32))
    content = quantized(content, "int8-dynamic per channel", [], SIGNATURE)
    assert len(read(content).main.tensors[1].quantization.scales) == 4
    assert guard(content) == ()


def test_the_releases_are_those_of_the_real_runtime(old_python: Path, tmp_path: Path) -> None:
    """Of every operator 2.14 loads the version that the table gives it, and not the next."""
    expected: dict[str, bool] = {}
    for line in RELEASES.strip().splitlines():
        name, *releases = line.split()
        last = max(
            (i for i, r in enumerate(releases, 1) if r != "-" and release(r) <= LEGACY), default=0
        )
        for version in {last, last + 1} - {0}:
            (tmp_path / f"{name}-{version}.tflite").write_bytes(bare(name, version))
            expected[f"{name}-{version}"] = version == last
    code = (
        "import pathlib, sys\n"
        "from tflite_runtime.interpreter import Interpreter\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).glob('*.tflite')):\n"
        "    try: Interpreter(str(path)); print(path.stem)\n"
        "    except ValueError: pass\n"
    )
    done = subprocess.run(
        [old_python, "-c", code, tmp_path], capture_output=True, text=True, check=True, timeout=120
    )
    assert set(done.stdout.split()) == {name for name, loads in expected.items() if loads}
    assert len(expected) > 300


def bare(name: str, version: int) -> bytes:
    """Return a file that names an operator of a version and uses none."""
    model, code, graph = schema.ModelT(), schema.OperatorCodeT(), schema.SubGraphT()
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), version
    graph.inputs, graph.outputs, graph.operators, graph.tensors = [], [], [], []
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT()]
    builder = flatbuffers.Builder(256)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("name", BY_TENSORFLOW)
def test_needed_versions_are_those_that_tensorflow_stamps(name: str, data_root: Path) -> None:
    graph = read(data_root / f"{name}.tflite")
    needed: dict[str, int] = {}
    stamped: dict[str, int] = {}
    for subgraph, operator in graph.walk():
        stamped[operator.name] = operator.version
        version = needed_version(subgraph, operator)
        needed[operator.name] = max(version, needed.get(operator.name, 1))
    assert needed == stamped
    newest = max(first_release(name, version) for name, version in stamped.items())
    assert oldest(graph).version == newest.version
    assert guard(graph) == ()


def test_the_version_written_into_a_file_is_never_newer(data_root: Path) -> None:
    """Converters write one too; for int8 files it is that of the float file, hence too old."""
    found = []
    for path in sorted(data_root.glob("*/*.tflite")):
        graph = read(path)
        written = graph.metadata.get("min_runtime_version", b"").rstrip(b"\0").decode()
        if written:
            version = oldest(graph).version
            assert version is not None
            found.append((release(written.removesuffix(".0")), release(version)))
    assert all(written <= answer for written, answer in found)
    assert any(written == answer for written, answer in found)


def test_unknown_and_custom_operators_have_no_oldest() -> None:
    content = bare("STABLEHLO_SORT", 1)
    model = schema.ModelT.InitFromPackedBuf(content)
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = np.array([], np.int32), np.array([], np.int32)
    model.subgraphs[0].operators = [operator]
    builder = flatbuffers.Builder(256)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    answer = oldest(bytes(builder.Output()))
    assert (answer.version, answer.loads) == (None, None)
    (finding,) = answer.findings
    assert finding.kind == "refused"
    assert "no runtime knows it" in str(finding)


@pytest.mark.parametrize(
    ("opsets", "ir", "expected"),
    [
        ({"": 17}, 8, "1.12"),
        ({"": 17}, 10, "1.18"),
        ({"": 20, "ai.onnx.ml": 3, "com.microsoft": 1}, 9, "1.17"),
        ({"": 24}, 10, "1.24"),
        ({"": 99}, 10, None),
        ({}, 8, None),
    ],
)
def test_opset_and_format_decide_the_oldest_onnxruntime(
    opsets: dict[str, int], ir: int, expected: str | None
) -> None:
    graph = Graph("onnx", ir, (Subgraph("g", (), (), (), ()),), opsets=opsets)
    assert (oldest(graph).runtime, oldest(graph).version) == ("onnxruntime", expected)
    assert guard(graph) == ()


def test_the_table_of_results_has_no_file_that_the_guard_mistook() -> None:
    table = json.loads(TABLE.read_text())
    assert table["versions"]["old"] == "tflite-runtime 2.14.0"
    assert table["guard"]["wrong"] == []
    verdicts = table["verdicts"]["old"]
    assert sum(verdicts.values()) == table["guard"]["files"] == len(table["files"]) > 700
    assert verdicts["garbage"] > 40


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_table_holds_when_it_is_made_anew(old_python: Path, tmp_path: Path) -> None:
    """A slice of it: the layers that go wrong, each in every scheme."""
    from benchmarks.old_runtime import files, make, run
    from benchmarks.oldruntime.judge import judged, summary

    cases = ["conv2d", "depthwise", "linear", "linear-3d", "matmul-constant", "embedding", "div"]
    make(tmp_path, only=cases)
    answers = {"old": run(tmp_path, "old", str(old_python))}
    answers["new"] = run(tmp_path, "new", sys.executable)
    rows = [judged(path, answers) for path in files(tmp_path)]
    assert summary(rows)["guard"]["wrong"] == []
    known = {
        (row["operator"], row["scheme"]): row["verdicts"]["old"]
        for row in json.loads(TABLE.read_text())["files"]
    }
    assert {(r["operator"], r["scheme"]): r["verdicts"]["old"] for r in rows} == {
        key: verdict for key, verdict in known.items() if key[0] in cases
    }
