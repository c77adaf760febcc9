from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.data.arrays import from_arrays
from edgekd.data.npz import npz
from edgekd.errors import DataError


def arrays(shape: tuple[int, ...] = (5,), count: int = 6) -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {
        "x_train": random.normal(size=(count, *shape)),
        "y_train": np.arange(count) % 2,
        "x_test": random.normal(size=(count, *shape)),
        "y_test": np.arange(count) % 2,
    }


def test_vectors(tmp_path: Path) -> None:
    given = arrays()
    np.savez(tmp_path / "d.npz", **given, classes=np.array(["no", "yes"]))
    raw = npz(str(tmp_path / "d.npz"))
    assert set(raw.parts) == {"train", "test"}
    assert raw.classes == ("no", "yes")
    assert raw.sample_shape == (5,)
    found = raw.parts["train"].read([3])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0], given["x_train"][3].astype(np.float32))


@pytest.mark.parametrize(
    ("layout", "shape", "expected"),
    [
        ("auto", (9, 8), (1, 9, 8)),
        ("auto", (3, 9, 8), (3, 9, 8)),
        ("auto", (5,), (5,)),
        ("chw", (9, 8), (9, 8)),
        ("chw", (9, 8, 3), (9, 8, 3)),
        ("hwc", (9, 8, 3), (3, 9, 8)),
    ],
)
def test_layouts(
    tmp_path: Path, layout: str, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    given = arrays(shape)
    np.savez_compressed(tmp_path / "d.npz", **given)
    raw = npz(str(tmp_path / "d.npz"), layout=layout)
    assert raw.sample_shape == expected
    if layout == "hwc":
        sample = raw.parts["train"].read([2])[0]
        assert sample[1, 4, 6] == np.float32(given["x_train"][2, 4, 6, 1])


def test_uint8_stays_and_other_integers_become_float32() -> None:
    for kind, expected in (("u1", np.uint8), ("i8", np.float32), ("?", np.float32)):
        given = {**arrays(), "x_train": np.ones((6, 5), kind), "x_test": np.ones((6, 5), kind)}
        assert from_arrays(given, where="w").parts["train"].read([0]).dtype == expected


def test_labels_as_a_column() -> None:
    given = {**arrays(), "y_train": (np.arange(6) % 2)[:, None]}
    assert from_arrays(given, where="w").parts["train"].targets.tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_train": np.arange(5) % 2}, "x_train has 6 samples, y_train 5 labels"),
        ({"y_train": np.linspace(0, 1, 6)}, "float64, not whole numbers"),
        ({"y_train": np.eye(6)}, r"shape \(6, 6\), not \(N,\)"),
        ({"y_train": None}, "no array 'y_train'"),
        ({"x_train": None}, "no array 'x_train'"),
        ({"x_test": None}, "no array 'x_test'"),
        ({"x_tset": np.zeros(3)}, "unknown array 'x_tset'"),
        ({"x_train": np.zeros(6)}, r"shape \(6,\), not numbers"),
        ({"x_train": np.array(["a"] * 6)[:, None]}, "<U1"),
        ({"x_train": np.zeros((6, 9, 8, 3))}, "looks channels last"),
    ],
)
def test_arrays_that_cannot_be(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    given = {key: value for key, value in {**arrays(), **change}.items() if value is not None}
    np.savez(tmp_path / "d.npz", **given)
    with pytest.raises(DataError, match=message) as caught:
        npz(str(tmp_path / "d.npz"))
    assert "d.npz" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("layout", "message"), [("nchw", "unknown layout"), ("hwc", "cannot have")]
)
def test_layouts_that_cannot_be(layout: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_arrays(arrays(), where="w", layout=layout)


def test_files_that_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    with pytest.raises(DataError, match="cannot read"):
        npz(str(path))
    np.savez(path, **arrays())
    whole = path.read_bytes()
    for data, message in (
        (whole[:-40], "cannot read"),
        (whole[:300] + bytes(8) + whole[308:], "cannot read"),
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"hello", "cannot read"),
    ):
        path.write_bytes(data)
        with pytest.raises(DataError, match=message):
            npz(str(path))
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="one array"):
        npz(str(path))


def test_python_objects_are_never_unpickled(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}] * 6, dtype=object)
    np.savez(tmp_path / "d.npz", x_train=objects, y_train=np.zeros(6, int))
    with pytest.raises(DataError, match="cannot read"):
        npz(str(tmp_path / "d.npz"))
