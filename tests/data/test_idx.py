from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgekd.data.idx import idx, parse
from edgekd.errors import DataError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def encode(array: np.ndarray) -> bytes:
    """An independent writer, from the format's description."""
    code = CODES[array.dtype.str[1:]]
    head = bytes([0, 0, code, array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


arrays = st.sampled_from(sorted(CODES)).flatmap(
    lambda code: hnp.arrays(np.dtype(code), hnp.array_shapes(max_dims=4, max_side=5))
)


@given(arrays, st.booleans())
def test_parse_gives_back_what_was_written(array: np.ndarray, zipped: bool) -> None:
    data = encode(array)
    found = parse(gzip.compress(data) if zipped else data, "file")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@given(arrays, st.data(), st.booleans())
def test_a_file_cut_short_is_never_read(array: np.ndarray, data: st.DataObject, zip_: bool) -> None:
    whole = gzip.compress(encode(array)) if zip_ else encode(array)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(DataError, match="the-file"):
        parse(whole[:cut], "the-file")


@given(st.binary(max_size=64))
def test_any_bytes_give_an_array_or_a_data_error(data: bytes) -> None:
    try:
        found = parse(data, "file")
    except DataError:
        return
    assert encode(found) == data or data[:2] == b"\x1f\x8b"


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(DataError, match="too long"):
        parse(encode(np.zeros(3, "u1")) + b"x", "file")


def write(
    root: Path, *, count: int = 20, suffix: str = "", test: bool = True, mark: str = "-"
) -> np.ndarray:
    images = np.random.default_rng(0).integers(0, 256, (count, 9, 8), dtype=np.uint8)
    labels = (np.arange(count) % 4).astype(np.uint8)
    pack = gzip.compress if suffix else bytes
    for prefix in ("train", "t10k") if test else ("train",):
        (root / f"{prefix}-images{mark}idx3-ubyte{suffix}").write_bytes(pack(encode(images)))
        (root / f"{prefix}-labels{mark}idx1-ubyte{suffix}").write_bytes(pack(encode(labels)))
    return images


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("mark", ["-", "."])
def test_the_usual_four_files(tmp_path: Path, suffix: str, mark: str) -> None:
    images = write(tmp_path, suffix=suffix, mark=mark)
    raw = idx(str(tmp_path))
    assert set(raw.parts) == {"train", "test"}
    assert raw.sample_shape == (1, 9, 8)
    assert raw.classes == ("0", "1", "2", "3")
    assert raw.parts["test"].ids[3] == "test/00003"
    np.testing.assert_array_equal(raw.parts["train"].read([5, 2])[:, 0], images[[5, 2]])
    assert raw.parts["train"].targets.tolist()[:5] == [0, 1, 2, 3, 0]


def test_without_test_files_there_is_only_train(tmp_path: Path) -> None:
    write(tmp_path, test=False)
    assert set(idx(str(tmp_path)).parts) == {"train"}


def test_class_names(tmp_path: Path) -> None:
    write(tmp_path)
    assert idx(str(tmp_path), classes=["a", "b", "c", "d"]).classes == ("a", "b", "c", "d")


def spoil(root: Path, name: str, data: bytes | None) -> None:
    if data is None:
        (root / name).unlink()
    else:
        (root / name).write_bytes(data)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("train-images-idx3-ubyte", None, "has no file train-images-idx3-ubyte"),
        ("t10k-labels-idx1-ubyte", None, "has no file t10k-labels-idx1-ubyte"),
        ("train-images-idx3-ubyte", b"", "train-images-idx3-ubyte is empty"),
        ("train-images-idx3-ubyte", b"PK\x03\x04 zip", "is not an IDX file.* 50 4b 03 04"),
        (
            "train-labels-idx1-ubyte",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "is a Git LFS pointer",
        ),
        ("train-images-idx3-ubyte", encode(np.zeros((20, 9, 8), "u1"))[:99], "is cut short"),
        ("train-images-idx3-ubyte", gzip.compress(b"\0\0", mtime=0)[:-5], "is a damaged gzip file"),
        ("train-images-idx3-ubyte", encode(np.zeros(20, "u1")), "array of 1 axes, not images"),
        ("train-labels-idx1-ubyte", encode(np.zeros(19, "u1")), "20 images.* 19 labels"),
        ("train-labels-idx1-ubyte", encode(np.zeros(20, "f4")), "float32, not whole numbers"),
    ],
)
def test_damage_is_named(tmp_path: Path, name: str, data: bytes | None, message: str) -> None:
    write(tmp_path)
    spoil(tmp_path, name, data)
    with pytest.raises(DataError, match=message) as caught:
        idx(str(tmp_path))
    assert str(tmp_path) in caught.value.message
    assert caught.value.hint


def test_fashion_mnist(data_root: Path) -> None:
    raw = idx(str(data_root / "fashion_mnist"))
    assert {name: len(part) for name, part in raw.parts.items()} == {"train": 60000, "test": 10000}
    assert raw.sample_shape == (1, 28, 28)
    # The data set's card: 6,000 and 1,000 of each class, and the first image is an ankle boot (9).
    assert np.bincount(raw.parts["train"].targets).tolist() == [6000] * 10
    assert np.bincount(raw.parts["test"].targets).tolist() == [1000] * 10
    assert raw.parts["train"].targets[0] == 9
