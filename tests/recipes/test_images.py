"""The recipes on real images, shortened, from the data to an int8 file."""

from __future__ import annotations

import io
import struct
import tarfile
from pathlib import Path

import pytest

from edgekd.data.archive import members
from edgekd.data.idx import parse
from edgekd.distill.stage import distill
from edgekd.export.stage import export
from edgekd.recipe import Recipe
from edgekd.rundir import Run

SHORT = (
    "data.split.train=256",
    "data.split.validation=200",
    "data.split.calibration=64",
    "train.epochs=1",
    "train.threads=1",
    "teacher.0.train.epochs=1",
    "teacher.0.cache.views=1",
    "train.doctor=off",
)


pytestmark = pytest.mark.usefixtures("real_data")


def check(run: Run, shape: tuple[int, ...]) -> None:
    assert run.manifest.status == "complete"
    assert run.verify() == []
    assert run.manifest.networks["student.safetensors"].sample_shape == shape
    export(run, target="tflite", quantize="int8")
    files = list((run.path / "artifacts").rglob("*.tflite"))
    assert len(files) == 1
    assert 0 < files[0].stat().st_size <= 100_000


@pytest.fixture
def few_clothes(data_root: Path, tmp_path: Path) -> Path:
    """The first 700 training and 200 test images, in the same format."""
    for prefix, count in (("train", 700), ("t10k", 200)):
        for kind, axes in (("images", 3), ("labels", 1)):
            name = f"{prefix}-{kind}-idx{axes}-ubyte"
            values = parse((data_root / "fashion_mnist" / f"{name}.gz").read_bytes(), name)[:count]
            head = struct.pack(f">BBBB{axes}I", 0, 0, 8, axes, *values.shape)
            (tmp_path / name).write_bytes(head + values.tobytes())
    return tmp_path


def test_fashion_mnist_shortened(few_clothes: Path) -> None:
    overrides = [*SHORT, f"data.root={few_clothes}", "teacher.0.depth=10", "teacher.0.width=0.5"]
    check(distill(Recipe.load("fashion-mnist", overrides)), (1, 28, 28))


@pytest.fixture
def few_images(data_root: Path, tmp_path: Path) -> Path:
    """The first 70 training and 20 test images of each class, packed likewise."""
    wanted = {"train": 70, "test": 20}
    path = tmp_path / "few.tar"
    source = data_root / "cifar10_jpeg" / "cifar10_jpeg.tar.xz"
    with tarfile.open(path, "w") as file:
        for name, data in members(source):
            split, _, number = name.split("/")
            if int(number.removesuffix(".jpg")) < wanted[split]:
                facts = tarfile.TarInfo(name)
                facts.size = len(data)
                file.addfile(facts, io.BytesIO(data))
    return path


@pytest.mark.slow
def test_cifar10_jpeg_shortened(few_images: Path) -> None:
    """The weights of a teacher from elsewhere fit, and it knows the classes by our numbers."""
    run = distill(
        Recipe.load(
            "cifar10-jpeg",
            [
                *SHORT,
                f"data.root={few_images}",
                "teacher.0.model=resnet20",
                "teacher.0.start=$EDGEKD_DATA/resnet_cifar10_pt/resnet20-12fca82f.th",
                "teacher.0.train.learning_rate=1e-4",
            ],
        )
    )
    score = run.manifest.teacher_scores[0]
    assert score.test_accuracy is not None and score.test_accuracy > 0.7  # chance is 0.1
    check(run, (3, 32, 32))
