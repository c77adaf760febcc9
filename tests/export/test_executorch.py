"""ExecuTorch programs: what is in them, and what they compute. Needs the extra ``executorch``."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgekd
from edgekd.errors import DataError, ExportError, MissingExtraError, ModelFileError
from edgekd.export import exporter as exporters
from edgekd.export.executorch import ExecuTorchExporter
from edgekd.export.plan import Plan
from edgekd.export.prepare import Prepared, prepare
from edgekd.export.surface import surface
from edgekd.modelfile import metadata
from edgekd.models.build import build
from edgekd.quantize.calibration import CalibrationPlan
from edgekd.quantize.schemes import FP16, INT8, NONE
from edgekd.runtimes.codec import decode, encode
from edgekd.runtimes.files import identify
from tests.export.making import make, prepared_with

INSTALLED = exporters.installed("executorch")


def needs_executorch(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that needs the extra: to import ExecuTorch alone takes longer than most tests."""
    missing = pytest.mark.skipif(not INSTALLED, reason="the extra executorch is not installed")
    return pytest.mark.slow(missing(test))


class Small(nn.Module):
    """A convolution, a normalisation and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.norm(self.conv(x)))
        return self.head(nn.functional.adaptive_avg_pool2d(h, 1).flatten(1))


class Pair(nn.Module):
    """Two inputs, one of them integers; two outputs that are not in the order of their names."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.dense = nn.Linear(4, 3)

    def forward(self, tokens: torch.Tensor, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        h = (self.embedding(tokens) * weight[..., None]).sum(1)
        return {"scores": self.dense(h), "embedded": h}


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Import ExecuTorch as the exporter does: without the warnings of its own imports."""
    if INSTALLED:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_module("edgekd.runtimes.executorch")
            import_module("edgekd.quantize.executorch")


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((100, 3, 8, 8), dtype=np.float32)


@pytest.fixture(scope="module")
def small(x: np.ndarray) -> Prepared:
    torch.manual_seed(0)
    return prepared_with(Small().eval(), x)


def snr(reference: np.ndarray, given: np.ndarray) -> float:
    return float(10 * np.log10((reference**2).sum() / ((given - reference) ** 2).sum()))


def test_what_it_cannot_make_is_refused_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exporter = ExecuTorchExporter()
    with pytest.raises(ExportError, match="cannot be quantized by fp16"):
        exporter.require(Plan("executorch", FP16))
    with pytest.raises(ExportError, match="no uint8"):
        exporter.require(Plan("executorch", INT8, io="uint8"))
    with pytest.raises(ExportError, match="no axis but the batch"):
        exporter.require(Plan("executorch", free_axis=1))
    monkeypatch.setattr(exporters, "installed", lambda package: package != "executorch")
    with pytest.raises(MissingExtraError) as caught:
        exporter.require(Plan("executorch"))
    assert caught.value.hint is not None and "edgekd[executorch]" in caught.value.hint


@needs_executorch
def test_a_float_file(small: Prepared, x: np.ndarray, tmp_path: Path) -> None:
    from edgekd.runtimes.executorch import load

    path = make("executorch", small, tmp_path).path
    assert identify(path) == "executorch"
    session = load(path)
    assert [(s.name, s.shape, s.dtype) for s in (*session.inputs, *session.outputs)] == [
        ("input", (1, 3, 8, 8), "float32"),
        ("logits", (1, 5), "float32"),
    ]
    assert session.runtime.startswith("executorch ")
    expected = small.predict({"input": x})[0]
    # A batch of 1 in the file: more samples run piece by piece.
    assert np.abs(session.run([x])[0] - expected).max() < 1e-5
    with pytest.raises(DataError, match="takes float32"):
        session.run([x.astype(np.float64)])
    again = tmp_path / "again"
    again.mkdir()
    assert make("executorch", small, again).path.read_bytes() == path.read_bytes()
    content = path.read_bytes()
    for secret in (b"site-packages", b"/edgekd/", b"Traceback"):
        assert secret not in content
    path.write_bytes(content[:-200])
    with pytest.raises(ModelFileError, match="ends too early"):
        identify(path)


@needs_executorch
def test_a_free_batch_is_not_limited_by_the_kernels_that_pytorch_would_choose(
    small: Prepared, x: np.ndarray, tmp_path: Path
) -> None:
    """With their choice left in, the program would take 15 samples at most."""
    from edgekd.runtimes.executorch import Runtime, load

    shown = surface(small, layout="nhwc", batch=None)
    path = (
        ExecuTorchExporter()
        .export(shown, Plan("executorch"), calibration=None, directory=tmp_path)
        .path
    )
    program = Runtime.get().load_program(path)
    sizes = program.metadata("forward").input_tensor_meta(0).sizes()
    assert tuple(sizes) == (64, 8, 8, 3)
    session = load(path)
    assert session.inputs[0].shape == (None, 8, 8, 3)
    expected = small.predict({"input": x})[0]
    for size in (1, 7, 64, 100):
        given = np.ascontiguousarray(np.moveaxis(x[:size], 1, -1))
        assert np.abs(session.run([given])[0] - expected[:size]).max() < 1e-5


@needs_executorch
@pytest.mark.parametrize("io", [None, "int8"])
def test_an_int8_file(small: Prepared, x: np.ndarray, tmp_path: Path, io: str | None) -> None:
    from edgekd.runtimes.executorch import load

    exported = make("executorch", small, tmp_path, INT8, x, io=io)
    assert "weights int8" in exported.notes[0]
    session = load(exported.path)
    given, taken = session.inputs[0], session.outputs[0]
    assert {given.dtype, taken.dtype} == {io or "float32"}
    if io is not None:
        assert given.scale == pytest.approx((x.max() - x.min()) / 255, rel=1e-5)
    expected = small.predict({"input": x})[0]
    found = decode(session.run([encode(x, given)])[0], taken)
    assert 25 < snr(expected, found) < 60  # rounding, and neither nothing nor garbage
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.97


@needs_executorch
def test_layers_that_stay_in_float(small: Prepared, x: np.ndarray, tmp_path: Path) -> None:
    from edgekd.runtimes.executorch import load

    expected = small.predict({"input": x})[0]
    found = {}
    for patterns in ((), ("conv", "norm"), ("*",)):
        folder = tmp_path / str(len(found))
        folder.mkdir()
        path = make("executorch", small, folder, INT8, x, keep_float=patterns).path
        found[patterns] = snr(expected, load(path).run([x])[0])
    assert found[()] < found[("conv", "norm")] < found[("*",)]
    assert found[("*",)] > 100
    with pytest.raises(ExportError, match="no such layer") as caught:
        make("executorch", small, tmp_path, INT8, x, keep_float=("body",))
    assert caught.value.hint is not None and "conv" in caught.value.hint


@needs_executorch
def test_an_observer_sets_the_range_that_was_learned() -> None:
    """Held against scale and zero point by hand: 256 levels, a zero that is one of them."""
    from edgekd.quantize.executorch import RangeObserver
    from edgekd.quantize.fake.learned import LearnedRanges

    learned = LearnedRanges((((-1.0, 3.0), (-0.5, 2.05)),))
    values = torch.tensor([-1.0, 0.0, 3.0])
    for plan, low, high in (
        (CalibrationPlan(), -1.0, 3.0),
        (CalibrationPlan(learned=learned), -0.5, 2.05),
        (CalibrationPlan("percentile", learned=learned), -0.5, 2.05),
    ):
        observer = RangeObserver(
            plan=plan,
            dtype=torch.int8,
            quant_min=-128,
            quant_max=127,
            qscheme=torch.per_tensor_affine,
        )
        assert observer(values) is values
        scale, zero_point = observer.calculate_qparams()
        assert float(scale) == pytest.approx((high - low) / 255)
        assert int(zero_point) == round(-128 - low / ((high - low) / 255))


@needs_executorch
def test_learned_ranges_go_before_the_method(
    small: Prepared, x: np.ndarray, tmp_path: Path
) -> None:
    from edgekd.quantize.fake.learned import LearnedRanges
    from edgekd.runtimes.executorch import load

    logits = small.predict({"input": x})[0]
    seen = [(float(one.min()), float(one.max())) for one in (x, logits)]
    learned = LearnedRanges(tuple(zip(seen, [(-2.0, 2.0), (-0.5, 0.5)], strict=True)))
    plan = CalibrationPlan("percentile", learned=learned)
    path = make("executorch", small, tmp_path, INT8, x, calibration=plan, io="int8").path
    session = load(path)
    assert session.inputs[0].scale == pytest.approx(4.0 / 255)
    assert session.outputs[0].scale == pytest.approx(1.0 / 255)


@needs_executorch
def test_a_network_that_overflows_is_refused(
    small: Prepared, x: np.ndarray, tmp_path: Path
) -> None:
    samples = np.full_like(x[:4], 3e38)
    with pytest.raises(ExportError, match="becomes NaN or infinite"):
        make("executorch", small, tmp_path, INT8, samples)


@needs_executorch
@pytest.mark.parametrize("method", ["percentile", "mse"])
def test_other_ways_to_set_ranges(
    small: Prepared, x: np.ndarray, tmp_path: Path, method: str
) -> None:
    from edgekd.runtimes.executorch import load

    plan = CalibrationPlan(method)  # type: ignore[arg-type]
    path = make("executorch", small, tmp_path, INT8, x, calibration=plan).path
    assert snr(small.predict({"input": x})[0], load(path).run([x])[0]) > 25


@needs_executorch
def test_an_artifact_says_what_it_is(x: np.ndarray, tmp_path: Path) -> None:
    """Through the whole of `edgekd export`: proved by a new process, read without ExecuTorch."""
    torch.manual_seed(0)
    artifact = edgekd.export(
        Small().eval(),
        target="executorch",
        quantize="int8",
        samples={"input": x},
        out=tmp_path / "small",
    )
    manifest = artifact.manifest
    assert manifest.parity.passed
    assert 0.0 < manifest.parity.max_abs_error < 0.1
    told = metadata.read(artifact.path)
    assert told is not None
    assert (told.target, told.scheme) == ("executorch", "int8")
    assert told.calibration == manifest.calibration is not None
    assert [port.name for port in told.inputs] == [port.name for port in manifest.inputs]
    found = edgekd.inspect(tmp_path / "small")
    assert found.metadata == told
    assert found.parity == manifest.parity
    assert {kind.name: kind.count for kind in found.kinds}["Conv2d"] == 1
    assert found.parameters == 3 * 3 * 3 * 8 + 8 + 8 * 5 + 5


@needs_executorch
def test_names_and_order_of_several_inputs_and_outputs(tmp_path: Path) -> None:
    from edgekd.runtimes.executorch import load

    generator = np.random.default_rng(0)
    samples = {
        "tokens": generator.integers(0, 10, (6, 7)),
        "weight": generator.standard_normal((6, 7), dtype=np.float32),
    }
    torch.manual_seed(0)
    pair = prepare(Pair().eval(), {name: values[:2] for name, values in samples.items()})
    path = make("executorch", pair, tmp_path).path
    session = load(path)
    assert [spec.name for spec in session.inputs] == ["tokens", "weight"]
    assert [spec.dtype for spec in session.inputs] == ["int64", "float32"]
    assert [s.name for s in session.outputs] == list(pair.outputs)
    outputs = session.run(list(samples.values()))
    for found, expected in zip(outputs, pair.predict(samples), strict=True):
        assert np.abs(found - expected).max() < 1e-6


@needs_executorch
def test_a_program_of_somebody_else_and_a_damaged_one(tmp_path: Path) -> None:
    from executorch.exir import to_edge

    from edgekd.runtimes.executorch import load

    path = tmp_path / "model.pte"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *args, **kwargs: None)
        program = torch.export.export(nn.ReLU(), (torch.zeros(2, 3),))
        path.write_bytes(to_edge(program).to_executorch().buffer)
    session = load(path)
    assert [(s.name, s.shape) for s in session.inputs] == [("input_0", (2, 3))]
    given = np.array([[-1, 0, 2], [3, -4, 5]], np.float32)
    assert session.run([given])[0].tolist() == [[0, 0, 2], [3, 0, 5]]
    content = path.read_bytes()
    path.write_bytes(content[:8] + bytes(len(content) - 8))
    with pytest.raises(ModelFileError, match="ExecuTorch cannot load"):
        load(path)


@needs_executorch
@pytest.mark.timeout(900)  # of two exports each; MobileNetV2 took 257 s on two busy cores
@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("resnet8", (3, 32, 32), {}),
        ("mobilenetv2", (3, 32, 32), {"width": 0.35}),
        ("ds-cnn", (1, 49, 10), {}),
        ("gru", (1, 8, 8), {}),
        ("vit", (3, 32, 32), {"depth": 2}),
    ],
)
def test_architectures(
    tmp_path: Path, name: str, shape: tuple[int, ...], options: dict[str, object]
) -> None:
    from edgekd.runtimes.executorch import load

    torch.manual_seed(0)
    model = build(name, options, num_classes=10, input_shape=shape)
    samples = np.random.default_rng(1).standard_normal((128, *shape), dtype=np.float32)
    model.train()(torch.from_numpy(samples))  # statistics that fit the data
    prepared = prepared_with(model.eval(), samples)
    expected = prepared.predict({"input": samples})[0]
    for scheme, least in ((NONE, 100.0), (INT8, 20.0)):
        folder = tmp_path / scheme.suffix
        folder.mkdir()
        calibration = samples[:64] if scheme == INT8 else None
        path = make("executorch", prepared, folder, scheme, calibration).path
        found = load(path).run([samples])[0]
        assert snr(expected, found) > least
        if scheme == NONE:
            assert np.abs(found - expected).max() <= 1e-5


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.sum() > 0 else x * 3


class Unsupported(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(x.reshape(-1, 2, 2)).real


@needs_executorch
@pytest.mark.parametrize(
    ("model", "hint"), [(Branching(), "torch.where"), (Unsupported(), "operator")]
)
def test_networks_that_cannot_be_converted_are_explained(
    tmp_path: Path, model: nn.Module, hint: str
) -> None:
    prepared = prepared_with(model, np.ones((2, 4), np.float32))
    with pytest.raises(ExportError, match="conversion to ExecuTorch failed") as caught:
        make("executorch", prepared, tmp_path)
    assert caught.value.hint is not None and hint in caught.value.hint


@needs_executorch
def test_the_benchmark_runs_it(small: Prepared, tmp_path: Path) -> None:
    path = make("executorch", small, tmp_path).path
    (measured,) = edgekd.benchmark(path, devices=["cpu"])
    assert measured.status == "ok", measured.error
    assert measured.runtime == "executorch"
    assert [port.name for port in measured.inputs] == ["input"]
    assert measured.latency is not None and 0.0 < measured.latency.p50_ms < 100.0
