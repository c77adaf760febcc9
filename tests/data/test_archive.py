"""Images in an archive: the same as in the folders that were packed."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekd.data import archive, image_folder
from edgekd.data.load import load_dataset
from edgekd.errors import DataError
from edgekd.recipe import DataSpec


@pytest.fixture
def images(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for split, count in (("train", 5), ("test", 2)):
        for name in ("bird", "cat"):
            for i in range(count):
                path = tmp_path / "images" / split / name / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = random.integers(0, 256, (8, 10, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(path)
    return tmp_path / "images"


def pack(images: Path, path: Path, top: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, f"w:{path.suffix[1:]}" if path.suffix != ".tar" else "w") as file:
        for split in ("test", "train"):
            file.add(images / split, f"{top}{split}")
    return path


@pytest.mark.parametrize("name", ["a.tar", "a.tar.xz", "a.tar.gz"])
@pytest.mark.parametrize("top", ["", "./", "pictures/"])
def test_an_archive_is_as_its_folders(images: Path, tmp_path: Path, name: str, top: str) -> None:
    path = pack(images, tmp_path / "packed" / name, top)
    plain = image_folder.image_folder(str(images))
    for root in (path, path.parent):
        packed = image_folder.image_folder(str(root))
        assert (packed.classes, packed.sample_shape) == (plain.classes, plain.sample_shape)
        for split, part in plain.parts.items():
            found = packed.parts[split]
            assert [one.removeprefix(top) for one in found.ids] == list(part.ids)
            assert found.targets.tolist() == part.targets.tolist()
            order = np.arange(len(part))[::-1]
            assert (found.read(order) == part.read(order)).all()
            assert found.content is not None and part.content is not None
            assert found.content(1) == part.content(1)


def test_it_is_the_same_data(images: Path, tmp_path: Path) -> None:
    """An archive without a folder around it and the folders have one hash."""
    path = pack(images, tmp_path / "a.tar.gz")
    split = {"calibration": 2, "validation": 2}
    found = [
        load_dataset(
            DataSpec.model_validate({"source": "image-folder", "root": str(root), "split": split})
        ).sha256
        for root in (images, path)
    ]
    assert found[0] == found[1]


def test_every_image_is_decoded_once(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = image_folder.image_folder(str(pack(images, tmp_path / "a.tar.xz")))
    decoded = []
    real = image_folder._Decoder.__call__
    monkeypatch.setattr(
        image_folder._Decoder,
        "__call__",
        lambda self, name: decoded.append(name) or real(self, name),
    )
    train = raw.parts["train"]
    first = train.read([3, 1, 3])
    train.read([1, 2, 3])
    assert sorted(decoded) == ["train/bird/1.png", "train/bird/2.png", "train/bird/3.png"]
    first[:] = 0
    assert train.read([3]).any(), "what was read is the caller's own"


def test_more_than_fits_is_decoded_when_it_is_read(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(images, tmp_path / "a.tar.xz")
    kept = image_folder.image_folder(str(path)).parts["train"].read([4, 9])
    monkeypatch.setattr(image_folder, "_KEPT", 14 * 8 * 10 * 3 - 1)
    part = image_folder.image_folder(str(path)).parts["train"]
    assert not isinstance(part.reader, image_folder._Once)
    assert (part.read([4, 9]) == kept).all()


def test_a_damaged_archive_is_named(images: Path, tmp_path: Path) -> None:
    path = pack(images, tmp_path / "a.tar.xz")
    whole = path.read_bytes()
    for damaged, message in (
        (whole[: len(whole) // 2], "cannot read"),
        (whole[:100] + b"\0" * 200 + whole[300:], "cannot read"),
        (b"no archive at all" * 100, "cannot read"),
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=message) as caught:
            image_folder.image_folder(str(path))
        assert str(path) in caught.value.message and caught.value.hint


def test_a_damaged_image_in_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    good = io.BytesIO()
    Image.new("RGB", (8, 8)).save(good, "png")
    with tarfile.open(path, "w") as file:
        for name, data in (("0.png", good.getvalue()), ("1.png", b"no image")):
            facts = tarfile.TarInfo(f"train/a/{name}")
            facts.size = len(data)
            file.addfile(facts, io.BytesIO(data))
    part = image_folder.image_folder(str(path)).parts["train"]
    with pytest.raises(DataError, match=r"a\.tar: train/a/1\.png is not a readable image"):
        part.read([0, 1])


def test_what_an_archive_may_not_hold(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(images, tmp_path / "packed" / "a.tar")
    pack(images, tmp_path / "packed" / "b.tar")
    with pytest.raises(DataError, match=r"holds 2 archives: a\.tar, b\.tar"):
        image_folder.image_folder(str(path.parent))
    (images / "test" / "dog").mkdir()
    (images / "test" / "cat" / "0.png").rename(images / "test" / "dog" / "0.png")
    with pytest.raises(DataError, match="test/dog is a class that train does not have"):
        image_folder.image_folder(str(pack(images, tmp_path / "c.tar")))
    with pytest.raises(DataError, match="no images in train/CLASS/"):
        image_folder.image_folder(str(pack(images / "train" / "..", tmp_path / "d.tar", "x/y/")))
    monkeypatch.setattr(archive, "_MOST", 100)
    with pytest.raises(DataError, match="holds more than"):
        image_folder.image_folder(str(path))
