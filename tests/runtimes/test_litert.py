"""LiteRT on files that other people made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekd.errors import DataError, ModelFileError
from edgekd.runtimes import RUNTIMES
from edgekd.runtimes.codec import decode, encode
from edgekd.runtimes.litert import load

# The published shapes of MLPerf Tiny's image classification, keyword and anomaly models.
SHAPES = {
    "ic_pretrainedResnet_fp32": ((1, 32, 32, 3), (1, 10), "float32"),
    "ic_pretrainedResnet_int8": ((1, 32, 32, 3), (1, 10), "int8"),
    "kws_ref_model_fp32": ((1, 49, 10, 1), (1, 12), "float32"),
    "kws_ref_model_int8": ((1, 49, 10, 1), (1, 12), "int8"),
    "ad01_fp32": ((1, 640), (1, 640), "float32"),
    "ad01_int8": ((1, 640), (1, 640), "int8"),
}


@pytest.fixture(scope="module")
def folder(data_root: Path) -> Path:
    return data_root / "mlperf_tiny"


@pytest.mark.parametrize("name", SHAPES)
def test_specs_and_a_run_of_mlperf_tiny(folder: Path, name: str) -> None:
    session = load(folder / f"{name}.tflite")
    (given,), (taken,) = session.inputs, session.outputs
    shapes = tuple(size or 1 for size in given.shape), tuple(size or 1 for size in taken.shape)
    assert (*shapes, given.dtype) == SHAPES[name]
    assert (given.scale is None) == (given.dtype == "float32")
    x = np.random.default_rng(0).random(SHAPES[name][0], dtype=np.float32)
    (y,) = session.run([encode(x, given)])
    assert y.shape == SHAPES[name][1]
    assert np.isfinite(decode(y, taken)).all()
    assert session.runtime.startswith("litert ")


def test_a_batch_gives_what_single_samples_give(folder: Path) -> None:
    session = RUNTIMES.resolve("litert")(folder / "ic_pretrainedResnet_int8.tflite")
    x = np.random.default_rng(1).integers(-128, 128, (5, 32, 32, 3)).astype(np.int8)
    single = np.concatenate([session.run([x[i : i + 1]])[0] for i in range(5)])
    assert np.array_equal(session.run([x])[0], single)
    assert np.array_equal(session.run([x[:1]])[0], single[:1])


def test_arrays_that_do_not_fit_are_refused(folder: Path) -> None:
    session = load(folder / "ic_pretrainedResnet_int8.tflite")
    good = np.zeros((1, 32, 32, 3), np.int8)
    with pytest.raises(DataError, match="takes int8, float32 was given"):
        session.run([good.astype(np.float32)])
    with pytest.raises(DataError, match="takes shape"):
        session.run([good[:, :16]])
    with pytest.raises(DataError, match="takes 1 inputs, 2 were given"):
        session.run([good, good])


def test_a_damaged_file_is_an_error_not_a_crash(folder: Path, tmp_path: Path) -> None:
    data = (folder / "ad01_int8.tflite").read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelFileError, match="LiteRT cannot load"):
        load(path)
    with pytest.raises(ModelFileError, match="LiteRT cannot load"):
        load(tmp_path / "missing.tflite")
