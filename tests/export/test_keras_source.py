"""Keras models as sources, without TensorFlow: names, layouts, refusals."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from edgekd.errors import ExportError, MissingExtraError, ModelError, ModelFileError
from edgekd.export.keras_source import check_target, find_keras, is_keras
from edgekd.export.plan import Plan
from edgekd.export.prepare import prepare
from edgekd.export.samples import Samples
from edgekd.export.source import Wanted
from edgekd.export.tensorflow import KerasExporter, _order
from edgekd.export.tf_convert import Job, Tensor, described
from edgekd.quantize.calibration import CalibrationPlan
from edgekd.quantize.schemes import INT8, INT8_DYNAMIC
from edgekd.runtimes import RUNTIMES

needs_keras = pytest.mark.skipif(find_spec("keras") is None, reason="Keras is not installed")


@pytest.fixture
def two_inputs() -> Any:
    """A model of two inputs and two outputs, in dictionaries whose order is not the alphabet's."""
    RUNTIMES.resolve("keras")  # chooses Keras's backend
    import keras

    keras.utils.set_random_seed(0)
    image, extra = keras.Input((4, 6, 3), name="image"), keras.Input((5,), name="extra")
    features = keras.layers.Conv2D(2, 3, padding="same", name="map")(image)
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(features), extra])
    scores = keras.layers.Dense(4)(joined)
    return keras.Model({"image": image, "extra": extra}, {"scores": scores, "map": features})


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "image": random.standard_normal((6, 3, 4, 6), dtype=np.float32),
        "extra": random.standard_normal((6, 5), dtype=np.float32),
    }


@needs_keras
def test_a_model_of_dictionaries_is_run_channels_first_by_name(
    two_inputs: Any, arrays: dict[str, np.ndarray]
) -> None:
    found = find_keras(two_inputs, Wanted(samples=Samples.of(arrays)))
    shapes = {port.name: port.shape for port in found.ports}
    assert shapes == {"extra": (5,), "image": (3, 4, 6)}
    prepared = prepare(found.model, {name: values[:2] for name, values in arrays.items()})
    answers = dict(zip(prepared.outputs, prepared.predict(arrays), strict=True))
    expected = two_inputs(
        {"image": arrays["image"].transpose(0, 2, 3, 1), "extra": arrays["extra"]}, training=False
    )
    assert answers["map"].shape == (6, 2, 4, 6)
    np.testing.assert_allclose(
        answers["map"], expected["map"].detach().numpy().transpose(0, 3, 1, 2), atol=1e-6
    )
    np.testing.assert_allclose(answers["scores"], expected["scores"].detach().numpy(), atol=1e-6)
    assert found.facts().parameters == 3 * 2 * 9 + 2 + (4 * 6 * 2 + 5) * 4 + 4


@needs_keras
def test_samples_of_other_inputs_are_refused(
    two_inputs: Any, arrays: dict[str, np.ndarray]
) -> None:
    other = {"picture": arrays["image"], "extra": arrays["extra"]}
    with pytest.raises(ModelError, match="the inputs are extra, image, not picture, extra"):
        find_keras(two_inputs, Wanted(samples=Samples.of(other)))
    wrong = {**arrays, "image": arrays["image"][..., :5]}
    with pytest.raises(ModelError, match=r"'image' of .* takes samples of shape \(4, 6, 3\)"):
        find_keras(two_inputs, Wanted(samples=Samples.of(wrong)))


@needs_keras
def test_a_copy_is_the_network_itself(two_inputs: Any) -> None:
    found = find_keras(two_inputs, Wanted())
    assert copy.deepcopy(found.model) is found.model


@needs_keras
def test_token_ids_stay_whole_and_within_the_vocabulary() -> None:
    RUNTIMES.resolve("keras")
    import keras

    words = keras.Input((7,), dtype="int32")
    vectors = keras.layers.Embedding(50, 3)(words)
    model = keras.Model(words, keras.layers.GlobalAveragePooling1D()(vectors))
    (port,) = find_keras(model, Wanted()).ports
    assert (port.name, port.shape, port.dtype, port.high) == ("input", (7,), "int32", 49)


@needs_keras
def test_a_free_size_must_be_given() -> None:
    RUNTIMES.resolve("keras")
    import keras

    picture = keras.Input((None, None, 3))
    model = keras.Model(picture, keras.layers.GlobalAveragePooling2D()(picture))
    with pytest.raises(ExportError, match="leaves a size free"):
        find_keras(model, Wanted())


@needs_keras
def test_targets_take_their_own_sources_only(two_inputs: Any) -> None:
    network = find_keras(two_inputs, Wanted()).model
    check_target(network, "keras")
    check_target(nn.Linear(2, 2), "tflite")
    for target in ("tflite", "onnx", "savedmodel"):
        with pytest.raises(ExportError) as caught:
            check_target(nn.Sequential(network), target)
        assert caught.value.hint is not None and "--target keras" in caught.value.hint
    with pytest.raises(ExportError, match="not a PyTorch network"):
        check_target(nn.Linear(2, 2), "keras")


def test_what_counts_as_keras(tmp_path: Path) -> None:
    assert is_keras("model.keras") and is_keras(Path("a/model.H5"))
    assert not is_keras("model.onnx") and not is_keras(tmp_path) and not is_keras(None)
    assert not is_keras(nn.Linear(1, 1)) and not is_keras("keras.models:make")
    (tmp_path / "saved_model.pb").touch()
    assert is_keras(tmp_path)
    with pytest.raises(ModelFileError, match="no such file"):
        find_keras(tmp_path / "none.keras", Wanted())


def test_what_the_converter_lacks_is_refused_early() -> None:
    exporter = KerasExporter()
    with pytest.raises(ExportError, match="all or nothing"):
        exporter.require(Plan("keras", INT8, keep_float=("a",)))
    with pytest.raises(ExportError, match="by min-max alone"):
        exporter.require(Plan("keras", INT8, calibration=CalibrationPlan("mse")))
    with pytest.raises(ExportError, match="cannot be quantized"):
        exporter.require(Plan("keras", INT8_DYNAMIC))


@pytest.mark.skipif(find_spec("tensorflow") is not None, reason="TensorFlow is installed")
def test_without_tensorflow_the_extra_is_named() -> None:
    with pytest.raises(MissingExtraError, match="tensorflow") as caught:
        KerasExporter().require(Plan("keras"))
    assert caught.value.hint == 'Install it: pip install "edgekd[tensorflow]"'


@pytest.mark.parametrize(("rank", "from_last"), [(3, True), (3, False), (4, True), (5, False)])
def test_orders_of_axes_move_the_channels(rank: int, from_last: bool) -> None:
    values = np.arange(2 * 3 * 4 * 5 * 6)[: np.prod(range(2, 2 + rank))].reshape(range(2, 2 + rank))
    moved = np.moveaxis(values, -1, 1) if from_last else np.moveaxis(values, 1, -1)
    order = _order(rank, from_last, not from_last)
    assert order is not None and (values.transpose(order) == moved).all()
    assert _order(rank, from_last, from_last) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Some ops need Flex\n\tTF Select ops: Cholesky, Qr\nDetails:", "Cholesky, Qr"),
        ("<unknown>:0: error: 'tf.TensorListReserve' op requires", "tf.TensorListReserve"),
        ('error: loc(callsite(fused["TensorListReserve:", "x"] at', "TensorListReserve"),
    ],
)
def test_operators_that_tflite_lacks_are_named(text: str, said: str) -> None:
    assert described(RuntimeError(text)) == f"TFLite has no such operators: {said}"


def test_any_other_fault_is_one_line() -> None:
    assert described(ValueError("\n bad shape \n at line 3")) == "ValueError: bad shape"
    assert described(ValueError()) == "ValueError"


def test_a_job_survives_its_file(tmp_path: Path) -> None:
    given = Tensor("input", "x", (0, 2, 3, 1), (None, 4, 4, 3), "uint8")
    job = Job("keras", "m.h5", (given,), (Tensor("logits", "y"),), "int8", "int8", True, False)
    job.write(tmp_path)
    assert Job.read(tmp_path) == job


def test_torch_is_not_needed_by_the_process_that_converts() -> None:
    import subprocess
    import sys

    code = "import sys, edgekd.export.tf_convert; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
