"""Files by TensorFlow's own converter. `make tensorflow` runs them, where TensorFlow is.

Keras computes with PyTorch in this process and with TensorFlow in the one that converts, so that
each file is held against another implementation than the one that it was made of.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.errors import ExportError
from edgekd.export.stage import export
from edgekd.runtimes import RUNTIMES
from edgekd.runtimes.codec import decode, encode
from tests.conftest import REPOSITORY

pytestmark = [
    pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs TensorFlow: make tensorflow"),
    pytest.mark.slow,
    # Keras, when it saves with PyTorch as its backend.
    pytest.mark.filterwarnings("ignore:__array__ implementation"),
]

SIDE = 12


@pytest.fixture(scope="module")
def kit() -> Any:
    """Keras, with the backend that edgekd chooses."""
    RUNTIMES.resolve("keras")
    import keras

    return keras


@pytest.fixture(scope="module")
def images() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {"input": random.standard_normal((96, 3, SIDE, SIDE), dtype=np.float32)}


@pytest.fixture(scope="module")
def network(kit: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small convolutional network in a .keras file."""
    kit.utils.set_random_seed(0)
    picture = kit.Input((SIDE, SIDE, 3))
    x = kit.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(picture)
    x = kit.layers.ReLU()(kit.layers.BatchNormalization()(x))
    x = kit.layers.DepthwiseConv2D(3, padding="same")(x)
    x = kit.layers.GlobalAveragePooling2D()(x)
    model = kit.Model(picture, kit.layers.Dense(4)(x))
    path = tmp_path_factory.mktemp("keras") / "small.keras"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def two_inputs(kit: Any) -> Any:
    kit.utils.set_random_seed(0)
    image, extra = kit.Input((8, 8, 3), name="image"), kit.Input((5,), name="extra")
    features = kit.layers.Conv2D(8, 3, padding="same")(image)
    joined = kit.layers.Concatenate()([kit.layers.GlobalAveragePooling2D()(features), extra])
    scores, box = kit.layers.Dense(4)(joined), kit.layers.Dense(2)(joined)
    return kit.Model({"image": image, "extra": extra}, {"scores": scores, "box": box})


def two_samples() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "image": random.standard_normal((80, 3, 8, 8), dtype=np.float32),
        "extra": random.standard_normal((80, 5), dtype=np.float32),
    }


def dense_scales(path: Path) -> int:
    """Return how many scales the weight of the dense layer has."""
    from edgekd.quantize.flatbuffer import read

    graph = read(path.read_bytes()).subgraphs[0]
    found = [t.quantization.scale for t in graph.tensors if list(t.shape) == [4, 8]]
    return len(found[0])


def test_a_small_network_in_float_twice_the_same(
    network: Path, images: dict[str, np.ndarray], tmp_path: Path
) -> None:
    found = [
        export(network, target="keras", samples=images, out=tmp_path / name) for name in ("a", "b")
    ]
    assert found[0].path.read_bytes() == found[1].path.read_bytes()
    manifest = found[0].manifest
    assert manifest.inputs[0].shape == (1, SIDE, SIDE, 3) and manifest.inputs[0].layout == "nhwc"
    assert manifest.parity.max_abs_error < 1e-5
    assert manifest.model.parameters == 3 * 3 * 3 * 8 + 4 * 8 + 9 * 8 + 8 + 8 * 4 + 4


def test_int8_twice_the_same_in_and_out(
    network: Path, images: dict[str, np.ndarray], tmp_path: Path
) -> None:
    one, two = (
        export(network, target="keras", quantize="int8", samples=images, out=tmp_path / name)
        for name in ("a", "b")
    )
    assert one.path.read_bytes() == two.path.read_bytes()
    given, taken = one.manifest.inputs[0], one.manifest.outputs[0]
    assert (given.dtype, taken.dtype) == ("int8", "int8")
    used = images["input"]
    assert given.scale is not None and 255 * given.scale <= used.max() - used.min() + given.scale
    assert dense_scales(one.path) == 4


@pytest.mark.parametrize("profile", ["pi-legacy", "mcu"])
def test_profiles_have_one_scale_a_dense_layer(
    network: Path, images: dict[str, np.ndarray], tmp_path: Path, profile: str
) -> None:
    made = export(
        network,
        target="keras",
        quantize="int8",
        profile=profile,
        samples=images,
        out=tmp_path / "a",
    )
    assert dense_scales(made.path) == 1


@pytest.mark.parametrize("io", ["uint8", "float32"])
def test_io(network: Path, images: dict[str, np.ndarray], tmp_path: Path, io: Any) -> None:
    made = export(
        network, target="keras", quantize="int8", io=io, samples=images, out=tmp_path / "a"
    )
    assert made.manifest.inputs[0].dtype == made.manifest.outputs[0].dtype == io


def test_fp16_layout_and_free_batch(
    network: Path, images: dict[str, np.ndarray], tmp_path: Path
) -> None:
    made = export(
        network,
        target="keras",
        quantize="fp16",
        layout="nchw",
        batch=0,
        samples=images,
        out=tmp_path / "a",
    )
    assert made.manifest.inputs[0].shape == (None, 3, SIDE, SIDE)
    assert made.manifest.inputs[0].layout == "nchw"
    assert len(made.manifest.parity.batch_sizes) > 1
    assert made.manifest.parity.snr_db is not None and made.manifest.parity.snr_db > 40


def test_normalisation_inside(kit: Any, tmp_path: Path) -> None:
    from edgekd.recipe import Recipe

    kit.utils.set_random_seed(0)
    digit = kit.Input((8, 8, 1))
    x = kit.layers.Flatten()(kit.layers.Conv2D(4, 3)(digit))
    model = kit.Model(digit, kit.layers.Dense(10)(x))
    made = export(
        model,
        target="keras",
        recipe=Recipe.load("digits"),
        embed_preprocess=True,
        io="uint8",
        out=tmp_path / "a",
    )
    (given,), (taken,) = made.manifest.inputs, made.manifest.outputs
    assert (given.dtype, given.shape, taken.name) == ("uint8", (1, 8, 8, 1), "probabilities")
    session = RUNTIMES.resolve("litert")(made.path)
    (answer,) = session.run([np.full((1, 8, 8, 1), 7, np.uint8)])
    assert answer.sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_two_inputs_and_named_outputs(two_inputs: Any, tmp_path: Path, quantize: str) -> None:
    made = export(
        two_inputs, target="keras", quantize=quantize, samples=two_samples(), out=tmp_path / "a"
    )
    assert {spec.name: spec.shape for spec in made.manifest.inputs} == {
        "image": (1, 8, 8, 3),
        "extra": (1, 5),
    }
    assert {spec.name for spec in made.manifest.outputs} == {"scores", "box"}


def test_lstm_in_int8(kit: Any, tmp_path: Path) -> None:
    kit.utils.set_random_seed(0)
    model = kit.Sequential([kit.Input((12, 6)), kit.layers.LSTM(8), kit.layers.Dense(4)])
    x = np.random.default_rng(0).standard_normal((80, 12, 6), dtype=np.float32)
    made = export(model, target="keras", quantize="int8", samples={"input": x}, out=tmp_path / "a")
    assert made.manifest.parity.snr_db is not None and made.manifest.parity.snr_db > 15
    assert any("unrolled" in note for note in made.manifest.notes)
    assert not any(layer.unroll for layer in model.layers if hasattr(layer, "unroll"))


def in_tensorflow(code: str, tmp_path: Path) -> str:
    """Run code in a new Python whose Keras computes with TensorFlow; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": "tensorflow", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


_SAVE = """
import keras
keras.utils.set_random_seed(0)
a, b = keras.Input((8, 8, 3), name="image"), keras.Input((5,), name="extra")
x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3)(a))
y = keras.layers.Dense(4)(keras.layers.Concatenate()([x, b]))
z = keras.layers.Dense(2)(x)
keras.Model({"image": a, "extra": b}, {"scores": y, "box": z}).export("two", verbose=False)
rnn = [keras.Input((12, 6)), keras.layers.LSTM(8), keras.layers.Dense(4)]
keras.Sequential(rnn).export("lstm", verbose=False)
"""


def test_saved_models(tmp_path: Path) -> None:
    in_tensorflow(_SAVE, tmp_path)
    for quantize in ("none", "int8"):
        made = export(
            tmp_path / "two",
            target="savedmodel",
            quantize=quantize,
            samples=two_samples(),
            out=tmp_path / quantize,
        )
        assert {spec.name for spec in made.manifest.outputs} == {"scores", "box"}
        assert {spec.name for spec in made.manifest.inputs} == {"image", "extra"}
    with pytest.raises(ExportError, match="TensorListReserve") as caught:
        export(tmp_path / "lstm", target="savedmodel", out=tmp_path / "none-lstm")
    assert caught.value.hint is not None and ".keras file" in caught.value.hint


_OWN = """
import keras, pathlib, edgekd
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x
x = keras.Input((6,))
model = keras.Model(x, keras.layers.Dense(3)(Twice()(x)))
made = edgekd.export(model, target="keras", out=pathlib.Path("own"))
print(made.manifest.parity.max_abs_error < 1e-5)
"""


def test_layers_of_the_users_own_where_keras_computes_with_tensorflow(tmp_path: Path) -> None:
    assert in_tensorflow(_OWN, tmp_path).strip().endswith("True")


def test_layers_of_the_users_own_elsewhere_say_how(kit: Any, tmp_path: Path) -> None:
    class Twice(kit.layers.Layer):
        def call(self, x: Any) -> Any:
            return 2 * x

    x = kit.Input((6,))
    model = kit.Model(x, kit.layers.Dense(3)(Twice()(x)))
    with pytest.raises(ExportError, match="conversion by TensorFlow failed") as caught:
        export(model, target="keras", out=tmp_path / "a")
    assert caught.value.hint is not None and "KERAS_BACKEND=tensorflow" in caught.value.hint


def test_an_operator_that_tflite_lacks_is_named(kit: Any, tmp_path: Path) -> None:
    x = kit.Input((3, 3))
    model = kit.Model(x, kit.ops.inv(kit.ops.add(x, 5 * np.eye(3, dtype=np.float32))))
    with pytest.raises(ExportError, match=r"no such operators: .*MatrixInverse"):
        export(model, target="keras", out=tmp_path / "a")


def test_mlperf_tiny_resnet_against_the_files_published_with_it(
    data_root: Path, tmp_path: Path
) -> None:
    folder = data_root / "mlperf_tiny"
    random = np.random.default_rng(0)
    # Smooth patches: noise alone would be far from what the network was trained on.
    rough = random.uniform(0, 255, (400, 3, 5, 5)).astype(np.float32)
    pixels = np.repeat(np.repeat(rough, 7, axis=2), 7, axis=3)[:, :, :32, :32].round()
    made = {
        quantize: export(
            folder / "ic_pretrainedResnet.h5",
            target="keras",
            quantize=quantize,
            samples={"input": pixels},
            out=tmp_path / quantize,
        )
        for quantize in ("none", "int8")
    }
    paths = {
        "none": (made["none"].path, folder / "ic_pretrainedResnet_fp32.tflite"),
        "int8": (made["int8"].path, folder / "ic_pretrainedResnet_int8.tflite"),
    }
    answers = {}
    for quantize, pair in paths.items():
        for who, path in zip(("ours", "published"), pair, strict=True):
            session = RUNTIMES.resolve("litert")(path)
            spec = session.inputs[0].model_copy(update={"layout": "nhwc"})
            answers[quantize, who] = decode(
                session.run([encode(pixels, spec)])[0], session.outputs[0]
            )
    np.testing.assert_allclose(answers["none", "ours"], answers["none", "published"], atol=1e-5)
    classes = {key: scores.argmax(1) for key, scores in answers.items()}
    assert (classes["int8", "ours"] == classes["none", "ours"]).mean() > 0.9
    sizes = {key: made[key].path.stat().st_size for key in made}
    assert sizes["int8"] < 0.30 * sizes["none"]
    assert sizes["none"] <= paths["none"][1].stat().st_size
    assert sizes["int8"] <= paths["int8"][1].stat().st_size
