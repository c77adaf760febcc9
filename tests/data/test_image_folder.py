from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekd.data.image_folder import image_folder
from edgekd.errors import DataError


def save(path: Path, value: int, size: tuple[int, int] = (10, 8), mode: str = "RGB") -> None:
    """One image of a single colour; size is (width, height), as Pillow has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = (value, value // 2, 0) if mode == "RGB" else value
    Image.new(mode, size, colour).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split in ("train", "val", "test"):
        for label, name in enumerate(("bird", "cat")):
            for i in range(3):
                save(tmp_path / split / name / f"{i}.png", 100 * label + i)
    return tmp_path


def test_parts_ids_classes_and_pixels(root: Path) -> None:
    raw = image_folder(str(root))
    assert set(raw.parts) == {"train", "validation", "test"}
    assert raw.classes == ("bird", "cat")
    assert raw.sample_shape == (3, 8, 10)
    train = raw.parts["train"]
    assert train.ids[0] == "train/bird/0.png"
    assert train.ids[-1] == "train/cat/2.png"
    assert train.targets.tolist() == [0, 0, 0, 1, 1, 1]
    pixels = train.read([4])
    assert pixels.shape == (1, 3, 8, 10)
    assert pixels.dtype == np.uint8
    assert pixels[0, :, 3, 7].tolist() == [101, 50, 0]


def test_one_channel_and_another_size(root: Path) -> None:
    raw = image_folder(str(root), size=[6, 5], channels=1)
    assert raw.sample_shape == (1, 6, 5)
    # ITU-R 601: 0.299 R + 0.587 G.
    expected = round(0.299 * 102 + 0.587 * 51)
    assert raw.parts["test"].read([5]) == pytest.approx(np.full((1, 1, 6, 5), expected), abs=1)


def test_a_wide_image_is_cropped_at_its_centre_not_squeezed(tmp_path: Path) -> None:
    path = tmp_path / "train" / "a" / "0.png"
    path.parent.mkdir(parents=True)
    pixels = np.zeros((8, 24), np.uint8)
    pixels[:, 8:16] = 255
    Image.fromarray(pixels).save(path)
    raw = image_folder(str(tmp_path), size=8, channels=1)
    assert (raw.parts["train"].read([0]) == 255).all()


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    path = tmp_path / "train" / "a" / "0.jpg"
    path.parent.mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.new("RGB", (12, 8)).save(path, exif=exif)
    assert image_folder(str(tmp_path)).sample_shape == (3, 12, 8)


def test_nothing_is_decoded_before_it_is_read(root: Path) -> None:
    (root / "train" / "cat" / "1.png").write_bytes(b"no image")
    train = image_folder(str(root)).parts["train"]
    train.read([0, 1, 2, 3])
    with pytest.raises(DataError, match=r"cat/1\.png is not a readable image: no known image"):
        train.read([4])


def test_hidden_and_other_files_are_left_out(root: Path) -> None:
    for name in ("._0.png", "notes.txt"):
        (root / "train" / "cat" / name).write_bytes(b"x")
    assert len(image_folder(str(root)).parts["train"]) == 6


def test_content_is_the_file(root: Path) -> None:
    part = image_folder(str(root)).parts["train"]
    assert part.content is not None
    assert part.content(2) == (root / "train" / "bird" / "2.png").read_bytes()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[: len(data) // 2], "is not a readable image"),
        (lambda data: b"", "is empty"),
        (lambda data: b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_damaged_image_is_named(tmp_path: Path, damage: Any, message: str, suffix: str) -> None:
    for i in range(2):
        save(tmp_path / "train" / "a" / f"{i}{suffix}", i, size=(64, 64))
    path = tmp_path / "train" / "a" / f"1{suffix}"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=message) as caught:
        image_folder(str(tmp_path)).parts["train"].read([1])
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_an_image_of_another_size_is_named(root: Path) -> None:
    save(root / "train" / "cat" / "1.png", 3, size=(9, 8))
    with pytest.raises(DataError, match=r"cat/1\.png is 9x8 pixels .* first image 10x8"):
        image_folder(str(root)).parts["train"].read([4])


def test_sixteen_bits_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "train" / "a" / "0.png", 300, mode="I;16")
    with pytest.raises(DataError, match="more than 8 bits"):
        image_folder(str(tmp_path)).parts["train"].read([0])


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (lambda root: (root / "train").rename(root / "training"), {}, "has no folder train"),
        (lambda root: (root / "train" / "dog").mkdir(), {}, "dog holds no images"),
        (lambda root: save(root / "test" / "dog" / "0.png", 1), {}, "dog is a class that train"),
        (lambda root: (root / "validation").mkdir(), {}, "both validation and val"),
        (lambda root: None, {"channels": 2}, "data.channels is 2"),
        (lambda root: None, {"size": 0}, "data.size is 0"),
        (lambda root: None, {"size": [1, 2, 3]}, "data.size"),
    ],
)
def test_faults_of_folders_and_options(root: Path, spoil: Any, options: Any, message: str) -> None:
    spoil(root)
    with pytest.raises(DataError, match=message) as caught:
        image_folder(str(root), **options)
    assert caught.value.hint


def test_an_empty_and_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        image_folder(str(tmp_path))
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="train holds no class folders"):
        image_folder(str(tmp_path))
    with pytest.raises(DataError, match="no data folder at"):
        image_folder(str(tmp_path / "nowhere"))
