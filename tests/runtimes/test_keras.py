"""Keras files on PyTorch, and SavedModels where TensorFlow is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from edgekd.errors import DataError, MissingExtraError, ModelFileError
from edgekd.runtimes import RUNTIMES
from edgekd.runtimes.module import load_module
from tests.distill.formats import make_teacher, save_keras

SHAPE = (2, 6, 8)

# Importing Keras to see whether it is there would choose its backend.
needs_keras = pytest.mark.skipif(find_spec("keras") is None, reason="Keras is not installed")


@pytest.fixture
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return make_teacher(4, SHAPE).eval()


@pytest.fixture
def x() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal((5, *SHAPE), dtype=np.float32))


@needs_keras
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_file_gives_what_the_network_gives(
    network: torch.nn.Module, x: torch.Tensor, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"m{suffix}"
    save_keras(path, network, SHAPE)
    session = RUNTIMES.resolve("keras")(path)
    assert session.runtime.startswith("keras 3")
    assert session.inputs[0].shape == (None, 6, 8, 2)
    with pytest.raises(DataError, match="takes shape"):
        session.run([np.zeros((1, 2, 6, 8), np.float32)])
    module = load_module(path, sample_shape=SHAPE, outputs=4, where="teacher[0]")
    with torch.no_grad():
        torch.testing.assert_close(module(x), network(x), atol=1e-5, rtol=1e-5)


@needs_keras
def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    with pytest.raises(ModelFileError, match=r"Keras cannot load .*m\.h5"):
        RUNTIMES.resolve("keras")(tmp_path / "m.h5")


@needs_keras
def test_mlperf_h5_and_its_tflite_file_are_one_network(data_root: Path) -> None:
    folder = data_root / "mlperf_tiny"
    names = ("ic_pretrainedResnet.h5", "ic_pretrainedResnet_fp32.tflite")
    keras, tflite = (
        load_module(folder / name, sample_shape=(3, 32, 32), outputs=10, where="teacher[0]")
        for name in names
    )
    pixels = np.random.default_rng(0).uniform(0, 255, (8, 3, 32, 32)).astype(np.float32)
    x = torch.from_numpy(pixels)
    torch.testing.assert_close(keras(x), tflite(x), atol=1e-4, rtol=1e-3)


@pytest.mark.skipif(find_spec("tensorflow") is not None, reason="TensorFlow is installed")
def test_without_tensorflow_a_saved_model_names_the_extra() -> None:
    with pytest.raises(MissingExtraError, match="tensorflow") as caught:
        RUNTIMES.resolve("saved-model")
    assert "edgekd[tensorflow]" in str(caught.value.hint)


def test_a_saved_model_gives_what_the_network_gives(
    network: torch.nn.Module, x: torch.Tensor, tmp_path: Path
) -> None:
    tf = pytest.importorskip("tensorflow")
    weight = network[7].weight.detach().numpy()  # type: ignore[index]

    class Head(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None, weight.shape[1]], tf.float32)])  # type: ignore[untyped-decorator]
        def __call__(self, features: object) -> object:
            return tf.matmul(features, weight.T)

    tf.saved_model.save(Head(), str(tmp_path / "m"))
    module = load_module(
        tmp_path / "m", sample_shape=weight.shape[1:], outputs=4, where="teacher[0]"
    )
    features = torch.from_numpy(np.random.default_rng(0).random((3, weight.shape[1]), np.float32))
    torch.testing.assert_close(module(features), features @ torch.from_numpy(weight.T))
