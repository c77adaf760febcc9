"""What all contestants of the training benchmark have in common: data, networks, batches.

Only PyTorch, NumPy and Kornia are needed here, so that other toolkits' environments can use it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Setting:
    """One distillation, the same for every contestant.

    Attributes:
        student: a network of the zoo in ``edgekd.models.resnet``.
        teacher: likewise.
        images: training images in memory, uint8.
        side: their height and width; they have three channels.
        batch_size: images a step.
        threads: of PyTorch.
        classes: length of the logits.
        temperature: of the distillation loss.
        label_weight: of the cross-entropy with the labels; the rest goes to the teacher's.
        learning_rate: constant.
        views: of the teacher cache.
    """

    student: str = "resnet20"
    teacher: str = "resnet56"
    images: int = 5120
    side: int = 32
    batch_size: int = 128
    threads: int = 2
    classes: int = 10
    temperature: float = 4.0
    label_weight: float = 0.1
    learning_rate: float = 0.01
    views: int = 2

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of an image, channels first."""
        return 3, self.side, self.side

    def to_json(self) -> str:
        """Return all fields, for the command line of a worker."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Setting:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


def synthetic(images: int, side: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return random images (N, 3, side, side) uint8 and labels (N,) int64, every class in turn."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, size=(images, 3, side, side), dtype=np.uint8)
    return pixels, np.arange(images, dtype=np.int64) % classes


def network(name: str, setting: Setting) -> nn.Module:
    """Build a network of the zoo, seeded."""
    from edgekd.models import resnet

    torch.manual_seed(0)
    built: nn.Module = getattr(resnet, name)(num_classes=setting.classes, input_shape=setting.shape)
    return built


def settled(name: str, setting: Setting) -> nn.Module:
    """Build a teacher whose BatchNorm has seen a batch, so that its answers are of usual size.

    What it answers does not matter for the time a step takes, unless it overflows.
    """
    teacher = network(name, setting)
    norms = [module for module in teacher.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    pixels, _ = synthetic(256, setting.side, setting.classes, seed=1)
    with torch.no_grad():
        teacher.train()(torch.from_numpy(pixels).float() / 255 - 0.5)
    for norm in norms:
        norm.momentum = 0.1
    return teacher.eval().requires_grad_(False)


def teacher_file(name: str, folder: Path) -> Path:
    """Return where a teacher's weights stand."""
    return folder / f"{name}.pt"


class Batches:
    """Shuffled, cropped, flipped and normalised batches, written as one would by hand."""

    def __init__(self, setting: Setting) -> None:
        """Make the images and Kornia's augmentations, those that edgekd's recipe names."""
        from kornia import augmentation

        pixels, labels = synthetic(setting.images, setting.side, setting.classes)
        self.pixels, self.labels = torch.from_numpy(pixels), torch.from_numpy(labels)
        size = (setting.side, setting.side)
        self.crop = augmentation.RandomCrop(size, padding=4, cropping_mode="slice")
        self.flip = augmentation.RandomHorizontalFlip(p=0.5)
        self.batch_size = setting.batch_size
        self.mean, self.std = torch.full((3, 1, 1), 0.5), torch.full((3, 1, 1), 0.29)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.pixels)

    def __getitem__(self, chosen: list[int] | Tensor) -> tuple[Tensor, Tensor]:
        """Return a whole batch of these images, augmented, and their labels."""
        indices = torch.as_tensor(chosen)
        images = self.flip(self.crop(self.pixels[indices].float() / 255))
        return (images - self.mean) / self.std, self.labels[indices]

    def epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of an epoch."""
        for chosen in torch.randperm(len(self)).split(self.batch_size):
            yield self[chosen]
